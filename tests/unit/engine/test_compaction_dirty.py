"""The batches of the dirty part, as its cleaner remembers them."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from partstream.engine.compaction.dirty import Dirty

BATCHES = st.lists(st.tuples(st.integers(1, 9), st.integers(61, 900), st.booleans()), max_size=40)


def made(batches: list[tuple[int, int, bool]]) -> tuple[Dirty, list[int]]:
    """The columns, and the ends."""
    dirty, ends = Dirty(100), list[int]()
    for records, size, _ in batches:
        ends.append((ends[-1] if ends else 100) + records)
        dirty.add(ends[-1], size)
    for _ in dirty.decide(lambda number, end: end == ends[number] and batches[number][2], 3):
        pass
    return dirty, ends


@given(batches=BATCHES, size=st.sampled_from([1, 1_000, 10**6]), most=st.integers(1, 9))
def test_runs_hold_all_that_stays(
    batches: list[tuple[int, int, bool]], size: int, most: int
) -> None:
    dirty, ends = made(batches)
    gap, read, done = 900, set[int](), 0
    for run in dirty.runs(size=size, batches=most, gap=gap):
        numbers = range(run.first, run.after)
        assert 1 <= len(numbers) <= most
        assert run.begin == (ends[run.first - 1] if run.first else 100)
        assert run.end == ends[run.after - 1]
        assert run.skipped == sum(row[1] for row in batches[done : run.first])
        assert len(numbers) == 1 or sum(batches[number][1] for number in numbers) <= size
        for number in (numbers[0], numbers[-1]):
            assert dirty.stays(number), "what goes is read only between others"
        assert not read & set(numbers)
        read |= set(numbers)
        done = run.after
    assert {number for number, row in enumerate(batches) if row[2]} <= read


@given(batches=BATCHES)
def test_short_gaps_are_read_and_long_ones_are_not(
    batches: list[tuple[int, int, bool]],
) -> None:
    dirty, _ = made(batches)
    staying = [number for number, row in enumerate(batches) if row[2]]
    gaps = [
        sum(row[1] for row in batches[below + 1 : above])
        for below, above in itertools.pairwise(staying)
    ]
    runs = list(dirty.runs(size=10**9, batches=10**9, gap=1_000))
    assert len(runs) == (1 + sum(gap > 1_000 for gap in gaps) if staying else 0)


@given(batches=BATCHES, size=st.sampled_from([1, 1_000, 10**6]), most=st.integers(1, 9))
def test_steps_go_through_all_of_it(
    batches: list[tuple[int, int, bool]], size: int, most: int
) -> None:
    dirty, ends = made(batches)
    steps = list(dirty.steps(size=size, batches=most))
    assert [end for end, _ in steps] == sorted({end for end, _ in steps})
    assert sum(bytes_ for _, bytes_ in steps) == dirty.size == sum(row[1] for row in batches)
    below = 100
    for end, bytes_ in steps:
        inside = [row for row, at in zip(batches, ends, strict=True) if below < at <= end]
        assert bytes_ == sum(row[1] for row in inside)
        assert 1 <= len(inside) <= most
        assert len(inside) == 1 or bytes_ <= size
        below = end
    assert (steps[-1][0] if steps else 100) == dirty.end


@given(batches=BATCHES, offset=st.integers(90, 500))
def test_bytes_behind_an_offset(batches: list[tuple[int, int, bool]], offset: int) -> None:
    dirty, ends = made(batches)
    behind = [row[1] for row, end in zip(batches, ends, strict=True) if end > offset]
    assert dirty.bytes_behind(offset) == sum(behind)
