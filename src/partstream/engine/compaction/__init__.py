"""Log compaction: of every key, the last record stays (`cleanup.policy=compact`)."""
