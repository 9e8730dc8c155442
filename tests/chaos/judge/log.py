"""What must hold of the log, and of what producers were told of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from math import inf

from tests.chaos.history import Acked, Began, Failed, LossSeen, Sent, Stored
from tests.chaos.judge.anomaly import Anomaly, Promise
from tests.chaos.judge.view import View, short

_GIVEN_UP = "_MSG_TIMED_OUT"
"""How librdkafka calls it that a record was not acknowledged within delivery.timeout.ms."""


def dense(seen: View) -> Iterator[Anomaly]:
    """Offsets go from the log's start to its end, one by one; epochs never go back."""
    for partition, end in seen.ends.items():
        rows = seen.rows[partition]
        offsets = [row.offset for row in rows]
        if offsets != list(range(end.start, end.end)):
            wrong = next(
                (at for at, pair in enumerate(zip(offsets, range(end.start, end.end), strict=False))
                 if pair[0] != pair[1]),
                min(len(offsets), end.end - end.start),
            )  # fmt: skip
            yield Anomaly(
                "not dense",
                f"partition {partition} says {end.start} to {end.end}, and holds {len(offsets)} "
                f"records; the first wrong one is number {wrong}",
            )
        for before, after in pairwise(rows):
            if after.epoch < before.epoch:
                yield Anomaly(
                    "epoch went back",
                    f"partition {partition}, offset {after.offset}: {before.epoch} to "
                    f"{after.epoch}",
                )


def sent_once(seen: View) -> Iterator[Anomaly]:
    """The log holds nothing that was not sent; an idempotent producer's records once.

    But librdkafka, when it gives records up, begins a new epoch, and sends all that is unanswered
    once more in it, whether it was written or not.
    """
    sent = {event.value: event for event in seen.of(Sent)}
    refused = {event.value for event in seen.of(Failed) if event.certain}
    idempotent = {event.client for event in seen.of(Began) if event.idempotent}
    fresh_starts = _fresh_starts(seen)
    places: dict[str, list[Stored]] = defaultdict(list)
    for rows in seen.rows.values():
        for row in rows:
            places[row.value].append(row)
    for value, found in places.items():
        event = sent.get(value)
        where = ", ".join(f"{row.partition}@{row.offset} ({row.producer})" for row in found)
        if event is None or event.key != found[0].key:
            yield Anomaly("phantom", f"{short(value)} is at {where}, and nobody sent it so")
        elif value in refused:
            yield Anomaly("phantom", f"{short(value)} was refused, and is at {where}")
        elif len(found) > 1 and event.client in idempotent:
            epochs = {row.producer for row in found}
            if len(epochs) < len(found) or value not in fresh_starts:
                yield Anomaly("duplicate", f"{short(value)} is at {where}")


def _fresh_starts(seen: View) -> set[str]:
    """What was on its way when its producer, one of librdkafka's, gave something up."""
    given_up: dict[str, list[float]] = defaultdict(list)
    for failed in seen.of(Failed):
        if failed.error == _GIVEN_UP:
            insort(given_up[failed.client], failed.at)
    until = {event.value: event.at for event in seen.events if isinstance(event, Acked | Failed)}
    return {
        sent.value
        for sent in seen.of(Sent)
        for times in (given_up.get(sent.client, []),)
        if bisect_left(times, sent.at) < bisect_right(times, until.get(sent.value, inf))
    }


def ordered(seen: View) -> Iterator[Anomaly]:
    """Each key keeps to a partition, and an idempotent producer's records to their order."""
    order = {event.value: (event.client, at) for at, event in enumerate(seen.of(Sent))}
    idempotent = {event.client for event in seen.of(Began) if event.idempotent}
    homes: dict[str, int] = {}
    for partition, rows in seen.rows.items():
        latest: dict[str, tuple[int, Stored]] = {}
        for row in _first_of_each(rows):
            if homes.setdefault(row.key, partition) != partition:
                yield Anomaly(
                    "reordered", f"key {row.key} is in {homes[row.key]} and in {partition}"
                )
            client, at = order.get(row.value, ("", 0))
            if client not in idempotent:
                continue
            before = latest.get(client)
            if before is not None and before[0] > at:
                yield Anomaly(
                    "reordered",
                    f"partition {partition}: {short(row.value)} at {row.offset} stands behind "
                    f"{short(before[1].value)} at {before[1].offset}, which was sent later",
                )
            else:
                latest[client] = (at, row)


def _first_of_each(rows: list[Stored]) -> Iterable[Stored]:
    """Rows without those that repeat one before, of which `sent_once` judges."""
    first: dict[str, Stored] = {}
    for row in rows:
        first.setdefault(row.value, row)
    return first.values()


def kept(seen: View, promise: Promise) -> Iterator[Anomaly]:
    """What was acknowledged is in the log, or its producer was told."""
    told: dict[tuple[str, int], list[LossSeen]] = defaultdict(list)
    for loss in seen.of(LossSeen):
        told[loss.client, loss.partition].append(loss)
    lasting: dict[tuple[str, int], float] = {}
    acks = seen.of(Acked)
    for ack in acks:
        if _is_there(seen, ack):
            lasting[ack.client, ack.partition] = ack.at
    for ack in acks:
        if _is_there(seen, ack):
            continue
        now = short(seen.stored(ack.partition, ack.offset))
        what = (
            f"{short(ack.value)} was acknowledged at {ack.partition}@{ack.offset}, where there is "
            f"now {now}"
        )
        if not promise.may_lose:
            yield Anomaly("lost", what)
        elif lasting.get((ack.client, ack.partition), 0.0) <= ack.at:
            continue  # the producer had no later answer by which to notice
        elif not any(
            loss.at >= ack.at and loss.first <= ack.offset < loss.next
            for loss in told[ack.client, ack.partition]
        ):
            yield Anomaly("lost unnoticed", what)


def _is_there(seen: View, ack: Acked) -> bool:
    if ack.offset < 0:
        return ack.value in seen.values(ack.partition)
    return seen.stored(ack.partition, ack.offset) == ack.value


def false_alarms(seen: View) -> Iterator[Anomaly]:
    """A producer is not told of losses that there are not."""
    acks: dict[tuple[str, int], list[Acked]] = defaultdict(list)
    for ack in seen.of(Acked):
        acks[ack.client, ack.partition].append(ack)
    for loss in seen.of(LossSeen):
        mine = [
            ack
            for ack in acks[loss.client, loss.partition]
            if loss.first <= ack.offset < loss.next and ack.at <= loss.at
        ]
        if mine and all(seen.stored(ack.partition, ack.offset) == ack.value for ack in mine):
            yield Anomaly(
                "false alarm",
                f"{loss.client} was told that {loss.partition}@{loss.first} to {loss.next - 1} is "
                "gone, and all it had there is there",
            )
