"""Members that are killed, stall, and lose or repeat heartbeats, several processes, one server.

What holds all the time: no partition is in use by two members at once, no commit of a former owner
is taken. What holds in the end: the group settles, and everything is owned. A run is drawn from a
seed, which a failure names; timing is the machine's.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from partstream.engine.groups import Heartbeat
from partstream.errors import (
    FencedMemberEpoch,
    PartstreamError,
    RebalanceInProgress,
    StaleMemberEpoch,
    UnknownMemberId,
)
from partstream.groups.rows import TopicIdPartition
from partstream.model import OffsetAndMetadata
from tests.engine.group_members import Member, Rig, rig, settle

SESSION_MS = 400
MARGIN_MS = 100
"""A member stops trusting itself this much before its session may have ended."""


class World:
    """Who uses which partition, and how far it was processed: what nobody in the group knows."""

    def __init__(self) -> None:
        self.users: dict[TopicIdPartition, Chaotic] = {}
        self.committed: dict[TopicIdPartition, int] = {}
        self.accepted = 0
        self.handed_over = 0

    def use(self, user: Chaotic, partition: TopicIdPartition) -> None:
        holder = self.users.get(partition)
        if holder is not None and holder is not user:
            assert partition not in holder.in_use(), (
                f"{partition} is in use by {holder.id} (epoch {holder.epoch}) and taken by "
                f"{user.id} (epoch {user.epoch})"
            )
            self.handed_over += 1
        self.users[partition] = user


class Chaotic(Member):
    """A member whose process may stop at any point, and whose network repeats and forgets."""

    def __init__(self, world: World, engine: Rig, rng: random.Random, **join: Any) -> None:
        super().__init__(engine.groups, "g", ["t", "u"], session_ms=SESSION_MS, **join)
        self.world, self.rng = world, rng
        self.good_since = 0.0
        self.late: list[dict[str, Any]] = []
        self.echoes: list[asyncio.Task[Heartbeat | None]] = []
        self.positions: dict[TopicIdPartition, int] = {}

    def in_use(self) -> frozenset[TopicIdPartition]:
        """What it works on now: nothing, once its session may have ended."""
        now = asyncio.get_running_loop().time()
        trusts_itself = now < self.good_since + (SESSION_MS - MARGIN_MS) / 1000
        return self.owned if trusts_itself else frozenset()

    async def step(self, *, faults: bool) -> None:
        """One heartbeat, and perhaps a commit, with what may go wrong with them."""
        luck = self.rng.random() if faults else 1.0
        if luck < 0.04:
            await asyncio.sleep(SESSION_MS * 1.2 / 1000)  # stalled: it believes it still owns
        if self.late and luck < 0.15:
            late = self.late.pop(self.rng.randrange(len(self.late)))
            self.echoes = [echo for echo in self.echoes if not echo.done()]
            self.echoes.append(asyncio.create_task(self.send(late)))
        if self.epoch == 0:
            self.incarnation += 1
        arguments = self.arguments()
        sent = asyncio.get_running_loop().time()
        if faults and self.rng.random() < 0.25:
            self.late.append(arguments)
        try:
            answer = await self.groups.heartbeat(**arguments)
        except (FencedMemberEpoch, UnknownMemberId):
            self.lose_everything()
            self.positions.clear()
            return
        except PartstreamError:
            if not faults:
                raise
            return
        if luck > 0.80 and faults:
            if self.epoch == 0:
                # Perhaps it is in; the same join again finds out.
                self.incarnation -= 1
            return  # the answer is lost
        self.good_since = max(self.good_since, sent)
        self.take(answer)
        for partition in self.owned:
            self.world.use(self, partition)
        await self.process()

    async def send(self, arguments: dict[str, Any]) -> Heartbeat | None:
        """A heartbeat that was sent long ago arrives; nobody hears the answer."""
        try:
            return await self.groups.heartbeat(**arguments)
        except PartstreamError:
            return None

    async def process(self) -> None:
        """Commit one more record of one partition, from where the last owner left it."""
        if not self.owned or self.rng.random() < 0.3:
            return
        partition = self.rng.choice(sorted(self.owned))
        if partition not in self.positions:
            found = await self.groups.fetch_offsets("g", [partition])
            self.positions[partition] = found[partition].offset if partition in found else 0
        position = self.positions[partition] + 1
        if self.rng.random() < 0.04:
            await asyncio.sleep(SESSION_MS * 1.5 / 1000)  # stalled in the middle of a batch
        try:
            await self.groups.commit(
                "g",
                {partition: OffsetAndMetadata(position)},
                member_id=self.id,
                member_epoch=self.epoch,
                incarnation=self.incarnation,
            )
        except (FencedMemberEpoch, UnknownMemberId, RebalanceInProgress, StaleMemberEpoch):
            self.positions.clear()
            return
        self.world.accepted += 1
        before = self.world.committed.get(partition, 0)
        assert position > before, f"{partition} went back from {before} to {position}"
        self.world.committed[partition] = position
        self.positions[partition] = position

    def take(self, answer: Heartbeat) -> None:
        super().take(answer)
        self.positions = {p: n for p, n in self.positions.items() if p in self.owned}


async def live(member: Chaotic, calm: asyncio.Event) -> None:
    """Heartbeat until the chaos is over, or the member is killed."""
    while not calm.is_set():
        await member.step(faults=True)
        await asyncio.sleep(member.rng.uniform(0, 0.02))


class Chaos:
    """What happens to a group, drawn from a seed."""

    def __init__(self, engines: list[Rig], seed: int) -> None:
        self.engines, self.rng = engines, random.Random(seed)
        self.world = World()
        self.calm = asyncio.Event()
        self.alive: dict[Chaotic, asyncio.Task[None]] = {}
        self.arrived = 0
        self.size = 8

    async def run(self, seconds: float) -> World:
        """So many seconds of trouble, then calm; checks that everything finds its place."""
        await self.engines[0].topics.create("t", self.size)
        for _ in range(5):
            self.arrive()
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            await asyncio.sleep(self.rng.uniform(0, 0.1))
            for task in self.alive.values():
                if task.done():
                    task.result()
            await self.happen()
        self.calm.set()
        await asyncio.gather(*self.alive.values())
        await asyncio.gather(*(echo for member in self.alive for echo in member.echoes))
        await self.check()
        return self.world

    async def happen(self) -> None:
        """One event."""
        what = self.rng.random()
        if what < 0.35 and len(self.alive) < 10:
            self.arrive()
        elif what < 0.65 and len(self.alive) > 2:
            await self.go(leaves=what < 0.5)
        elif what < 0.68 and self.size < 16:
            self.size += 2
            await self.engines[0].topics.grow("t", self.size)
        elif 0.68 < what < 0.70:
            topics = self.engines[0].topics
            if "u" in await topics.all():
                await topics.delete("u")
            else:
                await topics.create("u", 3)

    def arrive(self) -> None:
        self.arrived += 1
        static = {"instance_id": f"i-{self.arrived}"} if self.rng.random() < 0.2 else {}
        luck = random.Random(self.rng.random())
        member = Chaotic(self.world, self.rng.choice(self.engines), luck, **static)
        self.alive[member] = asyncio.create_task(live(member, self.calm))

    async def go(self, *, leaves: bool) -> None:
        """A member is killed, and nobody is told; or it lets go of everything and says so."""
        gone = self.rng.choice(sorted(self.alive, key=lambda member: member.id))
        task = self.alive.pop(gone)
        task.cancel()
        await asyncio.gather(task, *gone.echoes, return_exceptions=True)
        gone.owned = frozenset()
        if leaves:
            await gone.send({"group_id": "g", "member_id": gone.id, "member_epoch": -1})

    async def check(self) -> None:
        """Once there is peace, everything is owned, and no accepted commit is lost."""
        for member in self.alive:
            member.session_ms = 60_000
        await settle(*self.alive, within=15)
        owned = [partition for member in self.alive for partition in member.owned]
        topics = await self.engines[0].topics.all()
        assert len(owned) == len(set(owned))
        assert set(owned) == {
            (topic.id, n) for topic in topics.values() for n in range(len(topic.partitions))
        }
        stored = await self.engines[0].groups.fetch_offsets("g")
        for partition, offset in self.world.committed.items():
            assert stored[partition].offset >= offset


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_chaos(redis_url: str, namespace: str, seed: int) -> None:
    async with (
        rig(redis_url, namespace) as one,
        rig(redis_url, namespace) as two,
        rig(redis_url, namespace) as three,
    ):
        world = await Chaos([one, two, three], seed).run(4.0)
    # It was a test only if something happened; how much depends on the machine.
    assert world.handed_over > 5
    assert world.accepted > 20


@pytest.mark.long
@pytest.mark.deadline(400)
@pytest.mark.parametrize("seed", range(10, 20))
async def test_chaos_for_longer(redis_url: str, namespace: str, seed: int) -> None:
    async with rig(redis_url, namespace) as one, rig(redis_url, namespace) as two:
        await Chaos([one, two], seed).run(30.0)
