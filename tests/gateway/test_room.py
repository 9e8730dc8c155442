"""Bytes of requests are counted, and nobody waits for what never comes."""

from __future__ import annotations

import pytest

from partstream.gateway.room import NoRoom, Room


class Paused:
    """A connection that counts how often it was told to go on."""

    def __init__(self) -> None:
        self.resumed = 0

    def resume(self) -> None:
        self.resumed += 1


def test_room_is_taken_and_given() -> None:
    room, paused = Room(100), Paused()
    assert room.take(100, 1, paused)
    assert not room.take(50, 1, paused)
    room.give(60, 1)
    assert (room.held, paused.resumed) == (90, 0)
    room.give(60, 1)
    assert (room.held, paused.resumed) == (30, 1)


def test_who_begins_a_request_that_nobody_makes_room_for_is_refused() -> None:
    room, one, other = Room(100), Paused(), Paused()
    assert room.take(90, 0, one)
    with pytest.raises(NoRoom):
        room.take(20, 0, other)
    room.give(20, 0)
    assert room.take(10, 1, one), "the others go on"


def test_who_waits_goes_on_when_nothing_is_left_to_be_done() -> None:
    room, one, other = Room(100), Paused(), Paused()
    assert room.take(80, 0, one)
    assert room.take(20, 1, other)
    assert not room.take(10, 0, one)
    room.give(20, 1)
    assert one.resumed == 1, "although more than half of the room is taken"


def test_who_has_gone_is_told_no_more() -> None:
    room, one = Room(10), Paused()
    assert not room.take(20, 1, one)
    room.leave(one)
    room.give(20, 1)
    assert (room.held, one.resumed) == (0, 0)
