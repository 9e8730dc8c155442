"""Places in a log as people write them: `beginning`, `17`, `-100`, a time, `2h` ago."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import click

from partstream.config.common import INT64_MAX

_AGO = re.compile(r"(\d+)(ms|s|m|h|d)")
_COUNT = re.compile(r"(-?)(\d{1,19})")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NAMES: dict[str, Literal["beginning", "end"]] = {
    "beginning": "beginning",
    "earliest": "beginning",
    "end": "end",
    "latest": "end",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where to begin in a partition."""

    kind: Literal["beginning", "end", "offset", "last", "time"]
    number: int = 0
    """The offset; how many records before the end; or milliseconds since 1970."""


def parse_time(text: str) -> datetime | None:
    """An ISO 8601 time (local without a zone), or so long ago (`90s`, `2h`, `7d`); else None."""
    try:
        if match := _AGO.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        return datetime.fromisoformat(text).astimezone()
    except (OverflowError, ValueError):  # before the first year that there is, too
        return None


def parse_place(text: str) -> Place | None:
    """A place, or None if the text is none."""
    if text in _NAMES:
        return Place(_NAMES[text])
    if match := _COUNT.fullmatch(text):
        number = int(match[2])
        return Place("last" if match[1] else "offset", number) if number <= INT64_MAX else None
    moment = parse_time(text)
    return None if moment is None else Place("time", int(moment.timestamp() * 1000))


def place(text: str) -> Place:
    """The type of an option that takes a place."""
    found = parse_place(text)
    if found is None:
        raise click.BadParameter(
            f"{text!r}: expected beginning, end, an offset, -N (the last N records), "
            "a time such as 2026-01-31T12:00, or how long ago, such as 2h"
        )
    return found


def time(text: str) -> datetime:
    """The type of an option that takes a time."""
    found = parse_time(text)
    if found is None:
        raise click.BadParameter(
            f"{text!r}: expected a time such as 2026-01-31T12:00, or how long ago, such as 2h"
        )
    return found
