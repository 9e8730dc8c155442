"""The index of a cleaned part, beside the list of entries that it stands for."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from partstream.engine.compaction.rows import RowMaker


class Entry(NamedTuple):
    """One of the cleaned part."""

    end: int
    size: int
    latest: int


ENTRIES = st.lists(
    st.tuples(st.integers(1, 5), st.integers(61, 900), st.integers(-1, 50)), max_size=40
).map(
    lambda rows: [
        Entry(end, size, latest)
        for end, (_, size, latest) in zip(accumulate(gap for gap, _, _ in rows), rows, strict=True)
    ]
)


@given(
    entries=ENTRIES,
    segment=st.sampled_from([1, 500, 2_000]),
    most=st.integers(1, 12),
    start=st.integers(0, 120),
)
def test_rows_stand_for_the_entries(
    entries: list[Entry], segment: int, most: int, start: int
) -> None:
    """Whatever start the log has when they are needed, and however few rows there may be."""
    maker, end_size = RowMaker(segment, most), 1_000_000
    for entry in entries:
        maker.add(*entry)
    begin, largest = maker.below(start)
    below = [entry for entry in entries if begin < entry.end <= start]
    assert all(entry.size <= largest for entry in below)
    made = maker.made(start, sum(entry.size for entry in below), end_size)
    held = [entry for entry in entries if entry.end > start]
    assert made.base == end_size - sum(entry.size for entry in held)
    assert made.rows[0] == ("-inf", f"{start:020d}:{made.base}:0")
    assert len(made.rows) <= most + 1
    before, size = start, made.base
    for score, member in made.rows[1:]:
        end, upto, row_largest = map(int, member.split(":"))
        inside = [entry for entry in held if before < entry.end <= end]
        assert inside[-1].end == end
        assert upto == size + sum(entry.size for entry in inside)
        assert row_largest >= max(entry.size for entry in inside)
        assert int(score) >= max(entry.latest for entry in held if entry.end <= end)
        before, size = end, upto
    assert size == end_size
    scores = [int(score) for score, _ in made.rows[1:]]
    assert scores == sorted(scores)


@given(entries=ENTRIES, segment=st.sampled_from([500, 2_000]))
def test_segments_are_as_large_as_they_may_be(entries: list[Entry], segment: int) -> None:
    maker = RowMaker(segment, 100)
    for entry in entries:
        maker.add(*entry)
    sizes = [int(member.split(":")[1]) for _, member in maker.made(0, 0, 0).rows]
    rows = [above - below for below, above in pairwise(sizes)]
    assert all(size <= max(segment, 900) for size in rows)
    assert all(one + other > segment - 900 for one, other in pairwise(rows))
    assert sum(rows) == sum(entry.size for entry in entries)
