"""Histories of keys for a cleaner: what is written, under which configs, and when it is cleaned.

All is drawn from a seed, and is pure: who plays a history says what time it is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from partstream.records.codec import encode
from tests.engine.logs import Producer

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SEGMENT_BYTES = 2_000
_BATCHES = 12
_MOST_RECORDS = 9
_APART_MS = 20
"""Between batches; the records of one are a millisecond apart."""
_LEAST_BATCH = 75
"""No batch is smaller, so that what fills a segment but for less than that has one of its own."""
CLOSING_KEY = b"closing"


class Entry(NamedTuple):
    """A record as it is written."""

    timestamp: int
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Written(NamedTuple):
    """A batch, and what is in it."""

    payload: bytes
    entries: tuple[Entry, ...]
    by: Producer | None


@dataclass(frozen=True)
class Phase:
    """Some batches are written, and then there is something to clean, or nothing."""

    age_ms: int = HOUR_MS
    """How old the records are when they are written."""
    closing_age_ms: int | None = None
    """How old the last batch is that fills a segment alone; None: as old as the others."""
    closes: bool = True
    """Whether there is such a batch. If not, the segment being written has something of all."""
    alter: Mapping[str, str] = field(default_factory=dict)
    """Configs that change before."""
    waits_ms: int = 0
    """How long nobody cleans."""
    deletes: float = 0.0
    """How much of the log is deleted before it is cleaned (DeleteRecords), as a share."""
    lets: bool = True
    """Whether min.cleanable.dirty.ratio lets all be cleaned then; else nothing, by that config."""
    cleans: bool = True
    """Whether something is to be cleaned. What cannot be is seen in nothing but time."""


@dataclass(frozen=True)
class Case:
    """A history."""

    name: str
    seed: int
    keys: int
    phases: Sequence[Phase]
    codec: int = 0
    disorder_ms: int = 0
    """By how much records are older than their place in the log says."""
    configs: Mapping[str, str] = field(default_factory=dict)

    def config(self, name: str, phase: int, default: str) -> str:
        """What a config is in a phase."""
        found = self.configs.get(name, default)
        for one in self.phases[: phase + 1]:
            found = one.alter.get(name, found)
        return found

    @property
    def delete_retention_ms(self) -> int:
        """How long tombstones stay."""
        return int(self.configs.get("delete.retention.ms", DAY_MS))

    @property
    def appends_time(self) -> bool:
        """Whether the log gives records their time."""
        return self.configs.get("message.timestamp.type") == "LogAppendTime"


class History:
    """The batches of a case, phase by phase."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._rng = random.Random(case.seed)
        self._sequences = [0, 0]
        self._number = 0

    def phase(self, phase: Phase, now_ms: int) -> Iterator[Written]:
        """The next ones; those of the same time and number are the same."""
        at = now_ms - phase.age_ms
        for _ in range(_BATCHES):
            yield self._batch(at)
            at += _APART_MS
        if phase.closes:
            if phase.closing_age_ms is not None:
                at = now_ms - phase.closing_age_ms
            yield _closing(at)

    def _batch(self, at: int) -> Written:
        rng = self._rng
        entries = [self._entry(at + place) for place in range(rng.randint(1, _MOST_RECORDS))]
        by = None
        if rng.random() < 0.5:
            who = rng.randrange(len(self._sequences))
            by = Producer(1_000_000 + 10 * self._case.seed + who, 0, self._sequences[who])
            self._sequences[who] += len(entries)
        return written(entries, self._case.codec, by)

    def _entry(self, at: int) -> Entry:
        rng = self._rng
        self._number += 1
        key = b"key %d" % rng.randrange(self._case.keys)
        value = None
        if rng.random() >= 0.2:
            value = b"%d " % self._number + b"v" * rng.randint(0, 80)
        headers = (("trace", b"%d" % self._number), ("none", None)) if rng.random() < 0.2 else ()
        return Entry(at - rng.randint(0, self._case.disorder_ms), key, value, headers)


def written(entries: Sequence[Entry], codec: int, by: Producer | None) -> Written:
    """A batch of these records."""
    made = by or Producer(-1, -1, -1)
    payload = encode(
        entries,
        codec,
        producer_id=made.id,
        producer_epoch=made.epoch,
        base_sequence=made.sequence,
    )
    return Written(payload, tuple(entries), by)


def _closing(at: int) -> Written:
    """A batch that no other one shares a segment with."""
    value = b"c" * (SEGMENT_BYTES - _LEAST_BATCH - len(CLOSING_KEY))
    one = written([Entry(at, CLOSING_KEY, value)], 0, None)
    assert SEGMENT_BYTES - _LEAST_BATCH < len(one.payload) <= SEGMENT_BYTES
    return one


_COMPACT = {"cleanup.policy": "compact"}
_THRICE = (Phase(), Phase(), Phase())
_TWO_HOURS = Phase(age_ms=2 * HOUR_MS)

