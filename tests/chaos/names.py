"""What the topic, the groups and the namespace of every run are called."""

NAMESPACE = "chaos"
TOPIC = "t"
GROUP = "g"
CLASSIC = "classic"
"""The group of Kafka clients that share partitions out themselves."""
