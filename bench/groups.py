"""How fast a consumer group settles: 100 and 500 members on 1,000 partitions, and 100 of which half
speak the classic protocol.

    python -m bench.groups [--members 100 500] [--mixed 100] [--partitions 1000] [--json FILE]

All members live in this process, and share one connection: what is measured is the coordinator,
not the start of interpreters. Records are not consumed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import rows
from bench.members import BellMember
from bench.mixed_groups import ClassicMember
from partstream.embedded.server import EmbeddedServer
from partstream.engine.groups import ConsumerGroups
from partstream.engine.topics import Topics
from partstream.store.store import Store

GROUP = "bench"
SESSION_MS = 45_000


class Member(BellMember):
    """A member that heartbeats when its bell rings, and lets go at once of what it is told to."""

    def __init__(self, groups: ConsumerGroups, store: Store, number: int) -> None:
        super().__init__(groups, store, GROUP, f"member-{number:04}")
        self.epoch = 0
        self._rung.set()  # its first heartbeat is its join

    async def leave(self) -> None:
        await self.stop()
        await self._groups.heartbeat(GROUP, self.id, -1)

    def ring(self) -> None:
        self._rung.set()

    async def beat(self) -> bool:
        """One heartbeat; whether another is due at once."""
        self.beats += 1
        fields: dict[str, Any] = (
            {"owned": self.owned, "seen": self.version}
            if self.epoch
            else {"subscribed_topics": ["t"], "rebalance_timeout_ms": 300_000, "incarnation": 1}
        )
        answer = await self._groups.heartbeat(
            GROUP, self.id, self.epoch, session_timeout_ms=SESSION_MS, **fields
        )
        self.epoch, self.version = answer.member_epoch, answer.version
        before = self.owned
        if answer.assignment is not None:
            self.owned = answer.assignment
        return bool(before - self.owned) or answer.heartbeat_interval_ms <= 100

    async def _live(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            if await self.beat():
                self._rung.set()


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the table."""

    what: str
    seconds: float
    calls: int
    redis_seconds: float


