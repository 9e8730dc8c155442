"""Configs of topics and groups changed: what AlterConfigs and IncrementalAlterConfigs come to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from partstream.config.group import GROUP_CONFIGS
from partstream.config.topic import PARTITIONER, TOPIC_CONFIGS
from partstream.errors import InvalidConfig, InvalidRequest
from partstream.gateway.configs import BROKER, GROUP, TOPIC, TOPIC_LISTS, find_topic

if TYPE_CHECKING:
    from partstream.engine.partition import Topic
    from partstream.gateway.broker import Broker
    from partstream.gateway.codec import Struct

SET, DELETE, APPEND, SUBTRACT = range(4)
"""What IncrementalAlterConfigs does to a config (KIP-339)."""

Changes = Mapping[str, str | None]
"""What configs are to be; None: at their default."""


class Altered(ABC):
    """One resource whose configs are to be changed."""

    names: Collection[str]
    """The configs that there are."""
    lists: Collection[str]
    """Those of them that are lists."""

    @abstractmethod
    async def overrides(self) -> Mapping[str, str]:
        """The configs that were set and can be taken back."""

    @abstractmethod
    async def listed(self, key: str) -> str:
        """What a list holds."""

    @abstractmethod
    async def change(self, changes: Changes, *, validate_only: bool) -> None:
        """Change configs.

        Raises:
            UnknownTopicOrPartition: there is no such topic.
            InvalidConfig: a name or a value is refused; nothing was changed.
        """


class _Topic(Altered):
    names, lists = TOPIC_CONFIGS, TOPIC_LISTS

    def __init__(self, broker: Broker, name: str) -> None:
        self._broker = broker
        self._name = name

    async def overrides(self) -> Mapping[str, str]:
        own = (await self._find()).config.overrides()
        return {key: value for key, value in own.items() if key != PARTITIONER}

    async def listed(self, key: str) -> str:
        return (await self._find()).config.as_strings()[key]

    async def change(self, changes: Changes, *, validate_only: bool) -> None:
        topic = await self._find()
        if validate_only:
            topic.config.altered(changes)
        else:
            await self._broker.topics.alter(self._name, changes)

    async def _find(self) -> Topic:
        if not self._name:
            raise InvalidRequest("Default topic resources are not allowed.")
        return await find_topic(self._broker, self._name)


class _Group(Altered):
    names, lists = GROUP_CONFIGS, ()

    def __init__(self, broker: Broker, name: str) -> None:
        self._configs = broker.groups.configs
        self._limits = broker.config.group_limits
        self._name = name

    async def overrides(self) -> Mapping[str, str]:
        return (await self._configs.get(self._name)).overrides()

    async def listed(self, key: str) -> str:
        raise InvalidConfig(f"{key} is not a list")

    async def change(self, changes: Changes, *, validate_only: bool) -> None:
        if not self._name:
            raise InvalidRequest("Default group resources are not allowed.")
        if validate_only:
            (await self._configs.get(self._name)).altered(changes, self._limits)
        else:
            await self._configs.alter(self._name, changes, self._limits)


def altered(broker: Broker, resource_type: int, name: str) -> Altered:
    """The resource whose configs are to be changed.

    Raises:
        InvalidRequest: those of such a resource cannot be.
    """
    if resource_type == BROKER:
        raise InvalidRequest("a gateway's configs are changed where it is started, not by clients")
    if resource_type == TOPIC:
        return _Topic(broker, name)
    if resource_type == GROUP:
        return _Group(broker, name)
    raise InvalidRequest(f"Unknown resource type {resource_type}")


def counted(resources: Sequence[Struct]) -> list[tuple[Struct, bool]]:
    """The resources of a request, and whether each is there more than once."""
    times = Counter((one.resource_type, one.resource_name) for one in resources)
    return [(one, times[one.resource_type, one.resource_name] > 1) for one in resources]


async def replaced(resource: Altered, configs: Changes) -> Changes:
    """The changes that leave a resource with just these configs (AlterConfigs)."""
    for key, value in configs.items():
        if value is None:
            raise InvalidRequest(f"Null value not supported for : {key}")
    return {**dict.fromkeys(await resource.overrides()), **configs}


async def stepped(resource: Altered, operations: Sequence[tuple[str, int, str | None]]) -> Changes:
    """The changes that these operations come to (IncrementalAlterConfigs).

    Raises:
        InvalidRequest: a config is named twice, or an operation is unknown or lacks its value.
        InvalidConfig: an operation is for lists only.
    """
    if len({key for key, _, _ in operations}) < len(operations):
        raise InvalidRequest("Error due to duplicate config keys")
    changes: dict[str, str | None] = {}
    for key, operation, value in operations:
        if operation == DELETE:
            if key in resource.names:  # what nobody knows is not set, either
                changes[key] = None
            continue
        if value is None:
            raise InvalidRequest(f"Null value not supported for : {key}")
        if operation == SET:
            changes[key] = value
        elif operation in (APPEND, SUBTRACT):
            changes[key] = await _joined(resource, key, operation, value)
        else:
            raise InvalidRequest(f"Unknown operation type {operation}")
    return changes


async def _joined(resource: Altered, key: str, operation: int, value: str) -> str:
    if key not in resource.lists:
        verb = "APPEND" if operation == APPEND else "SUBTRACT"
        raise InvalidConfig(f"Can't {verb} to key {key} because its type is not LIST.")
    now = [item for item in (await resource.listed(key)).split(",") if item]
    given = value.split(",")
    if operation == APPEND:
        return ",".join([*now, *(item for item in given if item not in now)])
    return ",".join(item for item in now if item not in given)
