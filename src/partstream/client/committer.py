"""Commits offsets for a group: when asked, now and then by itself, and in order.

What was committed before is not remembered, and so committed again: a failover may have taken it
back, another owner of the partition or an admin may have gone elsewhere since. A commit of the same
also says that the offsets are in use, for those of nobody expire.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import TypeAlias

from partstream.client.membership import Identity
from partstream.config.consumer import ConsumerConfig
from partstream.engine.groups import ConsumerGroups
from partstream.engine.groups.offsets import OUTSIDER
from partstream.errors import (
    CommitFailed,
    FencedMemberEpoch,
    PartstreamError,
    RebalanceInProgress,
    StaleMemberEpoch,
    UnknownMemberId,
)
from partstream.groups.rows import TopicIdPartition
from partstream.metrics.hooks import SILENT, Observer
from partstream.model import OffsetAndMetadata, TopicPartition

_logger = logging.getLogger(__name__)

Offsets: TypeAlias = "Mapping[TopicIdPartition, OffsetAndMetadata]"
Named: TypeAlias = "dict[TopicPartition, OffsetAndMetadata]"
Callback: TypeAlias = "Callable[[Named, PartstreamError | None], None]"

_STALE_TRIES = 20
"""How often to wait a moment for an epoch that is on its way."""


class Committer:
    """Commits for one consumer."""

    def __init__(
        self,
        groups: ConsumerGroups,
        config: ConsumerConfig,
        *,
        identity: Callable[[], Identity | None],
        hurry: Callable[[], None],
        disowned: Callable[[Identity, PartstreamError], None],
        observer: Observer = SILENT,
    ) -> None:
        """
        Args:
            identity: the member that commits; None if the consumer is in no group. Raises
                CommitFailed while it is out of its group.
            hurry: have a heartbeat sent now.
            disowned: told of a member that the group does not know, or not in this incarnation.
            observer: told of every commit.
        """
        assert config.group_id is not None
        self._group_id = config.group_id
        self._groups = groups
        self._config = config
        self._identity = identity
        self._hurry = hurry
        self._disowned = disowned
        self._observer = observer
        self._last_in_line: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._interval = config.auto_commit_interval_ms / 1000
        self._due = self._loop.time() + self._interval
        self._automatic: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: deque[tuple[Callback, Named, PartstreamError | None]] = deque()

    async def commit(self, offsets: Offsets) -> None:
        """Commit, behind all commits that were begun before.

        Raises:
            CommitFailed: the consumer is out of its group, or others own the partitions.
            OffsetMetadataTooLarge: metadata of more than 4,096 bytes.
            StoreUnavailable: no answer within request_timeout_ms.
        """
        if offsets:
            await self._in_line(offsets)

    def commit_later(self, offsets: Offsets, named: Named, callback: Callback | None) -> None:
        """Commit without waiting; the callback hears of the outcome when the user polls."""
        self._spawn(self._tell(self._in_line(offsets), named, callback))

    def run_callbacks(self) -> None:
        """Tell what became of commits that nobody waited for."""
        while self._done:
            callback, named, error = self._done.popleft()
            callback(named, error)

    @property
    def due_in(self) -> float:
        """Seconds until the next commit by itself."""
        return max(0.0, self._due - self._loop.time())

    def auto(self, positions: Offsets) -> None:
        """Commit by itself, without waiting; not while the last such commit is under way."""
        self._due = self._loop.time() + self._interval
        under_way = self._automatic is not None and not self._automatic.done()
        if positions and not under_way:
            self._automatic = self._spawn(self._log(self._in_line(positions)))

    async def auto_now(self, positions: Offsets) -> None:
        """Commit by itself, and wait; what fails is logged."""
        if positions:
            await self._log(self._in_line(positions))

    async def settled(self) -> None:
        """Wait for the commits that were begun."""
        while tasks := tuple(self._tasks):
            await asyncio.gather(*tasks, return_exceptions=True)
            # Not left to their callbacks: since Python 3.12 gathering what is done gives them no
            # chance to run, and this would spin for ever.
            self._tasks.difference_update(tasks)

    async def close(self) -> None:
        """Drop what is under way."""
        for task in self._tasks:
            task.cancel()
        await self.settled()

    def _in_line(self, offsets: Offsets) -> asyncio.Task[None]:
        """Begin a commit that waits for those that were begun before: the last one counts."""
        task = self._spawn(self._commit_after(self._last_in_line, offsets, self._incarnation()))
        self._last_in_line = task
        return task

    def _incarnation(self) -> int | None:
        """Which join of the member it is that begins a commit; None while there is none."""
        try:
            identity = self._identity()
        except CommitFailed:
            return None
        return None if identity is None else identity.incarnation

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="commit")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _commit_after(
        self, before: asyncio.Task[None] | None, offsets: Offsets, begun_by: int | None
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        await self._commit(offsets, begun_by)

    async def _tell(
        self, commit: asyncio.Task[None], named: Named, callback: Callback | None
    ) -> None:
        failure: PartstreamError | None = None
        try:
            await commit
        except PartstreamError as error:
            failure = error
            if callback is None:
                _logger.warning("a commit to group %s failed: %s", self._group_id, error)
        if callback is not None:
            self._done.append((callback, named, failure))

    async def _log(self, commit: asyncio.Task[None]) -> None:
        try:
            await commit
        except PartstreamError as error:
            _logger.warning("the auto-commit to group %s failed: %s", self._group_id, error)

    async def _commit(self, offsets: Offsets, begun_by: int | None) -> None:
        began = self._loop.time()
        error = ""
        try:
            await self._commit_until_done(offsets, begun_by)
        except PartstreamError as failure:
            error = type(failure).__name__
            raise
        finally:
            self._observer.committed(self._group_id, self._loop.time() - began, error)

    async def _commit_until_done(self, offsets: Offsets, begun_by: int | None) -> None:
        deadline = self._loop.time() + self._config.request_timeout_ms / 1000
        stale = 0
        while True:
            identity = self._identity()
            if identity is not None and identity.incarnation != begun_by:
                # In between the partitions were others', who may have come farther.
                raise CommitFailed(
                    f"member {identity.member_id} of group {self._group_id!r} has lost its "
                    "partitions since the commit was begun"
                )
            try:
                if identity is None:
                    await self._groups.commit(self._group_id, offsets, member_epoch=OUTSIDER)
                else:
                    member, epoch, incarnation = identity
                    await self._groups.commit(
                        self._group_id,
                        offsets,
                        member_id=member,
                        member_epoch=epoch,
                        incarnation=incarnation,
                    )
                return
            except StaleMemberEpoch as error:
                stale += 1
                self._hurry()
                if stale > _STALE_TRIES:
                    raise self._failed(error) from error
            except (UnknownMemberId, FencedMemberEpoch) as error:
                if identity is not None:
                    self._disowned(identity, error)
                raise self._failed(error) from error
            except RebalanceInProgress as error:
                self._hurry()
                raise self._failed(error) from error
            except PartstreamError as error:
                if not error.retriable or self._loop.time() > deadline:
                    raise
            await asyncio.sleep(self._config.retry_backoff_ms / 1000)

    def _failed(self, error: PartstreamError) -> CommitFailed:
        return CommitFailed(f"group {self._group_id!r} refused the commit: {error}")
