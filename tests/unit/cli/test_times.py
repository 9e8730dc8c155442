"""Places in a log as people write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from partstream.cli.times import Place, parse_place, parse_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("beginning", Place("beginning")),
        ("earliest", Place("beginning")),
        ("end", Place("end")),
        ("latest", Place("end")),
        ("0", Place("offset", 0)),
        ("17", Place("offset", 17)),
        ("-5", Place("last", 5)),
        ("2026-01-31T12:00:00+00:00", Place("time", 1769860800000)),
    ],
)
def test_places(text: str, expected: Place) -> None:
    assert parse_place(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "1.5", "--5", "5x", "2026-13-01"])
def test_what_is_no_place(text: str) -> None:
    assert parse_place(text) is None


@pytest.mark.parametrize("text", ["9" * 19, "-" + "9" * 5000, "9" * 9 + "d", "9" * 5000 + "s"])
def test_what_lies_beyond_all_places(text: str) -> None:
    assert parse_place(text) is None


def test_so_long_ago() -> None:
    place = parse_place("2h")
    assert place is not None
    assert place.kind == "time"
    assert abs(time.time() * 1000 - 7_200_000 - place.number) < 5_000


def test_a_time_without_a_zone_is_local() -> None:
    parsed = parse_time("2026-01-31T12:00:00")
    assert parsed is not None
    assert parsed == datetime(2026, 1, 31, 12).astimezone()
    assert parse_time("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)
