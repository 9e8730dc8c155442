"""The flights demo: real data through a group of consumers, one of which is killed on the way.

The processes of the demo use the public API only, as a program of yours would.
"""
