"""The names of Kafka's internal topics. What Kafka keeps there is in Redis, in another form: nobody
makes such a topic, or writes to one.
"""

from __future__ import annotations

from partstream.errors import InvalidRequest, InvalidTopic, TopicAlreadyExists

INTERNAL = frozenset({"__consumer_offsets", "__share_group_state", "__transaction_state"})
_CONTROLLERS = "__cluster_metadata"


def check_made(name: str) -> None:
    """Refuse a topic that is to be made.

    Raises:
        TopicAlreadyExists: in Kafka it is there, or made by brokers when they need it.
        InvalidRequest: in Kafka it is no ordinary topic.
    """
    if name in INTERNAL:
        raise TopicAlreadyExists(f"Topic '{name}' already exists.")
    if name == _CONTROLLERS:
        raise InvalidRequest(f"Creation of internal topic {name} is prohibited.")


def check_written(name: str) -> None:
    """Refuse a batch for a topic.

    Raises:
        InvalidTopic: only brokers write to it.
    """
    if name in INTERNAL:
        raise InvalidTopic(f"Cannot append to internal topic {name}")
