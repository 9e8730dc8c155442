"""What clients tell of their work, for those who want to measure it. Nothing is unless asked for.

`hooks` says what is told; `prometheus` turns that into metrics.
"""
