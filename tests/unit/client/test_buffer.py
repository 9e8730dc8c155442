"""What is fetched and not yet handed out: decoded late, given back without loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from partstream.client.buffer import Decoding, Hand, PartitionBuffer
from partstream.client.positions import Position
from partstream.engine.partition import make_partition
from partstream.engine.reading import StoredBatch
from partstream.errors import CorruptRecord, SerializationError
from partstream.records.codec import encode
from partstream.store.keys import Keys

PARTITION = make_partition(Keys("ns"), "t", "id", 0)


def batch(start: int, count: int, epoch: int = 0) -> StoredBatch:
    payload = encode([(1, None, str(start + at).encode(), ()) for at in range(count)])
    return StoredBatch(start, start + count, epoch, None, payload)


class Rig:
    """A buffer, and what it gave back of its room."""

    def __init__(self, at: int = 0, **decoding: Any) -> None:
        self.held = 0
        self.buffer = PartitionBuffer(PARTITION, Decoding(**decoding), self._account)
        self.buffer.position = Position(at)

    def _account(self, size: int) -> None:
        self.held += size

    def add(self, *batches: StoredBatch) -> None:
        self.buffer.add(list(batches))

    def offsets(self, most: int) -> list[int] | None:
        taken = self.buffer.take(most)
        return None if taken is None else [record.offset for record in taken.records]

    def hand(self, *counts: int) -> Hand:
        slices = [self.buffer.take(count) for count in counts]
        return Hand([one for one in slices if one is not None])


def test_a_batch_is_handed_out_in_pieces() -> None:
    rig = Rig()
    rig.add(batch(0, 5), batch(5, 2, epoch=3))
    assert rig.offsets(3) == [0, 1, 2]
    assert rig.buffer.position == Position(3, 0)
    assert rig.offsets(9) == [3, 4]
    assert rig.offsets(9) == [5, 6]
    assert rig.buffer.position == Position(7, 3)
    assert rig.offsets(9) is None
    assert rig.buffer.is_drained


def test_a_position_within_a_batch_skips_what_is_before_it() -> None:
    rig = Rig(at=3)
    rig.add(batch(0, 5))
    assert rig.offsets(9) == [3, 4]


def test_room_comes_back_as_batches_are_decoded_or_dropped() -> None:
    rig = Rig()
    one, two, three = batch(0, 5), batch(5, 50), batch(55, 7)
    rig.add(one, two, three)
    assert rig.held == len(one.payload) + len(two.payload) + len(three.payload)
    rig.offsets(1)
    assert rig.held == rig.buffer.buffered == len(two.payload) + len(three.payload)
    rig.buffer.clear(Position(0))
    assert rig.held == rig.buffer.buffered == 0


def test_a_paused_partition_takes_no_room() -> None:
    rig = Rig()
    one, two = batch(0, 5), batch(5, 50)
    rig.add(one)
    rig.buffer.pause()
    rig.buffer.pause()
    assert rig.held == 0
    rig.add(two)  # was on its way
    assert rig.held == 0
    assert rig.buffer.buffered == len(one.payload) + len(two.payload)
    rig.buffer.resume()
    rig.buffer.resume()
    assert rig.held == rig.buffer.buffered
    rig.buffer.pause()
    rig.buffer.clear(Position(0))
    rig.buffer.resume()
    assert rig.held == 0


def test_a_corrupt_batch_is_named_and_stays() -> None:
    rig = Rig()
    whole = batch(5, 5)
    damaged = bytearray(whole.payload)
    damaged[-1] ^= 1
    rig.add(batch(0, 5), whole._replace(payload=bytes(damaged)))
    assert rig.offsets(9) == [0, 1, 2, 3, 4]
    for _ in range(2):
        with pytest.raises(CorruptRecord, match=r"t-0 at offset 5 .* offset 10: seek"):
            rig.buffer.take(9)
        assert rig.buffer.position == Position(5, 0)


def test_an_entry_that_is_no_batch_is_corrupt() -> None:
    rig = Rig()
    rig.add(StoredBatch(0, 1, 0, None, b""))
    with pytest.raises(CorruptRecord, match=r"t-0 at offset 0"):
        rig.buffer.take(9)


def fails_on(value: bytes) -> Callable[[bytes], str]:
    def deserialize(raw: bytes) -> str:
        if raw == value:
            raise ValueError("no such thing")
        return raw.decode()

    return deserialize


def test_records_before_one_that_cannot_be_deserialized_are_handed_out() -> None:
    rig = Rig(value_deserializer=fails_on(b"2"))
    rig.add(batch(0, 4))
    taken = rig.buffer.take(9)
    assert taken is not None
    assert [record.value for record in taken.records] == ["0", "1"]
    for _ in range(2):
        assert rig.buffer.position == Position(2, 0)
        with pytest.raises(SerializationError, match=r"t-0 at offset 2 .*no such thing"):
            rig.buffer.take(9)


@pytest.mark.parametrize("step", ["decode", "deserialize"])
def test_whatever_fails_loses_no_record(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    rig = Rig(value_deserializer=bytes.decode)
    rig.add(batch(0, 3), batch(3, 2))
    for most in (2, 9):
        with monkeypatch.context() as patched:
            patched.setattr(f"partstream.client.buffer.{step}", _no_memory)
            if step == "deserialize" or most == 2:
                with pytest.raises(MemoryError):
                    rig.buffer.take(most)
        assert rig.offsets(most) == ([0, 1] if most == 2 else [2])
    assert rig.offsets(9) == [3, 4]


def _no_memory(*_: object, **__: object) -> None:
    raise MemoryError


def test_what_is_given_back_is_not_deserialized_twice() -> None:
    rig = Rig(value_deserializer=lambda raw: raw + b"!")
    rig.add(batch(0, 3))
    hand = rig.hand(9)
    run = hand.advance()
    assert run is not None
    assert next(run).value == b"0!"
    hand.give_back()
    assert rig.buffer.position == Position(1, 0)
    taken = rig.buffer.take(9)
    assert taken is not None
    assert [record.value for record in taken.records] == [b"1!", b"2!"]


def test_an_error_comes_after_what_was_fetched_and_comes_again() -> None:
    rig = Rig()
    rig.add(batch(0, 2))
    rig.buffer.error = CorruptRecord("why")
    assert rig.offsets(9) == [0, 1]
    seen = []
    for _ in range(2):
        with pytest.raises(CorruptRecord, match="why") as raised:
            rig.buffer.take(9)
        seen.append(raised.value)
    assert seen[0] is not seen[1]
    rig.buffer.clear(Position(0))
    assert rig.buffer.take(9) is None


def test_a_hand_knows_what_it_handed_out() -> None:
    rig = Rig()
    rig.add(batch(0, 3), batch(3, 2, epoch=4))
    hand = rig.hand(9, 9)
    assert hand.rest() == {rig.buffer: Position(0, 0)}
    assert hand.current() == {}
    seen = []
    while (run := hand.advance()) is not None:
        for record in run:
            seen.append(record.offset)
            assert hand.current()[rig.buffer].offset == record.offset
            left = hand.rest()
            assert left == ({} if record.offset == 4 else {rig.buffer: left[rig.buffer]})
            if left:
                assert left[rig.buffer].offset == record.offset + 1
    assert seen == [0, 1, 2, 3, 4]
    assert hand.rest() == {}
    assert hand.current() == {rig.buffer: Position(4, 4)}


@pytest.mark.parametrize("handed", range(6))
def test_what_was_not_handed_out_comes_again_in_order(handed: int) -> None:
    rig = Rig()
    rig.add(batch(0, 3), batch(3, 2))
    hand = rig.hand(2, 9, 9)
    seen: list[int] = []
    while len(seen) < handed and (run := hand.advance()) is not None:
        for record in run:
            seen.append(record.offset)
            if len(seen) == handed:
                hand.give_back()
    if handed == 0:
        hand.give_back()
    assert hand.advance() is None
    assert rig.buffer.position == Position(handed, 0)
    while (more := rig.offsets(9)) is not None:
        seen += more
    assert seen == [0, 1, 2, 3, 4]


def test_an_iteration_ends_when_its_rest_is_given_back() -> None:
    rig = Rig()
    rig.add(batch(0, 5))
    hand = rig.hand(9)
    run = hand.advance()
    assert run is not None
    seen: list[int] = []
    for record in run:
        seen.append(record.offset)
        if record.offset == 1:
            hand.give_back()
    assert seen == [0, 1]


def test_all_of_a_hand_is_one_list() -> None:
    rig = Rig()
    rig.add(batch(0, 3), batch(3, 2))
    hand = rig.hand(9, 9)
    assert hand.first() == {rig.buffer: Position(0, 0)}
    assert [record.offset for record in hand.all()] == [0, 1, 2, 3, 4]
    assert Hand([]).all() == []
