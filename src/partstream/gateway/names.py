"""Kafka's names and numbers for what admin clients are shown of groups, topics and the cluster."""

from __future__ import annotations

from partstream.model import GroupState

NOT_ASKED = -(2**31)
"""As authorized operations: the client has not asked for them."""


def _operations(*numbers: int) -> int:
    """Kafka's bit field of what a client may do (KIP-430): without authorization, everything."""
    return sum(1 << number for number in numbers)


_READ, _WRITE, _CREATE, _DELETE, _ALTER, _DESCRIBE, _CLUSTER_ACTION = range(3, 10)
_DESCRIBE_CONFIGS, _ALTER_CONFIGS, _IDEMPOTENT_WRITE = range(10, 13)

TOPIC_OPERATIONS = _operations(
    _READ, _WRITE, _CREATE, _DELETE, _ALTER, _DESCRIBE, _DESCRIBE_CONFIGS, _ALTER_CONFIGS
)
GROUP_OPERATIONS = _operations(_READ, _DELETE, _DESCRIBE, _DESCRIBE_CONFIGS, _ALTER_CONFIGS)
CLUSTER_OPERATIONS = _operations(
    _CREATE,
    _ALTER,
    _DESCRIBE,
    _CLUSTER_ACTION,
    _DESCRIBE_CONFIGS,
    _ALTER_CONFIGS,
    _IDEMPOTENT_WRITE,
)


def state_name(state: GroupState) -> str:
    """A group's state as Kafka writes it."""
    return "".join(word.capitalize() for word in state.name.split("_"))
