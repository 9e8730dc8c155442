"""Several gateways on one namespace: who is there, who leads what, and what is left of who goes."""

from __future__ import annotations

from collections import Counter

import pytest

from partstream.errors import ConfigError
from partstream.gateway.server import Gateway
from tests.gateway.gateways import Client, create, fetch, gateway, produce
from tests.gateway.records import batch, values
from tests.waiting import until

QUICK = {"broker_heartbeat_interval_ms": 50, "broker_session_timeout_ms": 500}


def _ids(running: Gateway) -> list[int]:
    return [node.id for node in running.broker.registry.nodes]


async def test_gateways_find_one_another_and_share_the_work(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace, **QUICK) as one,
        gateway(redis_url, namespace, **QUICK) as two,
        gateway(redis_url, namespace, **QUICK) as three,
    ):
        every = (one, two, three)
        await until(lambda: all(_ids(running) == [1, 2, 3] for running in every))
        assert len({running.broker.registry.cluster_id for running in every}) == 1
        async with await Client.connect(one) as client:
            topic_id = await create(client, "t", partitions=60)
        told = []
        for running in every:
            async with await Client.connect(running) as client:
                answer = await client.ask(3, 9, topics=[{"name": "t"}])
                assert [broker.node_id for broker in answer.brokers] == [1, 2, 3]
                told.append([row.leader_id for row in answer.topics[0].partitions])
                assert all(
                    sorted(row.replica_nodes) == [1, 2, 3] for row in answer.topics[0].partitions
                )
        assert told[0] == told[1] == told[2], "they agree without asking one another"
        assert min(Counter(told[0]).values()) > 8
        coordinators = {
            running.broker.registry.coordinator(f"group-{number}").id
            for number in range(20)
            for running in (one,)
        }
        assert coordinators == {1, 2, 3}

        before = [one.broker.registry.replicas(topic_id, number) for number in range(60)]
        await two.close()
        await until(lambda: _ids(one) == [1, 3])
        after = [one.broker.registry.replicas(topic_id, number) for number in range(60)]
        for was, now in zip(before, after, strict=True):
            assert now == tuple(node for node in was if node.id != 2), "nothing else has moved"


async def test_who_comes_or_goes_is_noticed_at_once(redis_url: str, namespace: str) -> None:
    seldom = {"broker_heartbeat_interval_ms": 60_000, "broker_session_timeout_ms": 180_000}
    async with gateway(redis_url, namespace, **seldom) as one:
        async with gateway(redis_url, namespace, **seldom) as two:
            await until(lambda: _ids(one) == _ids(two) == [1, 2])
        await until(lambda: _ids(one) == [1])


async def test_any_gateway_serves_what_another_leads(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace, **QUICK) as one,
        gateway(redis_url, namespace, **QUICK) as two,
        await Client.connect(one) as here,
        await Client.connect(two) as there,
    ):
        await create(here, "t", partitions=4)
        for partition in range(4):
            await produce(here, "t", batch(b"v"), partition=partition)
            assert values(await fetch(there, "t", 0, partition=partition)) == [(0, b"v")]


async def test_one_that_falls_silent_is_missed(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace, **QUICK) as one,
        gateway(redis_url, namespace, **QUICK) as two,
    ):
        await until(lambda: _ids(one) == [1, 2])
        task = two.broker.registry._task
        assert task is not None
        task.cancel()
        await until(lambda: _ids(one) == [1], within=5)


async def test_an_address_keeps_its_id(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace, **QUICK) as one:
        async with gateway(redis_url, namespace, advertised="a:1", **QUICK) as two:
            assert two.broker.registry.me.id == 2
        async with gateway(redis_url, namespace, advertised="b:1", **QUICK) as three:
            assert three.broker.registry.me.id == 3, "the id of who was there is kept"
        async with gateway(redis_url, namespace, advertised="a:1", **QUICK) as two:
            assert two.broker.registry.me.id == 2
            assert one.broker.registry.me.id == 1


async def test_an_id_that_another_has_is_refused(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace, node_id=7) as one:
        assert one.broker.registry.me.id == 7
        with pytest.raises(ConfigError, match="node_id=7"):
            async with gateway(redis_url, namespace, node_id=7):
                pass
        async with gateway(redis_url, namespace) as two:
            assert two.broker.registry.me.id == 1


async def test_an_address_that_is_taken_is_refused(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as one:
        taken = f"127.0.0.1:{one.address[1]}"
        with pytest.raises(ConfigError, match=taken):
            async with gateway(redis_url, namespace, listen=taken):
                pass


@pytest.mark.parametrize("listen", ["", "localhost", "a:b", "a:70000", ":9092"])
async def test_an_address_that_is_none_is_refused(
    redis_url: str, namespace: str, listen: str
) -> None:
    with pytest.raises(ConfigError, match="listen="):
        async with gateway(redis_url, namespace, listen=listen):
            pass
