"""What a group coordinator decides, without I/O: assignors, reconciliation, and the rows it keeps.

Nothing here talks to Redis or reads a clock. Partitions are named by topic *id*, never by topic
name: a topic that was deleted and made again is another topic, and what a group owned of the old
one must not be taken for the new one.
"""
