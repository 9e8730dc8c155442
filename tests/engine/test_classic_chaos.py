"""Classic groups when processes die, members fall silent, and answers are lost: all at random."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from partstream.errors import CoordinatorNotAvailable, MemberIdRequired
from partstream.groups.classic_events import Leave
from tests.engine.classic_members import ClassicMember
from tests.engine.group_members import Rig, rig

PROCESSES, MEMBERS, ROUNDS = 3, 6, 40
SESSION_MS = 1_000


class Chaos:
    """Members of one group, who may be served by any process, and what they were told."""

    def __init__(self, rigs: list[Rig], seed: int) -> None:
        self.rigs = rigs
        self.random = random.Random(seed)
        self.quiet = self.done = False
        self.leaders: dict[int, set[str]] = {}
        self.assigned: dict[tuple[int, str], set[bytes]] = {}
        self.members = [
            ClassicMember(
                rigs[0].groups,
                session_ms=SESSION_MS,
                rebalance_ms=300,
                instance_id=f"i{number}" if number < 2 else None,
            )
            for number in range(MEMBERS)
        ]

    async def live(self, member: ClassicMember) -> None:
        """What a client does; now and then it gives up an answer, or forgets who it is."""
        while not self.settled():
            member.groups = self.random.choice(self.rigs).groups
            try:
                await self.once(member)
            except (CoordinatorNotAvailable, TimeoutError):
                continue

    async def once(self, member: ClassicMember) -> None:
        if not self.quiet and self.random.random() < 0.15:
            member.id = ""  # restarted
        patience = 0.02 if not self.quiet and self.random.random() < 0.3 else 20
        async with asyncio.timeout(patience):
            joined = await member.groups.classic.join("g", member.request())
        if joined.error == MemberIdRequired.code:
            member.id = joined.member_id
            return
        if joined.error != 0:
            member.id = ""
            return
        member.id, member.joined = joined.member_id, joined
        if member.leads and not joined.skip_assignment:
            self.leaders.setdefault(joined.generation, set()).add(member.id)
        given = {
            name: f"{joined.generation} {self.random.random()} {name}".encode()
            for name, _, _ in joined.members
        }
        async with asyncio.timeout(patience):
            synced = await member.sync(given if joined.members else {})
        member.assignment = synced.assignment
        if synced.error != 0:
            return
        self.assigned.setdefault((joined.generation, member.id), set()).add(synced.assignment)
        while not self.settled() and await member.beat() == 0:
            await asyncio.sleep(0.05)
            if not self.quiet and self.random.random() < 0.1:
                if self.random.random() < 0.5:
                    await member.groups.classic.leave(
                        "g", Leave(((member.id, member.instance_id),))
                    )
                return

    def settled(self) -> bool:
        """Whether all have their share of one generation, after the storm."""
        leaders = [member for member in self.members if member.leads]
        self.done = self.done or (
            self.quiet
            and len({member.generation for member in self.members}) == 1
            and len({member.id for member in self.members}) == MEMBERS
            and len(leaders) == 1
            and all(
                member.assignment.startswith(b"%d " % member.generation) for member in self.members
            )
        )
        return self.done

    async def kill(self) -> None:
        """Processes die now and then: those who wait there get no answer."""
        for _ in range(ROUNDS):
            await asyncio.sleep(self.random.uniform(0.0, 0.1))
            await self.random.choice(self.rigs).groups.classic.close()
        self.quiet = True


def kin(member_id: str) -> str:
    """Who it is: all ids of a static member are of one instance."""
    return member_id if member_id.startswith("client") else member_id.partition("-")[0]


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_group_comes_through_and_no_generation_has_two_leaders(
    redis_url: str, namespace: str, seed: int
) -> None:
    async with AsyncExitStack() as stack:
        rigs = [
            await stack.enter_async_context(rig(redis_url, namespace)) for _ in range(PROCESSES)
        ]
        chaos = Chaos(rigs, seed)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(chaos.kill())
            for member in chaos.members:
                tasks.create_task(chaos.live(member))
        assert all(len(leaders) == 1 for leaders in chaos.leaders.values()), chaos.leaders
        for (_, member_id), given in chaos.assigned.items():
            assert len(given) == 1, (member_id, given)
            (one,) = given
            assert one == b"" or kin(one.decode().split()[-1]) == kin(member_id)
        assert chaos.done
        assert len(chaos.leaders) > 1
