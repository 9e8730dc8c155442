"""What a gateway is configured with, as clients notice it."""

from __future__ import annotations

from typing import Any

import pytest

from partstream.engine.log import Log
from partstream.engine.topics import Topics
from partstream.errors import RecordTooLarge
from partstream.store.store import Store
from tests.gateway.gateways import Client, create, gateway, produce
from tests.gateway.records import batch
from tests.waiting import until

_TOPIC, _BROKER, _GROUP = 2, 4, 32
_DYNAMIC, _STATIC, _DEFAULT = 1, 4, 5

_Row = tuple[str | None, int, list[tuple[str, str | None, int]]]


async def _shown(client: Client, kind: int, name: str, *keys: str) -> dict[str, _Row]:
    """Configs by name: the value, the source, and the synonyms."""
    wanted = {"resource_type": kind, "resource_name": name, "configuration_keys": keys}
    answer = await client.ask(32, 4, resources=[wanted], include_synonyms=True)
    return {
        row.name: (
            row.value,
            row.config_source,
            [(one.name, one.value, one.source) for one in row.synonyms],
        )
        for row in answer.results[0].configs
    }


async def test_topics_get_the_defaults_of_the_gateway(redis_url: str, namespace: str) -> None:
    settings = {
        "log_retention_bytes": "9000",
        "log_retention_hours": "5",
        "log_roll_ms": "7200000",
        "message_max_bytes": "500",
        "min_insync_replicas": "1",
    }
    async with (
        gateway(redis_url, namespace, **settings) as running,
        await Client.connect(running) as client,
    ):
        await client.ask(3, 9, topics=[{"name": "auto"}], allow_auto_topic_creation=True)
        asked = {"name": "asked", "num_partitions": 1, "replication_factor": 1}
        asked["configs"] = [{"name": "retention.bytes", "value": "8000"}]
        made = (await client.ask(19, 7, topics=[asked])).topics[0]
        told = {row.name: (row.value, row.config_source) for row in made.configs}
        assert told["retention.bytes"] == ("8000", _DYNAMIC)
        assert told["retention.ms"] == ("18000000", _STATIC)
        assert told["segment.bytes"] == ("4194304", _DEFAULT)

        keys = ("retention.bytes", "retention.ms", "segment.ms", "segment.bytes")
        rows = await _shown(client, _TOPIC, "auto", *keys)
        by_broker = [
            ("log.retention.bytes", "9000", _STATIC),
            ("log.retention.bytes", "268435456", _DEFAULT),
        ]
        assert rows["retention.bytes"] == ("9000", _STATIC, by_broker)
        assert rows["retention.ms"][:2] == ("18000000", _STATIC)
        assert rows["segment.ms"] == (
            "7200000",
            _STATIC,
            [("log.roll.ms", "7200000", _STATIC), ("log.roll.hours", "168", _DEFAULT)],
        )
        assert rows["segment.bytes"][1] == _DEFAULT
        rows = await _shown(client, _TOPIC, "asked", "retention.bytes", "min.insync.replicas")
        assert rows["retention.bytes"][2] == [("retention.bytes", "8000", _DYNAMIC), *by_broker]
        assert rows["min.insync.replicas"][1] == _STATIC

        # Without a gateway they hold as well.
        store = await Store.connect(redis_url, namespace=namespace)
        topics = Topics(store)
        topic = await topics.get("auto")
        assert topic.config.retention_bytes == 9000
        with pytest.raises(RecordTooLarge):
            await Log(store).append(topic.partitions[0], batch(b"x" * 1000))
        topics.close()
        await store.close()


async def test_defaults_outlive_changes_and_other_gateways(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace, message_max_bytes=500) as running,
        await Client.connect(running) as client,
    ):
        await create(client, "t", retention_ms="7000")
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        shown = ("500", _STATIC)
        for key, value, expected in (
            (33, None, shown),
            (44, (0, "600"), ("600", _DYNAMIC)),
            (44, (1, None), shown),
        ):
            steps: list[dict[str, Any]] = []
            if value is not None:
                step = {"config_operation": value[0], "value": value[1]}
                steps.append({"name": "max.message.bytes", **step})
            topic = {"resource_type": _TOPIC, "resource_name": "t", "configs": steps}
            answer = await client.ask(key, 1, resources=[topic])
            assert answer.responses[0].error_code == 0
            rows = await _shown(client, _TOPIC, "t", "max.message.bytes", "retention.ms")
            assert rows["max.message.bytes"][:2] == expected
            assert rows["retention.ms"][1] == _DEFAULT, "that was set, and was not any more"
        await create(client, "u")
        rows = await _shown(client, _TOPIC, "u", "max.message.bytes")
        assert rows["max.message.bytes"][:2] == ("1048588", _DEFAULT)


