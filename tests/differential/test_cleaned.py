"""The model of what cleaning may leave finds what may not be."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from partstream.records import header
from partstream.records.codec import decode
from tests.differential.cleaned import Found, Look, Model, Terms
from tests.differential.histories import Entry, Written, written
from tests.engine.logs import NOW, Producer

RETENTION_MS = 1_000
DONE = Terms(lag_ms=0, delete_retention_ms=RETENTION_MS, retention_ms=None, done=True)
HORIZON = NOW + RETENTION_MS
FIRST = Producer(7, 0, 0)


def batch(*pairs: tuple[bytes, int | None], by: Producer | None = None) -> Written:
    """Keys, and how long their values are."""
    entries = [
        Entry(NOW + place, key, None if size is None else b"v" * size)
        for place, (key, size) in enumerate(pairs)
    ]
    return written(entries, 0, by)


def model() -> Model:
    """Offsets 0 to 6 are one segment, 7 and 8 the one being written."""
    found = Model()
    found.append(batch((b"a", 100), (b"b", 100), by=FIRST))
    found.append(batch((b"a", 100), (b"c", None), (b"d", 100)))
    found.append(batch((b"e", 600), (b"d", 600)))
    found.append(batch((b"a", 700), (b"a", 700)))
    return found


def as_written(seen: Model) -> Look:
    """A look at all, before anybody has cleaned."""
    batches = []
    for one in seen.placed:
        head = header.parse(one.written.payload)._replace(base_offset=one.base)
        batches.append((head, decode(one.written.payload, "t", 0, one.base)))
    return Look(0, seen.end, batches, NOW, NOW)


def look(seen: Model, left: Iterable[int], *, horizon: int = HORIZON, start: int = 0) -> Look:
    """A look at these offsets."""
    offsets, batches = set(left), []
    for head, records in as_written(seen).batches:
        held = [record for record in records if record.offset in offsets]
        changed = {"record_count": len(held)}
        if any(record.value is None for record in held):
            changed["attributes"] = head.attributes | header.DELETE_HORIZON_BIT
            changed["base_timestamp"] = horizon
        if held:
            latest = max(record.timestamp for record in held)
            batches.append((head._replace(**changed, max_timestamp=latest), held))
    return Look(start, seen.end, batches, NOW, NOW)


CLEAN = {1, 2, 3, 5, 6, 7, 8}


def test_what_is_clean_has_no_faults() -> None:
    assert model().faults(look(model(), CLEAN), DONE) == []


def test_what_is_not_clean_yet_may_be_so_meanwhile() -> None:
    dirty = look(model(), range(9))
    assert model().faults(dirty, DONE)
    assert model().faults(dirty, DONE._replace(done=None)) == []


@pytest.mark.parametrize(
    ("left", "fault"),
    [
        (CLEAN - {1}, "gone are 1"),
        (CLEAN - {3}, "gone are 3"),
        (CLEAN - {7}, "gone are 7"),
        (CLEAN | {0}, "left are 0"),
        (CLEAN | {4}, "left are 4"),
    ],
    ids=["a last value", "a tombstone", "what is being written", "an old value", "another"],
)
@pytest.mark.parametrize("done", [True, None])
def test_what_is_lost_or_left_is_found(left: set[int], fault: str, done: bool | None) -> None:
    seen = look(model(), left)
    allowed = done is None and fault.startswith("left")
    assert (fault in model().faults(seen, DONE._replace(done=done))) is not allowed


def _first(change: Callable[..., Found]) -> Callable[[Look], Look]:
    """Changes the first batch."""

    def changed(seen: Look) -> Look:
        head, held = seen.batches[0]
        return seen._replace(batches=[change(head, held), *seen.batches[1:]])

    return changed


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_first(lambda h, r: (h, [r[0]._replace(value=b"w")])), "not Entry"),
        (_first(lambda h, r: (h, [r[0]._replace(timestamp=1)])), "not Entry"),
        (_first(lambda h, r: (h, [r[0]._replace(headers=(("h", b""),))])), "not Entry"),
        (_first(lambda h, r: (h._replace(last_offset_delta=0), r)), "no such batch"),
        (_first(lambda h, r: (h._replace(producer_id=8), r)), "another producer_id"),
        (_first(lambda h, r: (h._replace(producer_epoch=1), r)), "another producer_epoch"),
        (_first(lambda h, r: (h._replace(base_sequence=1), r)), "another base_sequence"),
        (_first(lambda h, r: (h._replace(record_count=2), r)), "has 1 records"),
        (_first(lambda h, r: (h._replace(max_timestamp=1), r)), "largest timestamp"),
        (lambda seen: seen._replace(batches=seen.batches[1:]), "of producers are gone"),
        (lambda seen: seen._replace(batches=seen.batches[::-1]), "do not ascend"),
        (lambda seen: seen._replace(start=2), "was not to go"),
        (lambda seen: seen._replace(end=10), "the log ends at 10"),
        (lambda seen: look(model(), CLEAN, horizon=HORIZON - 1), "is to go at"),
        (lambda seen: look(model(), CLEAN, horizon=HORIZON + 1), "is to go at"),
    ],
)
def test_what_is_changed_is_found(change: Callable[[Look], Look], fault: str) -> None:
    found = model().faults(change(look(model(), CLEAN)), DONE)
    assert any(fault in one for one in found), found


def test_a_batch_is_empty_only_for_its_producer_or_for_where_the_cleaned_part_ends() -> None:
    own = model()
    clean = look(own, CLEAN)

    def emptied(place: int) -> list[str]:
        batches = list(clean.batches)
        head, _ = batches[place]
        batches[place] = (head._replace(record_count=0), [])
        return own.faults(clean._replace(batches=batches), DONE)

    assert not [one for one in emptied(0) if "is empty" in one]
    assert [one for one in emptied(1) if "is empty" in one]
    assert not [one for one in emptied(2) if "is empty" in one]


def test_tombstones_go_when_their_time_is_over_and_their_segment_is_cleaned_again() -> None:
    own = model()
    own.accept(look(own, CLEAN), DONE)
    own.append(batch((b"f", 700), (b"f", 700)))
    left = {1, 5, 6, 8, 9, 10}
    for later, is_over in ((RETENTION_MS - 1, False), (RETENTION_MS, True)):
        for there in (left, left | {3}):
            at = NOW + later
            seen = look(own, there)._replace(since_ms=at, until_ms=at)
            assert bool(own.faults(seen, DONE)) is ((3 in there) is is_over)


def test_what_is_gone_does_not_come_back() -> None:
    own = model()
    own.accept(look(own, CLEAN), DONE)
    assert "at 0 is again what was gone" in own.faults(
        look(own, CLEAN | {0}), DONE._replace(done=None)
    )


def test_what_is_young_is_left_alone() -> None:
    own = model()
    terms = DONE._replace(lag_ms=10)
    assert own.faults(look(own, CLEAN), terms)
    assert own.faults(as_written(own), terms) == []
