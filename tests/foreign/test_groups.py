"""Groups of every client: shared, rebalanced, left, taken over; each assignor that it has."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.foreign.agent import Agent
from tests.foreign.brokers import Serve
from tests.foreign.groups import QUICK, SOON, Watch, given_up
from tests.foreign.kinds import Kind
from tests.waiting import until

pytestmark = pytest.mark.deadline(300)

INCREMENTAL = ("cooperative-sticky", "consumer")


async def test_members_share_and_take_over(
    client: Agent, assignor: str, serve: Serve, namespace: str
) -> None:
    async with serve(**QUICK) as running:
        group = Watch(running.bootstrap, namespace, 4)
        await group.create(client)
        await group.write(client, 40)
        await group.join(client, "one", assignor)
        seen = await group.shared(4)
        await group.all_read()
        before = len(seen["one"]["events"])
        await group.join(client, "two", assignor)
        seen = await group.shared(2, 2)
        if assignor in INCREMENTAL:
            # Nobody gives up what it keeps.
            assert given_up(seen["one"], since=before) == [2]
        told = await client("group", **group.where)
        assert told["state"].upper() == "STABLE"
        assert len(told["members"]) == 2
        await group.write(client, 40)
        await group.all_read()
        await group.leave("two")
        await group.shared(4)
        await group.write(client, 8)
        await group.all_read()

        async def all_committed() -> bool:
            return await group.committed(client) == len(group.written)

        await until(all_committed, within=SOON, every=0.1)
        await group.leave("one")
        assert (await client("group", **group.where))["state"].upper() == "EMPTY"


@pytest.mark.needs("static")
async def test_a_static_member_comes_back(
    client: Agent, kind: Kind, serve: Serve, namespace: str
) -> None:
    """Its partitions wait for it: the others are left alone (KIP-345)."""
    assignor = kind.assignors[0]
    async with serve(**QUICK) as running:
        group = Watch(running.bootstrap, namespace, 4)
        await group.create(client)
        await group.write(client, 40)
        await group.join(client, "one", assignor, instance="i1", session_ms=60_000)
        await group.shared(4)
        await group.join(client, "two", assignor, instance="i2", session_ms=60_000)
        seen = await group.shared(2, 2)
        owned = sorted(seen["two"]["assigned"])
        # One more is on its way where the other has heard of the rebalance first.
        await group.all_read()
        before = len((await group.seen())["one"]["events"])
        await group.leave("two")
        await group.join(client, "three", assignor, instance="i2", session_ms=60_000)
        seen = await group.shared(2, 2)
        assert sorted(seen["three"]["assigned"]) == owned
        assert seen["one"]["events"][before:] == []
        await group.write(client, 8)
        await group.all_read()


async def test_a_pattern_finds_topics(
    client: Agent, kind: Kind, serve: Serve, namespace: str
) -> None:
    async with serve(**QUICK) as running:
        group = Watch(running.bootstrap, f"{namespace}-a", 2)
        await group.create(client)
        other = {**group.where, "topic": f"other-{namespace}"}
        await client("create_topic", partitions=2, configs={}, **other)
        second = {**group.where, "topic": f"{namespace}-b"}
        await client("create_topic", partitions=2, configs={}, **second)
        await group.join(client, "one", kind.assignors[0], pattern=f"^{namespace}-.*")

        async def assigned() -> bool:
            told = (await group.seen())["one"]["assigned"]
            topics = Counter(topic for topic, _ in told)
            return topics == {f"{namespace}-a": 2, f"{namespace}-b": 2}

        await until(assigned, within=SOON, every=0.1)
        await group.leave("one")


@pytest.mark.needs("async_commit")
async def test_commits_that_nobody_waits_for(
    client: Agent, kind: Kind, serve: Serve, namespace: str
) -> None:
    """As the OpenMessaging Benchmark's driver does it.

    It writes with acks=all, and commits after each poll what that brought, while it polls on.
    """
    assignors = sorted({"range", kind.assignors[-1]})
    async with serve(**QUICK) as running:
        for assignor in assignors:
            group = Watch(running.bootstrap, f"{namespace}-{assignor}", 4)
            await group.create(client)
            await client("write", member="writer", partitions=4, **group.where)
            for member in ("one", "two"):
                await group.join(client, member, assignor, commit="async")
            await group.shared(2, 2)
            before = sum(one["commits"] for one in (await group.seen()).values())

            async def goes_on(group: Watch = group, before: int = before) -> bool:
                seen = (await group.seen()).values()
                return bool(sum(one["commits"] for one in seen) > before + 20)

            await until(goes_on, within=SOON, every=0.1)
            told = await client("written", member="writer")
            assert told["refused"] == []
            group.written = [str(number) for number, *_ in told["acked"]]
            await group.all_read()

            async def all_committed(group: Watch = group) -> bool:
                return await group.committed(client) == len(group.written)

            await until(all_committed, within=SOON, every=0.1)
            await group.leave("one")
            await group.leave("two")
