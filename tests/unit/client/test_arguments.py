"""What users may give as times to wait, as numbers and as names."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import Any

import pytest

from partstream.client.arguments import at_least, check_callback, seconds, topic_names
from partstream.errors import IllegalState, InvalidTopic


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, None), (5, 5.0), (0.25, 0.25), (Fraction(1, 2), 0.5), (-1, 0.0), (-(10**400), 0.0)],
)
def test_a_time_to_wait(given: Any, expected: float | None) -> None:
    assert seconds(given) == expected


@pytest.mark.parametrize("given", [float("inf"), 1e300, 10**400])
def test_longer_than_a_lock_can_be_waited_for_is_for_so_long(given: Any) -> None:
    found = seconds(given)
    assert found == threading.TIMEOUT_MAX
    assert threading.Lock().acquire(timeout=found)


@pytest.mark.parametrize("wrong", ["5", True, float("nan"), [1], 1j])
def test_what_is_no_time_is_named(wrong: object) -> None:
    with pytest.raises(IllegalState) as raised:
        seconds(wrong, "within")
    assert str(raised.value) == f"within={wrong!r}: expected seconds, or None"


def test_a_number_that_must_not_be_too_small() -> None:
    assert at_least(1, 1, "count") == 1
    with pytest.raises(IllegalState, match="count=0: expected at least 1"):
        at_least(1, 0, "count")
    for wrong in ("1", 1.0, True, None):
        with pytest.raises(IllegalState, match=f"count={wrong!r}: expected a whole number"):
            at_least(1, wrong, "count")


def test_names_come_alone_or_in_a_collection() -> None:
    assert topic_names("t") == ["t"]
    assert topic_names(name for name in ("b", "a")) == ["b", "a"]
    assert topic_names(()) == []
    for wrong in (5, None, b"t", ["a", 5], "a b"):
        with pytest.raises(InvalidTopic):
            topic_names(wrong)


def test_a_callback_is_something_to_call() -> None:
    check_callback(None, "callback")
    check_callback(print, "callback")
    with pytest.raises(IllegalState, match="callback='x'"):
        check_callback("x", "callback")
