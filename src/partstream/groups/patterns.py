"""Regular expressions over topic names: which topics a member's pattern means.

Python's own engine can be made to run for hours by a pattern, so whoever takes patterns from
strangers puts another in its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Protocol

from partstream.errors import InvalidRegularExpression


class Pattern(Protocol):
    """A compiled pattern."""

    def fullmatch(self, string: str, /) -> object:
        """Something true if the pattern matches all of it."""


_engine: Callable[[str], Pattern] = re.compile
_refusal: type[Exception] = re.error


def use(engine: Callable[[str], Pattern], refusal: type[Exception]) -> None:
    """Compile patterns by `engine` from now on, in this process; it refuses with `refusal`."""
    global _engine, _refusal
    _engine, _refusal = engine, refusal


def _compiled(pattern: str) -> Pattern:
    try:
        return _engine(pattern)
    except (_refusal, OverflowError, RecursionError) as error:  # as {10**20} and many brackets do
        raise InvalidRegularExpression(
            f"{pattern!r} is not a valid regular expression: {error}"
        ) from None


def check(pattern: str) -> None:
    """Make sure that a pattern is one.

    Raises:
        InvalidRegularExpression: it is not; the message says where and why.
    """
    if not isinstance(pattern, str):
        raise InvalidRegularExpression(f"{pattern!r:.100}: expected a regular expression as str")
    _compiled(pattern)


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that the pattern matches whole, as Kafka does it.

    Raises:
        InvalidRegularExpression: the pattern is not valid.
    """
    matches = _compiled(pattern).fullmatch
    return [name for name in names if matches(name)]
