"""What tells a partition one batch from another: producer id, producer epoch and sequence (KIP-98).

A producer numbers the batches of each partition on its own, so that one which begins anew leaves
the others alone.
"""

from __future__ import annotations

from partstream.client.accumulator import Batch

_SEQUENCES = 2**31
"""Sequences are int32 and wrap; producer epochs are int16 and do not."""
_LAST_EPOCH = 2**15 - 2


class Numbering:
    """The numbers of one partition's batches; without idempotence only their order."""

    __slots__ = ("_count", "_epoch", "_producer_id", "_sequence")

    def __init__(self, producer_id: int) -> None:
        """`producer_id` is -1 without idempotence."""
        self._producer_id = producer_id
        self._epoch = 0
        self._sequence = 0
        self._count = 0

    def number(self, batch: Batch) -> None:
        """Encode a batch as the next one, or what was encoded before under other numbers.

        One that cannot be encoded has its place in the line all the same, but no sequence.
        """
        self._count += 1
        batch.number = self._count
        if self._producer_id < 0:
            if not batch.payload:
                batch.encode(-1, -1, -1)
        else:
            batch.encode(self._producer_id, self._epoch, self._sequence)
            self._sequence = (self._sequence + batch.count) % _SEQUENCES

    @property
    def following(self) -> int:
        """The place of the batch that is numbered next."""
        return self._count + 1

    @property
    def used_up(self) -> bool:
        """Whether there is no further epoch: it takes another producer id."""
        return self._epoch >= _LAST_EPOCH

    def begin_anew(self, producer_id: int | None = None) -> None:
        """Go on from sequence 0 under the next epoch, or under another producer id."""
        self._sequence = 0
        if producer_id is None:
            self._epoch += 1
        else:
            self._producer_id, self._epoch = producer_id, 0

    def begin_elsewhere(self) -> None:
        """Go on from sequence 0 in a partition that has heard of none of this."""
        self._sequence = 0
