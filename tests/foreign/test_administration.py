"""What every client's admin does: topics, their configs, records, groups and their offsets."""

from __future__ import annotations

import pytest

from tests.foreign.agent import Agent, Failed
from tests.foreign.brokers import Serve
from tests.foreign.kinds import Kind
from tests.waiting import until

pytestmark = pytest.mark.deadline(240)


async def test_topics(client: Agent, serve: Serve, namespace: str) -> None:
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace}
        assert (await client("nodes", **where))["count"] == 1
        configs = {"retention.ms": "123456", "compression.type": "producer"}
        await client("create_topic", partitions=2, configs=configs, **where)
        with pytest.raises(Failed) as failed:
            await client("create_topic", partitions=2, configs={}, **where)
        assert failed.value.name in TOPIC_EXISTS
        await client("grow", partitions=5, **where)

        async def grown() -> bool:
            told = await client("topic", **where)
            return bool(told["partitions"] == 5 and set(told["leaders"]) == {1})

        await until(grown, within=60, every=0.1)
        await client("delete_topic", **where)

        async def gone() -> bool:
            try:
                await client("topic", **where)
            except Failed as error:
                return error.name in UNKNOWN_TOPIC
            return False

        await until(gone, within=60, every=0.1)


async def test_configs(client: Agent, serve: Serve, namespace: str) -> None:
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace}
        await client("create_topic", partitions=1, configs={"retention.ms": "123456"}, **where)
        assert (await client("configs", **where))["configs"]["retention.ms"] == "123456"
        await client("set_config", name="retention.bytes", value="5000000", **where)

        async def there() -> bool:
            told = (await client("configs", **where))["configs"]
            return bool(told["retention.bytes"] == "5000000")

        await until(there, within=60, every=0.1)
        with pytest.raises(Failed) as failed:
            await client("set_config", name="retention.ms", value="soon", **where)
        assert failed.value.name in INVALID_CONFIG


async def test_groups_and_their_offsets(
    client: Agent, kind: Kind, serve: Serve, namespace: str
) -> None:
    group = f"{namespace}-group"
    async with serve() as running:
        where = {"bootstrap": running.bootstrap, "topic": namespace, "partition": 0, "group": group}
        await client("create_topic", partitions=1, configs={}, **where)
        await client("set_committed", offset=17, **where)
        assert (await client("committed", **where))["offset"] == 17
        assert group in (await client("groups", **where))["groups"]
        told = await client("group", **where)
        assert (told["state"].upper(), told["members"]) == ("EMPTY", [])
        if "delete_group" in kind.lacks:
            return
        await client("delete_group", **where)
        assert group not in (await client("groups", **where))["groups"]
        with pytest.raises(Failed) as failed:
            await client("delete_group", **where)
        assert failed.value.name in NO_GROUP


TOPIC_EXISTS = {"TopicExistsException", "TOPIC_ALREADY_EXISTS", "TopicAlreadyExistsError"}
UNKNOWN_TOPIC = {
    "UnknownTopicOrPartitionException",
    "UNKNOWN_TOPIC_OR_PARTITION",
    "UNKNOWN_TOPIC_OR_PART",
    "UnknownTopicOrPartitionError",
}
INVALID_CONFIG = {"InvalidConfigurationException", "INVALID_CONFIG", "InvalidConfigurationError"}
NO_GROUP = {"GroupIdNotFoundException", "GROUP_ID_NOT_FOUND", "GroupIdNotFoundError"}