async def test_a_gateway_shows_what_it_has(redis_url: str, namespace: str) -> None:
    settings: dict[str, Any] = {
        "ssl_key_password": "hush",
        "log_retention_ms": 60_000,
        "connections_max_idle_ms": 5_000,
        "group_consumer_session_timeout_ms": 9_000,
    }
    async with (
        gateway(redis_url, namespace, **settings) as running,
        await Client.connect(running) as client,
    ):
        rows = await _shown(client, _BROKER, str(running.broker.registry.me.id))
        host, port = running.address
        assert rows["advertised.listeners"][:2] == (f"PLAINTEXT://{host}:{port}", _DEFAULT)
        assert "SSL:SSL" in (rows["listener.security.protocol.map"][0] or "")
        assert rows["ssl.key.password"] == (None, _STATIC, [("ssl.key.password", None, _STATIC)])
        assert rows["log.retention.ms"][:2] == ("60000", _STATIC)
        assert rows["connections.max.idle.ms"][2] == [
            ("connections.max.idle.ms", "5000", _STATIC),
            ("connections.max.idle.ms", "600000", _DEFAULT),
        ]
        assert rows["group.consumer.min.session.timeout.ms"][0] == "9000"
        assert "hush" not in str(rows)
        rows = await _shown(client, _GROUP, "g")
        of_brokers = "group.consumer.session.timeout.ms"
        assert rows["consumer.session.timeout.ms"] == (
            "9000",
            _STATIC,
            [(of_brokers, "9000", _STATIC), (of_brokers, "45000", _DEFAULT)],
        )
        assert rows["consumer.heartbeat.interval.ms"][:2] == ("5000", _DEFAULT)


@pytest.mark.parametrize(("version", "code"), [(1, 42), (3, 73), (6, 73)])
async def test_topics_may_be_protected_from_deletion(
    redis_url: str, namespace: str, version: int, code: int
) -> None:
    async with (
        gateway(redis_url, namespace, delete_topic_enable=False) as running,
        await Client.connect(running) as client,
    ):
        await create(client, "t")
        wanted = {"topics": [{"name": "t"}]} if version >= 6 else {"topic_names": ["t"]}
        answer = await client.ask(20, version, **wanted)
        assert [(row.name, row.error_code) for row in answer.responses] == [("t", code)]
        assert list(await running.broker.topics.all()) == ["t"]


@pytest.mark.parametrize(("most", "size", "code"), [(10, 11, 12), (10, 10, 0), (9000, 8000, 0)])
async def test_metadata_of_offsets_is_bounded(
    redis_url: str, namespace: str, most: int, size: int, code: int
) -> None:
    async with (
        gateway(redis_url, namespace, offset_metadata_max_bytes=most) as running,
        await Client.connect(running) as client,
    ):
        await create(client, "t")
        row = {"partition_index": 0, "committed_offset": 3, "committed_metadata": "m" * size}
        answer = await client.ask(
            8,
            8,
            group_id="g",
            generation_id_or_member_epoch=-1,
            topics=[{"name": "t", "partitions": [row]}],
        )
        assert answer.topics[0].partitions[0].error_code == code


async def test_the_assignors_of_the_gateway(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace, group_consumer_assignors="range") as running,
        await Client.connect(running) as client,
    ):
        await create(client, "t")

        async def join(assignor: str | None) -> int:
            answer = await client.ask(
                68,
                1,
                group_id="g",
                member_id="m",
                member_epoch=0,
                rebalance_timeout=60_000,
                subscribed_topic_names=["t"],
                server_assignor=assignor,
                topic_partitions=[],
            )
            code: int = answer.error_code
            return code

        assert await join("uniform") == 112
        assert await join(None) == 0
        answer = await client.ask(69, 0, group_ids=["g"])
        assert answer.groups[0].assignor_name == "range"


@pytest.mark.parametrize("version", [3, 4])
async def test_the_level_of_groups_is_told(redis_url: str, namespace: str, version: int) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        answer = await client.ask(
            18, version, client_software_name="a", client_software_version="1"
        )
        supported = [
            (one.name, one.min_version, one.max_version) for one in answer.supported_features
        ]
        assert supported == ([("group.version", 0, 1)] if version >= 4 else [])
        (feature,) = answer.finalized_features
        assert (feature.name, feature.max_version_level) == ("group.version", 1)
        assert answer.finalized_features_epoch > 0


async def test_producers_are_forgotten(redis_url: str, namespace: str) -> None:
    settings = {"producer_id_expiration_ms": 1, "log_retention_check_interval_ms": 50}
    async with (
        gateway(redis_url, namespace, **settings) as running,
        await Client.connect(running) as client,
    ):
        await create(client, "t")
        sent = batch(b"v", producer_id=7, producer_epoch=0, base_sequence=0)
        assert (await produce(client, "t", sent)).error_code == 0

        async def nobody() -> bool:
            asked = [{"name": "t", "partition_indexes": [0]}]
            answer = await client.ask(61, 0, topics=asked)
            return not answer.topics[0].partitions[0].active_producers

        await until(nobody)
