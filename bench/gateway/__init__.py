"""The gateway beside Apache Kafka, by the same clients."""