class Bench:
    """One group of one size."""

    def __init__(self, store: Store, topics: Topics, groups: ConsumerGroups) -> None:
        self.store, self.topics, self.groups = store, topics, groups
        self.members: list[Member] = []
        self.classic: list[ClassicMember] = []
        self.results: list[Result] = []
        self.partitions = 0

    async def measure(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        calls, usec = await self._scripts()
        began = time.perf_counter()
        await work()
        seconds = time.perf_counter() - began
        calls_after, usec_after = await self._scripts()
        self.results.append(
            Result(what, seconds, calls_after - calls, (usec_after - usec) / 1_000_000)
        )

    @property
    def everybody(self) -> list[Member | ClassicMember]:
        return [*self.members, *self.classic]

    async def settled(self) -> None:
        """Until the members own all partitions, each one once, and everybody some."""
        async with asyncio.timeout(60):
            while True:
                shares = [member.owned for member in self.everybody]
                owned = [partition for share in shares for partition in share]
                if len(owned) == self.partitions == len(set(owned)) and all(shares):
                    return
                await asyncio.sleep(0.001)

    async def all_join(self) -> None:
        for member in self.members:
            member.start()
        await self.settled()

    async def classic_ones_join(self) -> None:
        for member in self.classic:
            member.start()
        await self.settled()

    async def one_dies(self) -> None:
        key = self.store.keys.group(GROUP).deadlines
        dead = self.members.pop()
        await dead.stop()
        await self.store.execute("ZADD", key, 1, f"s:{dead.id}", key=key)
        # Among so many somebody's heartbeat is always near; here it comes at once.
        self.members[0].ring()
        await self.settled()

    async def some_leave(self) -> None:
        some = len(self.members) // 10
        leaving, self.members = self.members[:some], self.members[some:]
        await asyncio.gather(*(member.leave() for member in leaving))
        await self.settled()

    async def all_beat(self) -> None:
        await asyncio.gather(*(member.beat() for member in self.everybody))

    async def at_rest(self) -> None:
        """Until nobody hears anything new."""
        while True:
            before = self._versions()
            await self.all_beat()
            if before == self._versions():
                return

    def _versions(self) -> list[int]:
        return [member.version for member in self.everybody]

    async def _scripts(self) -> tuple[int, int]:
        """How many scripts the server has run so far, and for how many microseconds."""
        text = await self.store.execute("INFO", "commandstats", key="any")
        for line in text.decode().splitlines():
            if line.startswith("cmdstat_evalsha:"):
                fields = dict(field.split("=") for field in line.split(":")[1].split(","))
                return int(fields["calls"]), int(fields["usec"])
        return 0, 0


async def run(url: str, members: int, partitions: int) -> list[Result]:
    store = await Store.connect(url, namespace=f"bench-{members}")
    topics = Topics(store)
    groups = ConsumerGroups(store, topics)
    bench = Bench(store, topics, groups)
    try:
        await topics.create("t", partitions)
        bench.partitions = partitions
        bench.members = [Member(groups, store, number) for number in range(members)]
        await asyncio.gather(*(member.listen() for member in bench.members))
        await bench.measure("all join", bench.all_join)
        await bench.at_rest()
        await bench.measure("one dies", bench.one_dies)
        await bench.at_rest()
        await bench.measure("10 % leave", bench.some_leave)
        await bench.at_rest()
        await bench.measure("a heartbeat of each, at rest", bench.all_beat)
        return bench.results
    finally:
        await asyncio.gather(*(member.stop() for member in bench.members))
        await groups.close()
        topics.close()
        await store.close()


async def run_mixed(url: str, members: int, partitions: int) -> list[Result]:
    """A group of which half are members that speak the classic protocol."""
    store = await Store.connect(url, namespace=f"bench-mixed-{members}")
    topics = Topics(store)
    groups = ConsumerGroups(store, topics)
    bench = Bench(store, topics, groups)
    try:
        topic = await topics.create("t", partitions)
        bench.partitions = partitions
        half = range(members // 2)
        what = f"{len(half)} classic ones join {len(half)} others"
        bench.members = [Member(groups, store, number) for number in half]
        await asyncio.gather(*(member.listen() for member in bench.members))
        await bench.all_join()
        await bench.at_rest()
        bench.classic = [ClassicMember(groups, store, GROUP, number, topic.id) for number in half]
        await asyncio.gather(*(member.listen() for member in bench.classic))
        await bench.measure(what, bench.classic_ones_join)
        await bench.at_rest()
        await asyncio.gather(*(member.stop() for member in bench.everybody))
        await bench.measure("a heartbeat of each, at rest, half classic", bench.all_beat)
        return bench.results
    finally:
        await asyncio.gather(*(member.stop() for member in bench.everybody))
        await groups.close()
        topics.close()
        await store.close()


def main() -> None:
    parser = rows.parser(__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--mixed", type=int, nargs="*", default=[100])
    parser.add_argument("--partitions", type=int, default=1_000)
    options = parser.parse_args()
    table = Table("members", "what", "settled after", "scripts", "Redis's time", "a script")
    results: list[rows.Row] = []
    jobs = [(run, members) for members in options.members]
    jobs += [(run_mixed, members) for members in options.mixed]
    with EmbeddedServer() as server:
        for job, members in jobs:
            for result in asyncio.run(job(server.url, members, options.partitions)):
                results.append({"members": members, **asdict(result)})
                table.add_row(
                    str(members),
                    result.what,
                    f"{result.seconds * 1000:.0f} ms",
                    f"{result.calls:,}",
                    f"{result.redis_seconds * 1000:.1f} ms",
                    f"{result.redis_seconds * 1_000_000 / max(1, result.calls):.0f} us",
                )
    Console().print(table)
    rows.write(options.json, results)


if __name__ == "__main__":
    main()
