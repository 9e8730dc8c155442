"""Proves, from what the consumers wrote down, that nothing was lost or taken out of order. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from partstream.demo.flights import Flight
from partstream.demo.journal import Entry


class Check(NamedTuple):
    """One thing that was to be proved."""

    claim: str
    holds: bool
    detail: str
    """The numbers behind it; where it does not hold, the first thing that is wrong."""


def prove(
    flights: Sequence[Flight],
    entries: Iterable[Entry],
    committed: Mapping[int, int],
    ends: Mapping[int, int],
) -> list[Check]:
    """Check everything that the demo promises.

    Args:
        flights: the file.
        entries: what the consumers wrote down.
        committed: partition -> the group's committed offset.
        ends: partition -> the log's end.
    """
    in_time = sorted(entries)
    first = _first_times(in_time)
    return [
        _at_least_once(flights, in_time, first),
        _partitions_in_order(first),
        _aircraft_in_order(flights, first),
        _all_committed(committed, ends),
        _same_totals(flights, first),
    ]


def _first_times(in_time: Iterable[Entry]) -> list[Entry]:
    """Each record when it was processed first, in the order of time."""
    seen: set[tuple[int, int]] = set()
    first = []
    for entry in in_time:
        where = entry.partition, entry.offset
        if where not in seen:
            seen.add(where)
            first.append(entry)
    return first


def _at_least_once(
    flights: Sequence[Flight], entries: Sequence[Entry], first: Sequence[Entry]
) -> Check:
    missing = {flight.number for flight in flights} - {entry.number for entry in first}
    unknown = len(first) - len(flights)
    if missing:
        detail = f"{len(missing)} are missing, the first is row {min(missing)} of the file"
    elif unknown:
        detail = f"the log holds {unknown} records more than the file"
    else:
        twice = len(entries) - len(first)
        detail = f"all {len(flights):,}, {format(twice, ',') if twice else 'none'} of them twice"
    return Check("every flight was processed at least once", not missing and not unknown, detail)


def _partitions_in_order(first: Sequence[Entry]) -> Check:
    """Offsets are dense: whoever takes over goes on where the last one was, and skips nothing."""
    claim = "each partition was read in order, with no gap, whoever owned it"
    following: defaultdict[int, int] = defaultdict(int)
    for entry in first:
        if entry.offset != following[entry.partition]:
            return Check(
                claim,
                False,
                f"partition {entry.partition}: {entry.worker} read offset {entry.offset} when "
                f"{following[entry.partition]} was next",
            )
        following[entry.partition] += 1
    return Check(claim, True, f"{len(following)} partitions")


def _aircraft_in_order(flights: Sequence[Flight], first: Sequence[Entry]) -> Check:
    claim = "the flights of each aircraft were processed in their order"
    expected = _by_aircraft((flight.aircraft, flight.number) for flight in flights)
    seen = _by_aircraft((entry.aircraft, entry.number) for entry in first)
    for aircraft, numbers in expected.items():
        if seen.get(aircraft) != numbers:
            return Check(claim, False, f"{aircraft} is the first that was not")
    return Check(claim, True, f"{len(expected):,} aircraft")


def _by_aircraft(pairs: Iterable[tuple[str | None, int]]) -> dict[str, list[int]]:
    by_aircraft: defaultdict[str, list[int]] = defaultdict(list)
    for aircraft, number in pairs:
        if aircraft is not None:
            by_aircraft[aircraft].append(number)
    return by_aircraft


def _all_committed(committed: Mapping[int, int], ends: Mapping[int, int]) -> Check:
    claim = "the committed offset of every partition is its end"
    for partition, end in ends.items():
        if committed.get(partition) != end:
            return Check(
                claim, False, f"partition {partition}: {committed.get(partition)}, not {end}"
            )
    return Check(claim, True, f"{len(ends)} partitions, {sum(ends.values()):,} records")


def _same_totals(flights: Sequence[Flight], first: Sequence[Entry]) -> Check:
    claim = "flights and miles of each aircraft are those computed from the file"
    from_file = _totals((flight.aircraft, flight.miles) for flight in flights)
    from_group = _totals((entry.aircraft, entry.miles) for entry in first)
    for aircraft in sorted(set(from_file) | set(from_group)):
        expected, seen = from_file.get(aircraft), from_group.get(aircraft)
        if expected != seen:
            return Check(claim, False, f"{aircraft}: {seen}, not {expected} (flights, miles)")
    miles = sum(total[1] for total in from_file.values())
    return Check(claim, True, f"{miles:,} miles")


def _totals(pairs: Iterable[tuple[str | None, int]]) -> dict[str, tuple[int, int]]:
    totals: dict[str, tuple[int, int]] = {}
    for aircraft, miles in pairs:
        count, total = totals.get(aircraft or "none", (0, 0))
        totals[aircraft or "none"] = count + 1, total + miles
    return totals
