"""The same histories of keys, cleaned by Apache Kafka and through the gateway.

What Kafka has left of them is in `recordings/compaction.json`. To record it again, on a Kafka of
one node that looks for something to clean often (`log.cleaner.backoff.ms=200`):

    python -m tests.differential.compaction localhost:9092

With `--live SEED` histories that are drawn, from that seed on, are played to both, and compared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from partstream.aio import Admin
from partstream.embedded.server import EmbeddedServer
from partstream.records import header
from partstream.records.codec import decode
from partstream.store.scripts import Script
from partstream.store.store import Store
from tests.differential.cleaned import Look, Model, Terms, rows
from tests.differential.compare import differences
from tests.differential.histories import CASES, HOUR_MS, SEGMENT_BYTES, Case, History, Phase, drawn
from tests.differential.session import LIST_OFFSETS, PRODUCE, Address, Session
from tests.gateway.gateways import gateway
from tests.waiting import until

RECORDING = Path(__file__).with_name("recordings") / "compaction.json"
FETCH, DELETE_RECORDS, ALTER_CONFIGS = 1, 21, 44
_EARLIEST, _LATEST, _OF_MAX_TIMESTAMP = -2, -1, -3
_NONE = -1
_TOPIC, _SET = 2, 0
_RATIO = "min.cleanable.dirty.ratio"
_SOON_S, _SETTLED_S, _EVERY_S = 60.0, 2.5, 0.25

Seen = list[dict[str, Any]]
"""What is compared after each phase."""
Faults = Callable[[], Awaitable[list[str]]]
"""What is not as it may be, or is not clean yet."""
Clean = Callable[[Faults, Phase], Awaitable[None]]
"""Has a server clean."""


class Side(NamedTuple):
    """A server."""

    address: Address
    segment_bytes: str
    """The config's name: Kafka's own has a minimum."""
    clean: Clean
    is_kafka: bool


class Play:
    """One case on one side."""

    def __init__(self, case: Case, side: Side, session: Session) -> None:
        self.model = Model()
        self._case = case
        self._side = side
        self._session = session
        self._topic = ""
        self._since = 0

    async def run(self) -> Seen:
        """Play it.

        Raises:
            AssertionError: something is left that may not be, or is not that must.
        """
        configs = {"cleanup.policy": "compact", **self._case.configs, _RATIO: "1"}
        configs[self._side.segment_bytes] = str(SEGMENT_BYTES)
        topic = await self._session.topic(
            "c", 1, **{name.replace(".", "_"): value for name, value in configs.items()}
        )
        self._topic = topic.name
        history, found = History(self._case), []
        for number, phase in enumerate(self._case.phases):
            found.append(await self._phase(history, number, phase))
        await self._repeat()
        return found

    async def _phase(self, history: History, number: int, phase: Phase) -> dict[str, Any]:
        await self._alter(phase.alter)
        for one in history.phase(phase, now_ms()):
            answer = await self._session.produce(self._topic, one.payload)
            at, base = answer["log_append_time"], answer["base_offset"]
            assert base == self.model.end
            if at is not None and at >= 0:
                entries = tuple(entry._replace(timestamp=at) for entry in one.entries)
                one = one._replace(entries=entries)  # noqa: PLW2901
            self.model.append(one)
        await asyncio.sleep(phase.waits_ms / 1000)
        if phase.deletes:
            await self._delete(int(phase.deletes * self.model.end))
        terms = self._terms(number, phase)
        self._since = now_ms()
        if phase.lets:
            await self._alter({_RATIO: "0"})

        where = f"{self._case}, phase {number}, {'Kafka' if self._side.is_kafka else 'ours'}"

        async def faults() -> list[str]:
            look = await self._look()
            # Whoever reads while it is cleaned finds all that there must be.
            assert not (wrong := self.model.faults(look, terms._replace(done=None))), (where, wrong)
            return self.model.faults(look, terms)

        await self._side.clean(faults, phase)
        look = await self._look()
        assert not (wrong := self.model.faults(look, terms)), (where, wrong)
        self.model.accept(look, terms)
        await self._check_times(look)
        await self._alter({_RATIO: "1"})
        return {
            "start": look.start,
            "end": look.end,
            "batches": rows(look, self.model.placed),
        }

    def _terms(self, number: int, phase: Phase) -> Terms:
        policy = self._case.config("cleanup.policy", number, "compact")
        retention_ms = int(self._case.config("retention.ms", number, str(7 * 86_400_000)))
        lag_ms = int(self._case.config("min.compaction.lag.ms", number, "0"))
        return Terms(
            lag_ms=lag_ms,
            delete_retention_ms=self._case.delete_retention_ms,
            retention_ms=retention_ms if "delete" in policy else None,
            done=phase.cleans,
        )

    # What is asked of the server.

    async def _alter(self, configs: Mapping[str, str]) -> None:
        if not configs:
            return
        wanted = [
            {"name": name, "config_operation": _SET, "value": value}
            for name, value in configs.items()
        ]
        topic = {"resource_type": _TOPIC, "resource_name": self._topic, "configs": wanted}
        answer = await self._session.call(ALTER_CONFIGS, resources=[topic], validate_only=False)
        assert answer["responses"][0]["error_code"] == "NONE", answer

    async def _delete(self, offset: int) -> None:
        partition = {"partition_index": 0, "offset": offset}
        answer = await self._session.call(
            DELETE_RECORDS,
            topics=[{"name": self._topic, "partitions": [partition]}],
            timeout=10_000,
        )
        assert answer["topics"][0]["partitions"][0]["error_code"] == "NONE", answer
        self.model.deleted = max(self.model.deleted, offset)

    async def _offset(self, time_ms: int) -> int:
        row = {"partition_index": 0, "timestamp": time_ms, "current_leader_epoch": -1}
        answer = await self._session.call(
            LIST_OFFSETS,
            8,
            replica_id=-1,
            isolation_level=0,
            topics=[{"name": self._topic, "partitions": [row]}],
        )
        found = answer["topics"][0]["partitions"][0]
        assert found["error_code"] == "NONE", found
        offset: int = found["offset"]
        return offset

    async def _look(self) -> Look:
        """All that a reader from the start gets."""
        start, end = await self._offset(_EARLIEST), await self._offset(_LATEST)
        batches, at = list[Any](), start
        while at < end and (some := await self._fetch(at)):
            for batch in some:
                head = header.parse(batch)
                header.check_crc(batch)
                batches.append((head, decode(batch, self._topic, 0, head.base_offset)))
            at = batches[-1][0].base_offset + batches[-1][0].last_offset_delta + 1
        return Look(start, end, batches, self._since, now_ms())

    async def _fetch(self, offset: int) -> list[bytes]:
        wanted = {
            "partition": 0,
            "fetch_offset": offset,
            "partition_max_bytes": 1 << 20,
            "current_leader_epoch": -1,
            "last_fetched_epoch": -1,
            "log_start_offset": -1,
        }
        answer = await self._session.call(
            FETCH,
            12,
            replica_id=-1,
            max_wait=0,
            min_bytes=0,
            max_bytes=1 << 22,
            isolation_level=0,
            session_id=0,
            session_epoch=-1,
            topics=[{"topic": self._topic, "partitions": [wanted]}],
            rack_id="",
        )
        row = answer["responses"][0]["partitions"][0]
        assert row["error_code"] == "NONE", row
        return list(_apart(row["records"] or b""))

    async def _check_times(self, look: Look) -> None:
        """For a time the first record is told that is no older; and which one is the youngest.

        Kafka says -1 once a segment was cleaned of all that it held: it takes such a one for as
        young as its file, looks into it, and no further. So it does where the youngest record was
        that is gone.
        """
        youngest = await self._offset(_OF_MAX_TIMESTAMP)
        latest = max(record.timestamp for record in look.records)
        if youngest != _NONE or not self._side.is_kafka:
            assert self.model.entries[youngest].timestamp == latest, (youngest, latest)
        if self._case.appends_time:
            return  # two batches may have the same time, or not
        times = [one.written.entries[-1].timestamp for one in self.model.placed[::3]]
        for time_ms in [*times, max(times) + HOUR_MS]:
            found, right = await self._offset(time_ms), look.offset_at(time_ms)
            assert found == right or (self._side.is_kafka and found == _NONE), (time_ms, found)

    async def _repeat(self) -> None:
        """What producers have sent last they send again, and it is there already."""
        last = {one.written.by.id: one for one in self.model.placed if one.written.by}
        for one in last.values():
            if one.base < self.model.deleted:
                continue
            answer = await self._session.produce(self._topic, one.written.payload)
            assert answer["base_offset"] == one.base, (answer, one)
        assert await self._offset(_LATEST) == self.model.end


def _apart(data: bytes) -> Iterator[bytes]:
    """Batches; the last may be cut off."""
    at = 0
    while len(data) - at >= header.HEADER_SIZE:
        end = at + header.LENGTH_END + int.from_bytes(data[at + 8 : at + 12], "big")
        if end > len(data):
            break
        yield data[at:end]
        at = end


def now_ms() -> int:
    """The time."""
    return time.time_ns() // 1_000_000


# The two sides.


async def _is_empty(faults: Faults) -> bool:
    return not await faults()


def kafka(bootstrap: str) -> Side:
    """Apache Kafka, which cleans when it likes."""
    host, _, port = bootstrap.rpartition(":")

    async def clean(faults: Faults, phase: Phase) -> None:
        if phase.cleans:
            await until(partial(_is_empty, faults), within=_SOON_S, every=_EVERY_S)
        else:
            await asyncio.sleep(_SETTLED_S)  # nothing is to be seen, for so long

    return Side(Address(host, int(port)), "internal.segment.bytes", clean, is_kafka=True)


@asynccontextmanager
async def ours(url: str, namespace: str) -> AsyncIterator[Side]:
    """A gateway that cleans when it is told to, and at no other time."""
    store = await Store.connect(url, namespace=namespace)
    # Else its first sweep comes in between, and takes tombstones whose time is over.
    assert await store.run(Script("store/lease"), [store.keys.meta.sweep], ["a test", 2 * HOUR_MS])
    try:
        async with (
            gateway(url, namespace, log_retention_check_interval_ms=HOUR_MS) as running,
            Admin(url, namespace=namespace) as admin,
        ):

            async def clean(faults: Faults, phase: Phase) -> None:
                await admin.maintain()

            yield Side(Address(*running.address), "segment.bytes", clean, is_kafka=False)
    finally:
        await store.close()


async def play(case: Case, side: Side) -> Seen:
    """What is left of a case after each phase."""
    async with Session(side.address, PRODUCE, 9) as session:
        return await Play(case, side, session).run()


async def record(bootstrap: str) -> None:
    """Record every case."""
    found = {}
    for case in CASES:
        found[case.name] = await play(case, kafka(bootstrap))
        print(f"{case.name}: {[len(one['batches']) for one in found[case.name]]} batches")
    text = ",\n".join(
        f"{json.dumps(name)}:[\n"
        + ",\n".join(json.dumps(row, separators=(",", ":")) for row in looks)
        + "\n]"
        for name, looks in found.items()
    )
    await asyncio.to_thread(RECORDING.write_text, f"{{\n{text}\n}}\n", encoding="utf-8")


async def live(bootstrap: str, seed: int, count: int) -> None:
    """Play histories that are drawn to both, and compare.

    Raises:
        SystemExit: they differ, or one is not as it may be.
    """
    with EmbeddedServer() as server:
        async with ours(server.url, "live") as own:
            for number in range(seed, seed + count):
                case = drawn(number)
                theirs, left = await asyncio.gather(play(case, kafka(bootstrap)), play(case, own))
                if found := list(differences(theirs, left)):
                    raise SystemExit(f"{case}:\n" + "\n".join(map(str, found)))
                print(f"{case.name}: the same")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("bootstrap", help="HOST:PORT of Kafka")
    parser.add_argument("--live", type=int, help="draw histories from this seed on", metavar="SEED")
    parser.add_argument("--count", type=int, default=10, help="so many of them")
    given = parser.parse_args()
    if given.live is None:
        asyncio.run(record(given.bootstrap))
    else:
        asyncio.run(live(given.bootstrap, given.live, given.count))