CASES = [
    Case("none", 1, 5, _THRICE),
    Case("tombstones go", 2, 40, _THRICE, configs={"delete.retention.ms": "0"}),
    Case("gzip", 3, 12, _THRICE, codec=1, configs={"delete.retention.ms": "0"}),
    Case("snappy", 4, 7, _THRICE, codec=2),
    Case("lz4", 5, 25, _THRICE, codec=3, configs={"delete.retention.ms": "0"}),
    Case("zstd", 6, 3, _THRICE, codec=4, configs={"delete.retention.ms": "0"}),
    Case(
        "tombstones go after a while",
        7,
        30,
        [Phase(), Phase(waits_ms=1_500), Phase(waits_ms=1_500)],
        configs={"delete.retention.ms": "1000"},
    ),
    Case("the segment being written has some of all", 8, 6, [Phase(closes=False)] * 4),
    Case("records out of order", 9, 10, _THRICE, disorder_ms=500),
    Case(
        "LogAppendTime",
        10,
        10,
        _THRICE,
        configs={"message.timestamp.type": "LogAppendTime", "delete.retention.ms": "0"},
    ),
    Case(
        "LogAppendTime, compressed",
        11,
        10,
        _THRICE,
        codec=4,
        configs={"message.timestamp.type": "LogAppendTime"},
    ),
    Case(
        "what is young stays whole",
        12,
        5,
        [_TWO_HOURS, Phase(age_ms=0, cleans=False), Phase(age_ms=2 * HOUR_MS, cleans=False)],
        configs={"min.compaction.lag.ms": str(HOUR_MS)},
    ),
    Case(
        "what is old cannot wait",
        13,
        5,
        [
            Phase(age_ms=HOUR_MS, closing_age_ms=HOUR_MS // 2, lets=False),
            Phase(age_ms=HOUR_MS // 2, lets=False, cleans=False),
            Phase(
                age_ms=HOUR_MS // 2, alter={"max.compaction.lag.ms": str(HOUR_MS // 3)}, lets=False
            ),
        ],
        configs={"max.compaction.lag.ms": str(50 * HOUR_MS // 60)},
    ),
    Case(
        "records are deleted, too",
        14,
        6,
        [Phase(), Phase(deletes=0.3), Phase(deletes=0.7)],
        configs={"cleanup.policy": "compact,delete"},
    ),
    Case(
        "what is old goes",
        15,
        6,
        [
            Phase(age_ms=3 * HOUR_MS, closing_age_ms=0, lets=False, cleans=False),
            Phase(age_ms=0),
            Phase(age_ms=0),
        ],
        configs={"cleanup.policy": "compact,delete", "retention.ms": str(2 * HOUR_MS)},
    ),
    Case(
        "the policy changes",
        16,
        6,
        [
            Phase(alter={"cleanup.policy": "delete"}, cleans=False),
            Phase(alter=_COMPACT),
            Phase(alter={"cleanup.policy": "delete"}, cleans=False),
            Phase(alter={"cleanup.policy": "compact,delete"}),
        ],
    ),
]


def drawn(seed: int) -> Case:
    """A case that nobody has thought of."""
    rng = random.Random(seed)
    lag_ms = rng.choice([0, 0, 0, HOUR_MS])
    # Where nothing can be cleaned for the lag, tombstones go when the server likes.
    retention_ms = DAY_MS if lag_ms else rng.choice([0, 1_000, DAY_MS])
    phases: list[Phase] = []
    for _ in range(rng.randint(2, 4)):
        young = bool(lag_ms) and bool(phases) and rng.random() < 0.3
        phases.append(
            Phase(
                age_ms=0 if young else 2 * HOUR_MS,
                closes=not young and rng.random() < 0.7,
                waits_ms=1_500 if retention_ms == 1_000 else 0,
                deletes=rng.choice([0, 0, 0, rng.random()]),
            )
        )
    configs = {
        "cleanup.policy": rng.choice(["compact", "compact,delete"]),
        "delete.retention.ms": str(retention_ms),
        "min.compaction.lag.ms": str(lag_ms),
    }
    # A topic without `delete` is not deleted from. And for the lag the gateway counts young ones
    # that were deleted, too: it cleans later than Kafka what was written after them.
    if lag_ms or configs["cleanup.policy"] == "compact":
        phases = [Phase(**{**vars(one), "deletes": 0.0}) for one in phases]
    if not lag_ms and rng.random() < 0.3:
        configs["message.timestamp.type"] = "LogAppendTime"
    return Case(
        f"drawn {seed}",
        seed,
        rng.choice([1, 3, 10, 40, 200]),
        phases,
        codec=rng.randrange(5),
        disorder_ms=rng.choice([0, 0, 500]),
        configs=configs,
    )
