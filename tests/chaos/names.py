"""What the topic, the group and the namespace of every run are called."""

NAMESPACE = "chaos"
TOPIC = "t"
GROUP = "g"
