"""A partition as a line of the producer sees it: its rules, and a connection that breaks.

The rules are those of the append script, written down a second time and in plain Python.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from typing import Any

from partstream import errors
from partstream.engine.log import BEGIN, Bounds, EpochEnd, epoch_end
from partstream.engine.partition import Partition
from partstream.metrics.hooks import SILENT
from partstream.records import header
from partstream.records.codec import decode
from partstream.store.keys import Keys
from partstream.store.scripts import Script

_WINDOW = 5


@dataclass(frozen=True)
class Row:
    """What a partition knows of a producer."""

    epoch: int
    batches: tuple[tuple[int, int, int], ...]
    """First sequence, last sequence, end offset; the last one first."""


@dataclass(frozen=True)
class State:
    """All that a partition holds; never changed in place, so that it can be gone back to."""

    values: tuple[bytes, ...] = ()
    producers: dict[int, Row] = field(default_factory=dict)
    epochs: tuple[tuple[int, int], ...] = ((0, 0),)


class PartitionModel:
    """A log in memory, behind one connection; stands for `Log` and for `Store`."""

    def __init__(self, rng: random.Random, *, trouble: float, fenced: bool = False) -> None:
        """`fenced`: a server that was told so hears no more of a connection that broke."""
        self.rng = rng
        self.observer = SILENT
        self.trouble = trouble
        self.fenced = fenced
        self.keys = Keys("ps")
        self.state = State()
        self.new_epoch = False
        self.ids = 100
        self.lost: list[bytes] = []
        """Values that were taken back, in the order in which they stood."""
        self._sent: list[tuple[asyncio.Future[Any], bytes, str]] = []
        self._stranded: list[tuple[bytes, str]] = []
        """On connections that broke; the server may still come to them."""
        self._stepping = False

    # As `Log`.

    def submit(
        self,
        _: Partition,
        batch: bytes,
        line: str,
        *,
        least_replicas: int = 0,
        oldest: int | None = None,
    ) -> asyncio.Future[Any] | None:
        if self.rng.random() < self.trouble / 4:
            return None
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._sent.append((future, batch, line))
        if not self._stepping:
            self._stepping = True
            asyncio.get_running_loop().call_soon(self._step)
        return future

    async def epoch_end(self, _: Partition, epoch: int) -> EpochEnd:
        await self._sometimes_fail()
        return epoch_end(list(self.state.epochs), len(self.state.values), epoch)

    async def bounds(self, _: Partition) -> Bounds:
        await self._sometimes_fail()
        return Bounds(0, len(self.state.values), self.state.epochs[-1][0], 0)

    async def mend(self, _: Partition, error: BaseException) -> errors.PartstreamError:
        await asyncio.sleep(0)
        assert isinstance(error, errors.PartstreamError)
        return error

    async def ready(self, _: Partition) -> None:
        await self._sometimes_fail()

    # As `Store`.

    async def run(self, script: Script, *_: object, idempotent: bool) -> list[Any]:
        assert script.name == "store/next"
        await self._sometimes_fail()
        self.ids += 1
        return [self.ids, b"token"]

    async def confirm(self, key: str, written: object) -> None:
        assert key == self.keys.meta.producer_id
        await self._sometimes_fail()

    # What happens to it.

    def crash(self, back_to: State) -> None:
        """Start again from an earlier state; connections and what was on them are gone."""
        self.lost += self.state.values[len(back_to.values) :]
        self.state = back_to
        self.new_epoch = True
        self._break()
        self._stranded.clear()

    def _step(self) -> None:
        """Carry out what comes next on the connection, unless it breaks."""
        self._stepping = False
        if self._stranded and self.rng.random() < 0.3:
            self._carry_out(*self._stranded.pop(0))
        if not self._sent:
            return
        if self.rng.random() < self.trouble:
            self._break()
            return
        if self.fenced:
            self._stranded.clear()
        future, batch, line = self._sent.pop(0)
        answer: Any
        if self.rng.random() < self.trouble / 4:
            answer = errors.StoreOutOfMemory("maxmemory")
        else:
            answer = self._carry_out(batch, line)
        if self.rng.random() < self.trouble:
            future.set_exception(errors.OutcomeUnknown("cut"))
            self._break()
        elif isinstance(answer, errors.PartstreamError):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        if self._sent and not self._stepping:
            self._stepping = True
            asyncio.get_running_loop().call_soon(self._step)

    def _break(self) -> None:
        for future, batch, line in self._sent:
            future.set_exception(errors.OutcomeUnknown("cut"))
            self._stranded.append((batch, line))
        self._sent.clear()

    def _carry_out(self, batch: bytes, line: str) -> list[Any] | errors.PartstreamError:
        head = header.parse(batch)
        values = [record.value or b"" for record in decode(batch, "t", 0, 0)]
        first, count = head.base_sequence, len(values)
        state = self.state
        row = state.producers.get(head.producer_id)
        if row is not None and head.producer_epoch < row.epoch:
            return errors.InvalidProducerEpoch("fenced")
        expected, known = 0, row
        if row is not None and row.epoch == head.producer_epoch:
            expected = row.batches[0][1] + 1
            for own_first, own_last, end in row.batches:
                if (own_first, own_last) == (first, first + count - 1):
                    return self._answer(end - count, duplicate=True)
        elif row is None and line != BEGIN:
            return errors.UnknownProducerId("unknown")
        else:
            known = None
        if first != expected:
            return errors.OutOfOrderSequenceNumber(f"expected {expected}, not {first}")
        base = len(state.values)
        placed = (first, first + count - 1, base + count)
        batches = (placed, *(known.batches if known else ()))[:_WINDOW]
        epochs = state.epochs
        if self.new_epoch:
            self.new_epoch = False
            epochs = (*epochs, (epochs[-1][0] + self.rng.randint(1, 1_000_000), base))
        self.state = replace(
            state,
            values=(*state.values, *values),
            producers={**state.producers, head.producer_id: Row(head.producer_epoch, batches)},
            epochs=epochs,
        )
        return self._answer(base, duplicate=False)

    def _answer(self, base: int, *, duplicate: bool) -> list[Any]:
        return [base, self.state.epochs[-1][0], -1, 0, 0, b"token", int(duplicate)]

    async def _sometimes_fail(self) -> None:
        await asyncio.sleep(0)
        if self.rng.random() < self.trouble / 2:
            raise errors.StoreUnavailable("cut")
