"""Where a cleaner writes: a stream beside the log, until it takes the place of the cleaned part."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from partstream.engine.compaction import plan
from partstream.engine.compaction.plan import Look
from partstream.engine.compaction.rows import RowMaker, Rows
from partstream.engine.partition import Partition
from partstream.engine.reading import StoredBatch
from partstream.errors import PartstreamError
from partstream.records.cleaning import NEVER
from partstream.store.scripts import Script
from partstream.store.store import Store

_BEGIN = Script("clean/begin")
_ADD = Script("clean/add")
_SWAP = Script("clean/swap")
_LEAVE = Script("clean/leave")
_EMPTY = Script("clean/empty")
_TRIM = Script("clean/trim")
_FINISH = Script("clean/finish")
_LEFTOVERS = -1
"""The script's answer where there is something to clear away first."""
_DROPPED_A_CALL = 100
_BYTES_A_CALL = 128 * 1024
_ENTRIES_A_CALL = 256
_LEAVE_S = 0.5

_logger = logging.getLogger(__name__)


class Overtaken(Exception):
    """Something came in between, and says what: what was read or written is no longer true."""


_TAKEN = "another cleaner has taken over, or a failover has taken back what was written"


class Lease(NamedTuple):
    """Under what a step of a cleaner is done."""

    token: str
    ms: int
    """So long nobody else may clean from then on."""


NOBODY = Lease("", 0)
"""For what is done in the place of a cleaner whose lease is over."""


async def empty(store: Store, partition: Partition, cleanings: int, lease: Lease) -> bool:
    """Empty the stream that is not in use, in steps; False if it is not for this cleaner to do."""
    keys = partition.keys
    left = 1
    while left > 0:
        left = await store.run(
            _EMPTY,
            [keys.state, keys.spare(cleanings)],
            [partition.topic_id, lease.token, cleanings, _DROPPED_A_CALL, lease.ms],
            idempotent=True,
        )
    return left == 0


async def trim(store: Store, partition: Partition, lease: Lease, offset: int | None) -> int:
    """Drop entries of the log that stand, cleaned, elsewhere.

    Args:
        store: where the partition is.
        partition: the partition.
        lease: of the one who cleans.
        offset: those that end there or below; None for all, in steps: until it returns 0.
    """
    keys = partition.keys
    gone: int = await store.run(
        _TRIM,
        [keys.log, keys.state],
        [
            partition.topic_id,
            "" if offset is None else offset,
            _DROPPED_A_CALL,
            lease.token,
            lease.ms,
        ],
        idempotent=True,
    )
    return gone


async def finish(store: Store, partition: Partition, lease: Lease) -> None:
    """Say that nobody cleans, once nothing is left that a cleaning has written for nothing, or has
    replaced.

    As a rule there is nothing; but a failover may have taken back that it was cleared away.
    """
    keys = partition.keys
    while True:
        finished, cleanings = await store.run(
            _FINISH,
            [keys.state, keys.log, *keys.clean],
            [partition.topic_id, lease.token],
            idempotent=True,
        )
        if finished != _LEFTOVERS:
            return
        while await trim(store, partition, lease, None):
            pass
        await empty(store, partition, cleanings, lease)


class Output:
    """What one cleaning writes, under its token."""

    def __init__(
        self,
        store: Store,
        partition: Partition,
        cleanings: int,
        *,
        segment_bytes: int,
        lease_ms: int,
    ) -> None:
        """Nothing is done before `begin`.

        Args:
            store: where the partition is.
            partition: the partition.
            cleanings: how often it was cleaned before.
            segment_bytes: how large a segment of the result may be.
            lease_ms: so long nobody else may clean it if this one falls silent.
        """
        self.lease = Lease(uuid.uuid4().hex, lease_ms)
        self.rows = RowMaker(segment_bytes, plan.MOST_SEGMENTS)
        """Of every entry that was added."""
        self._store = store
        self._partition = partition
        self._cleanings = cleanings
        self._spare = partition.keys.spare(cleanings)
        self._waiting: list[str | bytes] = []
        self._waiting_bytes = 0
        self._added = 0

    async def begin(self) -> bool:
        """Become the partition's cleaner; False if there is one."""
        begun = await self._store.run(
            _BEGIN,
            [self._partition.keys.state],
            [self._partition.topic_id, *self.lease, self._cleanings],
            idempotent=True,
        )
        return bool(begun)

    async def leave(self) -> None:
        """Let another cleaner begin at once; it clears away what this one has written."""
        try:
            # A server that does not answer must not hold up a client that closes.
            async with asyncio.timeout(_LEAVE_S):
                await self._store.run(
                    _LEAVE,
                    [self._partition.keys.state],
                    [self._partition.topic_id, self.lease.token],
                    idempotent=True,
                )
        except (PartstreamError, TimeoutError) as error:
            _logger.debug(
                "%s stays with its cleaner until its lease ends: %s", self._partition, error
            )

    async def clear(self) -> None:
        """Remove what was written to the stream before, by this cleaner or one that died.

        Raises:
            Overtaken: as it says.
        """
        if not await empty(self._store, self._partition, self._cleanings, self.lease):
            raise Overtaken(_TAKEN)

    async def add(self, stored: StoredBatch, payload: bytes, latest: int) -> None:
        """Write what is left of a batch, under its own end and epoch."""
        time = "" if stored.append_time is None else str(stored.append_time)
        latest = latest if stored.append_time is None else stored.append_time
        self.rows.add(stored.next_offset, len(payload), latest)
        self._waiting += f"{stored.next_offset}-{stored.leader_epoch}", payload, time
        self._waiting_bytes += len(payload)
        if self._waiting_bytes >= _BYTES_A_CALL or len(self._waiting) >= 3 * _ENTRIES_A_CALL:
            await self.flush()

    async def flush(self) -> None:
        """Send what waits to be sent.

        Raises:
            Overtaken: as it says.
        """
        if self._waiting:
            await self.renew()

    async def renew(self) -> None:
        """Send what waits, and in any case stay the cleaner.

        Raises:
            Overtaken: as it says.
        """
        keys, waiting = self._partition.keys, self._waiting
        self._waiting, self._waiting_bytes = [], 0
        there = await self._store.run(
            _ADD,
            [keys.state, self._spare],
            [self._partition.topic_id, *self.lease, self._added, *waiting],
            idempotent=True,
        )
        if there < 0:
            raise Overtaken(_TAKEN)
        self._added = there

    async def swap(
        self,
        look: Look,
        reach: tuple[int, int],
        old: Sequence[bytes],
        made: Rows,
        *,
        horizon: int,
    ) -> bool:
        """Put it in place; False if the log's start is not where it was when rows were made.

        Args:
            look: the partition as it was when the cleaner began.
            reach: the log's start, and up to where it is clean then.
            old: members of the index that go.
            made: those that come.
            horizon: when the first tombstone is to go, ms, or NEVER.

        Raises:
            Overtaken: as it says.
        """
        keys, (start, end) = self._partition.keys, reach
        answer = await self._store.run(
            _SWAP,
            [keys.state, keys.index, self._spare],
            [
                self._partition.topic_id,
                *self.lease,
                self._added,
                start,
                look.epoch,
                look.cleanings,
                end,
                made.base,
                "" if horizon == NEVER else horizon,
                len(old),
                *old,
                *(text for row in made.rows for text in row),
            ],
            idempotent=True,
        )
        if answer < 0:
            raise Overtaken(_TAKEN)
        return bool(answer)
