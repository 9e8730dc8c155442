"""A consumer's place in its group: the heartbeats, and what the group answers (KIP-848).

A task of its own sends them, so that a member lives on while its user works. What the group wants
is only noted here; it is carried out when the user polls (`Rebalancer`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from partstream.client.predecessor import Predecessor
from partstream.client.subscription import Subscription
from partstream.config.consumer import ConsumerConfig
from partstream.engine.groups import ConsumerGroups, Heartbeat
from partstream.errors import (
    CommitFailed,
    FencedMemberEpoch,
    PartstreamError,
    UnknownMemberId,
    UnreleasedInstanceId,
)
from partstream.groups.requests import LEAVE
from partstream.groups.rows import LEFT_STATIC, NOTHING, Partitions
from partstream.store.bells import Watch
from partstream.store.store import Store

_logger = logging.getLogger(__name__)

_MARGIN_S = 0.5
"""How much earlier than the group a member takes itself for dead, at most a tenth of a session."""
_LEAVE_S = 5.0


class State(Enum):
    """How a member and its group stand."""

    JOINING = "joining"
    JOINED = "joined"
    LOST = "lost"
    """Out of the group; it joins again when its user has been told (`rejoin`)."""
    FAILED = "failed"
    """Refused for good; `error` says why."""
    LEFT = "left"


class Identity(NamedTuple):
    """Who commits."""

    member_id: str
    member_epoch: int
    incarnation: int


class Membership:
    """One member of one group, from the first heartbeat to the last."""

    def __init__(
        self,
        groups: ConsumerGroups,
        store: Store,
        config: ConsumerConfig,
        subscription: Subscription,
        *,
        news: asyncio.Event,
        activity: Callable[[], object],
    ) -> None:
        """Begin to join.

        Args:
            news: set whenever the user's next poll has something to do.
            activity: something that changes while the user takes records: then it is alive.
        """
        assert config.group_id is not None
        self.member_id = str(uuid.uuid4())
        self.state = State.JOINING
        self.assignment: Partitions = NOTHING
        """What the group says that the member may own."""
        self.error: PartstreamError | None = None
        self.reason = ""
        """Why the member is out of its group."""
        self._group_id = config.group_id
        self._groups = groups
        self._store = store
        self._config = config
        self._subscription = subscription
        self._told: Subscription | None = None
        self._news = news
        self._activity = activity
        self._last_activity: object = None
        self._loop = asyncio.get_running_loop()
        self._session_s = config.session_timeout_ms / 1000
        self._epoch = 0
        self._incarnation = 0
        self._version: int | None = None
        self._owned: Partitions = NOTHING
        self._due = self._loop.time()
        self._fenced_at = float("inf")
        self._predecessor = Predecessor(2 * self._session_s)
        self._backoff_s = config.retry_backoff_ms / 1000
        self._in_poll = 0
        self._polled_at = self._loop.time()
        self._wake = asyncio.Event()
        self._watch: Watch | None = None
        self._new_incarnation()
        self._task = asyncio.create_task(self._run(), name=f"member of group {self._group_id}")

    # What the consumer calls.

    @property
    def identity(self) -> Identity:
        """Who commits what is owned now.

        Raises:
            CommitFailed: the member is out of its group.
        """
        self.look_at_the_clock()
        if self.state is not State.JOINED:
            why = self.reason or "it has not joined yet"
            raise CommitFailed(
                f"member {self.member_id} of group {self._group_id!r} cannot commit: {why}"
            )
        return Identity(self.member_id, self._epoch, self._incarnation)

    def subscribe(self, subscription: Subscription) -> None:
        """Ask for other topics than before."""
        self._subscription = subscription
        self.hurry()

    def own(self, partitions: Partitions) -> None:
        """Note what the consumer owns now; the group hears at once of what it let go of."""
        gone = self._owned - partitions
        self._owned = partitions
        if gone:
            self.hurry()

    def hurry(self) -> None:
        """Send a heartbeat now."""
        self._due = self._loop.time()
        self._wake.set()

    def enter_poll(self) -> None:
        """The user waits for records: it cannot be late."""
        self._in_poll += 1

    def leave_poll(self) -> None:
        """The user works, and has max_poll_interval_ms to come back."""
        self._in_poll -= 1
        self._polled_at = self._loop.time()

    def look_at_the_clock(self) -> None:
        """Notice that the session has ended even if no task had a chance to (a stopped process)."""
        if self.state is State.JOINED and self._loop.time() >= self._fenced_at:
            self._lose(
                f"its session of {self._session_s * 1000:.0f} ms ended, since no heartbeat got "
                "through"
            )

    def disown(self, identity: Identity, error: PartstreamError) -> None:
        """A commit was refused: the group knows another incarnation of this member, or none.

        Its heartbeats need not show it. Where a failover took back its last join, they may go on
        in the name of the one before.
        """
        if self.state is State.JOINED and identity.incarnation == self._incarnation:
            self._lose(f"the group does not know it: {error}")

    def rejoin(self) -> None:
        """The consumer has let go of everything after a loss: join again."""
        if self.state is State.LOST:
            self.state, self.reason = State.JOINING, ""
            self._owned = self.assignment = NOTHING
            self._new_incarnation()
            self.hurry()

    async def leave(self) -> None:
        """Leave the group, static members for a while; if Redis does not answer, without a word."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._watch is not None:
            self._watch.cancel()
        joined, self.state = self.state in (State.JOINED, State.JOINING), State.LEFT
        self.reason = "it has left the group"
        if joined:
            await self._say_goodbye()

    # Heartbeats.

    async def _run(self) -> None:
        try:
            bell = self._groups.bell_channel(self._group_id, self.member_id)
            self._watch = await self._store.bells.watch(bell, self.hurry)
            while self.state is not State.FAILED:
                await self._sleep()
                if self.state in (State.JOINING, State.JOINED) and self._loop.time() >= self._due:
                    await self._beat()
        except Exception as error:
            _logger.exception("member %s of group %s", self.member_id, self._group_id)
            self._fail(PartstreamError(f"group {self._group_id!r}: {error!r}"))
            raise

    async def _sleep(self) -> None:
        """Until a heartbeat is due, the session ends, the user is late, or somebody rings."""
        while True:
            self._wake.clear()
            now = self._loop.time()
            if self.state in (State.LOST, State.FAILED):
                await self._wake.wait()
                return
            self.look_at_the_clock()
            await self._watch_over_the_user()
            until = min(self._due, self._fenced_at, self._late_at)
            if self._due <= now:
                return
            try:
                async with asyncio.timeout_at(until):
                    await self._wake.wait()
            except TimeoutError:
                continue

    @property
    def _late_at(self) -> float:
        if self._in_poll or self.state is not State.JOINED:
            return float("inf")
        return self._polled_at + self._config.max_poll_interval_ms / 1000

    async def _watch_over_the_user(self) -> None:
        """Leave the group if the user neither polls nor takes records for too long."""
        if self._loop.time() < self._late_at:
            return
        activity = self._activity()
        if activity != self._last_activity:
            self._last_activity = activity
            self._polled_at = self._loop.time()
            return
        self._lose(
            f"its user did not poll for max_poll_interval_ms={self._config.max_poll_interval_ms}; "
            "process faster, or fewer records at a time (max_poll_records)"
        )
        await self._say_goodbye()

    async def _beat(self) -> None:
        joining = self.state is State.JOINING
        now = self._loop.time()
        subscription, self._due = self._subscription, now + self._config.heartbeat_interval_ms / 1e3
        try:
            async with asyncio.timeout_at(None if joining else self._fenced_at):
                answer = await self._send(joining, subscription)
        except PartstreamError as error:
            self._refused(error, joining)
        except TimeoutError:
            self.look_at_the_clock()
        else:
            self._accept(answer, now, subscription)

    async def _send(self, joining: bool, subscription: Subscription) -> Heartbeat:
        config = self._config
        changed = joining or subscription != self._told
        return await self._groups.heartbeat(
            self._group_id,
            self.member_id,
            0 if joining else self._epoch,
            instance_id=config.group_instance_id,
            rebalance_timeout_ms=config.max_poll_interval_ms if joining else -1,
            client_id=config.client_id,
            subscribed_topics=subscription.topics if changed else None,
            subscribed_regex=(subscription.pattern or "") if changed else None,
            assignor=config.group_remote_assignor if joining else None,
            owned=None if joining else self._owned,
            session_timeout_ms=config.session_timeout_ms,
            heartbeat_interval_ms=config.heartbeat_interval_ms,
            seen=None if joining else self._version,
            incarnation=self._incarnation if joining else None,
        )

    def _accept(self, answer: Heartbeat, sent_at: float, subscription: Subscription) -> None:
        if self.state is State.JOINING:
            _logger.info("joined group %s as %s", self._group_id, self.member_id)
            self.state = State.JOINED
            self._polled_at = max(self._polled_at, sent_at)
        elif self.state is not State.JOINED:
            return
        self._session_s = answer.session_timeout_ms / 1000
        self._fenced_at = sent_at + self._session_s - min(_MARGIN_S, self._session_s / 10)
        self._epoch, self._version, self._told = answer.member_epoch, answer.version, subscription
        self._predecessor = Predecessor(2 * self._session_s)
        self._backoff_s = self._config.retry_backoff_ms / 1000
        if self._due > self._loop.time():  # else it was hurried meanwhile
            self._due = sent_at + answer.heartbeat_interval_ms / 1000
        if answer.assignment is not None:
            self.assignment = answer.assignment
            if answer.assignment != self._owned:
                self._news.set()

    def _refused(self, error: PartstreamError, joining: bool) -> None:
        now = self._loop.time()
        if isinstance(error, UnreleasedInstanceId) and joining:
            # A crashed predecessor has this instance until its session ends.
            if self._predecessor.is_new:
                _logger.warning("waiting for the last member of the instance: %s", error)
            if self._predecessor.is_waited_for(str(error), now):
                self._later()
                return
        elif isinstance(error, UnknownMemberId | FencedMemberEpoch):
            if joining:
                self._new_incarnation()
                self._later()
            else:
                self._lose(f"the group has removed it: {error}")
            return
        elif error.retriable:
            _logger.warning("heartbeat to group %s: %s", self._group_id, error)
            self._later()
            return
        self._fail(error)

    def _later(self) -> None:
        self._due = self._loop.time() + self._backoff_s * random.uniform(0.5, 1.0)
        self._backoff_s = min(self._backoff_s * 2, self._config.retry_backoff_max_ms / 1000)

    def _lose(self, reason: str) -> None:
        _logger.warning("member %s is out of group %s: %s", self.member_id, self._group_id, reason)
        self.state, self.reason = State.LOST, reason
        self._fenced_at = float("inf")
        self._news.set()

    def _fail(self, error: PartstreamError) -> None:
        self.state, self.error, self.reason = State.FAILED, error, str(error)
        self._news.set()

    def _new_incarnation(self) -> None:
        self._incarnation = max(time.time_ns(), self._incarnation + 1)
        self._epoch, self._version, self._told = 0, None, None

    async def _say_goodbye(self) -> None:
        instance_id = self._config.group_instance_id
        try:
            async with asyncio.timeout(_LEAVE_S):
                await self._groups.heartbeat(
                    self._group_id,
                    self.member_id,
                    LEAVE if instance_id is None else LEFT_STATIC,
                    instance_id=instance_id,
                )
        except UnknownMemberId:
            return
        except (PartstreamError, TimeoutError) as error:
            _logger.info(
                "group %s will miss member %s later: %r", self._group_id, self.member_id, error
            )
