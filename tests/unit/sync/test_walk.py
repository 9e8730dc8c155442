"""What a thread gets that goes through keys while they go."""

from __future__ import annotations

import threading

from partstream.sync.walk import GONE, Walk

VALUES = {b"a": 1, b"b": 2, b"c": 3}


def test_keys_in_turn_have_the_values_of_then() -> None:
    walk = Walk()
    walk.begin(dict(VALUES))
    assert [walk.step(key) for key in VALUES] == [1, 2, 3]
    assert [walk.step(key) for key in VALUES] == [GONE] * 3, "once is enough"


def test_another_key_ends_it() -> None:
    walk = Walk()
    walk.begin(dict(VALUES))
    first, second, third = VALUES
    assert walk.step(first) == 1
    assert walk.step(third) is GONE
    assert walk.step(second) is GONE


def test_an_equal_key_is_another_one() -> None:
    walk = Walk()
    walk.begin({"key of mine": 1})
    assert walk.step(" ".join(["key", "of", "mine"])) is GONE


def test_it_ends_when_the_thread_does_something_else() -> None:
    walk = Walk()
    walk.begin(dict(VALUES))
    walk.end()
    assert walk.step(b"a") is GONE


def test_it_is_one_threads() -> None:
    walk = Walk()
    keys = list(VALUES)
    walk.begin(dict(VALUES))
    found: list[object] = []
    other = threading.Thread(target=lambda: found.append(walk.step(keys[0])))
    other.start()
    other.join()
    assert found == [GONE]
    assert walk.step(keys[0]) == 1
