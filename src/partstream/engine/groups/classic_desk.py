"""A classic group as this process serves it: requests in, one step for them all, answers out.

Requests that come while a step is on its way to Redis are taken together in the next one. So a
storm of joins costs a few steps, and whoever else serves the group is met once a step, not once a
member.

A request that has to wait is parked. It is looked at again when the group's doorbell rings, and
when the group's next deadline is due: the step that this deadline asks for is then made here, too.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from partstream.engine.groups.classic_calls import ClassicCalls, Loaded
from partstream.errors import (
    CoordinatorNotAvailable,
    PartstreamError,
    UnknownServerError,
)
from partstream.groups.classic import Group, Phase
from partstream.groups.classic_checks import join_answer, sync_answer
from partstream.groups.classic_events import NONE, Event, Join, Leave, Limits, Outcome
from partstream.groups.classic_machine import step
from partstream.store.bells import Bells, Watch

_logger = logging.getLogger(__name__)

_LOST_S = 0.02
"""The longest pause after another process was faster."""
_BELIEVED_S = 5.0
"""So long a silent doorbell is believed: where a slot is on the move it does not ring."""
_UNHEARD_S = 0.5
"""The same where doorbells are refused."""
_NEVER_MS = 2**31 - 1
"""What the scripts give for the next deadline if there is none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request, and the group that says so."""

    outcome: Outcome
    group: Group
    metadata: dict[str, bytes] = field(default_factory=dict)
    """Of a leader's join: member -> its metadata for the protocol of the generation."""
    assignment: bytes = b""
    """Of a sync."""
    taken: bool = False
    """It is a consumer group that has members, so the request is to be made there; of a member
    that has already joined, `outcome` has the id."""


@dataclass(slots=True)
class _Request:
    """A request that is not answered yet."""

    event: Event | None
    """None: only look."""
    answer: asyncio.Future[Answer]
    outcome: Outcome = field(default_factory=Outcome)


class Desk:
    """Serves one group."""

    def __init__(
        self,
        group_id: str,
        calls: ClassicCalls,
        bells: Bells,
        limits: Limits,
        forget: Callable[[Desk], None],
    ) -> None:
        self.group_id = group_id
        self._calls = calls
        self._bells = bells
        self._limits = limits
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._queue: list[_Request] = []
        self._parked: list[_Request] = []
        self._watch: Watch | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._look = False
        self._used = False
        self._closed = False

    async def ask(self, event: Event | None) -> Answer:
        """Do what a request asks for, and wait until it can be answered.

        Raises:
            PartstreamError: Redis could not be asked; the request may be made again.
        """
        request = _Request(event, self._loop.create_future())
        if self._closed:
            raise _ends()
        self._queue.append(request)
        self._used = self._used or event is not None
        self.kick()
        try:
            return await request.answer
        finally:
            if request in self._parked:
                self._parked.remove(request)

    def kick(self) -> None:
        """Look at the group: it has changed, or something is due."""
        self._look = True
        if self._task is None and not self._closed:
            self._task = self._loop.create_task(self._run(), name=f"group {self.group_id}")

    def beat(self, next_deadline_ms: int) -> None:
        """A member was heard here: this process watches the group's deadlines."""
        self._used = True
        if next_deadline_ms <= 0:
            self.kick()
        elif next_deadline_ms < _NEVER_MS:
            self._arm(next_deadline_ms / 1000)

    async def close(self) -> None:
        """Serve no more; who waits is told to ask elsewhere."""
        self._closed = True
        self._rest()
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._fail(self._queue, _ends())

    # One round after the other, while there is something to do.

    async def _run(self) -> None:
        while self._look or self._queue:
            self._look = False
            # All that come in the same moment go into the same step.
            await asyncio.sleep(0)
            batch, self._queue = self._queue, []
            try:
                await self._round([one for one in batch if not one.answer.done()])
            except PartstreamError as error:
                self._fail(batch, error)
            except asyncio.CancelledError:
                self._fail(batch, _ends())
                raise
            except Exception as error:
                _logger.exception("group %s", self.group_id)
                self._fail(batch, UnknownServerError(f"group {self.group_id!r}: {error}"))
        self._task = None
        if not (self._parked or self._timer):
            self._rest()
            self._forget(self)

    def _fail(self, batch: list[_Request], error: PartstreamError) -> None:
        for request in [*batch, *self._parked]:
            if not request.answer.done():
                request.answer.set_exception(error)
        self._parked.clear()
        self._used = False

    async def _round(self, batch: list[_Request]) -> None:
        before = await self._calls.load(self.group_id)
        delay = _LOST_S / 8
        while before.is_taken or (done := await self._step(before, batch)) is None:
            if before.is_taken:
                self._hand_over(batch, before.group)
                return
            await asyncio.sleep(delay * random.random())
            delay = min(delay * 2, _LOST_S)
            before = await self._calls.load(self.group_id)
        group, written = done
        await self._calls.confirm(self.group_id, written)
        self._parked += batch
        await self._answer(group)
        await self._rest_or_watch(before, group)

    def _hand_over(self, batch: list[_Request], group: Group) -> None:
        """Nobody is served here any more: whoever waits asks the consumer group."""
        for request in [*batch, *self._parked]:
            _resolve(request, Answer(request.outcome, group, taken=True))
        self._parked.clear()
        self._used = False
        self._rest()

    async def _step(self, before: Loaded, batch: list[_Request]) -> tuple[Group, bytes] | None:
        """Decide, and write; None if another was faster."""
        asked = [request for request in batch if request.event is not None]
        events = [request.event for request in asked if request.event is not None]
        group, outcomes, effects = step(
            before.group, events, before.now, self._limits, restarted=before.restarted
        )
        written: bytes | None = before.written
        if group != before.group or effects.assignments is not None:
            written = await self._calls.step(
                self.group_id, before, group, effects, ring=_is_news(before.group, group)
            )
        if written is None:
            return None
        for request, outcome in zip(asked, outcomes, strict=True):
            request.outcome = outcome
        if group.phase != before.group.phase:
            _logger.info(
                "group %s: %s, generation %d, %d members",
                self.group_id,
                group.phase,
                group.generation,
                len(group.members),
            )
        return group, written

    # Answers.

    async def _answer(self, group: Group) -> None:
        """Answer those that can be answered, and park the others."""
        still: list[_Request] = []
        joined: list[_Request] = []
        synced: list[_Request] = []
        for request in self._parked:
            event, outcome = request.event, request.outcome
            if request.answer.done():
                continue
            if event is None or isinstance(event, Leave) or outcome.error != NONE:
                request.answer.set_result(Answer(outcome, group))
            elif isinstance(event, Join):
                # The new id of a static member is fenced by the next one only by its instance.
                code = join_answer(group, outcome.member_id, event.instance_id)
                self._sort(request, group, code, joined, still)
            else:
                code = sync_answer(group, event.member_id, event.instance_id, event.generation)
                self._sort(request, group, code, synced, still)
        # Parked before anything is awaited: a caller that gives up is to be found there.
        self._parked = [*still, *joined, *synced]
        await self._answer_joins(group, joined)
        await self._answer_syncs(group, synced)
        self._parked = [one for one in self._parked if not one.answer.done()]

    def _sort(
        self,
        request: _Request,
        group: Group,
        code: int | None,
        ready: list[_Request],
        still: list[_Request],
    ) -> None:
        if code is None:
            still.append(request)
        elif code == NONE:
            ready.append(request)
        else:
            outcome = Outcome(code, request.outcome.member_id)
            request.answer.set_result(Answer(outcome, group))

    async def _answer_joins(self, group: Group, ready: list[_Request]) -> None:
        metadata: dict[str, bytes] = {}
        if any(_leads(group, request.outcome) for request in ready):
            protocols = (await self._calls.load(self.group_id, details=True)).protocols
            metadata = {
                member_id: protocols.get(member_id, {}).get(group.protocol or "", b"")
                for member_id in group.members
            }
        for request in ready:
            shown = metadata if _leads(group, request.outcome) else {}
            _resolve(request, Answer(request.outcome, group, shown))

    async def _answer_syncs(self, group: Group, ready: list[_Request]) -> None:
        if not ready:
            return
        ids = list({request.outcome.member_id for request in ready})
        assigned = await self._calls.assigned(self.group_id, group.generation, ids)
        for request in ready:
            if request.outcome.member_id in assigned:
                answer = Answer(
                    request.outcome, group, assignment=assigned[request.outcome.member_id]
                )
                _resolve(request, answer)
        if not assigned:
            self._look = True  # the group has moved on meanwhile

    # Waiting.

    async def _rest_or_watch(self, before: Loaded, group: Group) -> None:
        if self._parked and self._watch is None:
            self._watch = await self._bells.watch(self._calls.bell(self.group_id), self.kick)
            self._look = True  # what happened before the doorbell was heard
        elif not self._parked and self._watch is not None:
            self._watch.cancel()
            self._watch = None
        wait = None
        if group.deadlines and (self._parked or self._used or group != before.group):
            wait = max(0.001, (min(group.deadlines.values()) - before.now) / 1000)
        if self._parked:
            silent = _UNHEARD_S if self._bells.refusal is not None else _BELIEVED_S
            wait = silent if wait is None else min(wait, silent)
        self._disarm()
        if wait is not None:
            self._arm(wait)

    def _arm(self, wait: float) -> None:
        when = self._loop.time() + wait
        if self._timer is not None and self._timer.when() <= when:
            return
        self._disarm()
        self._timer = self._loop.call_at(when, self._ring)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self._used = False
        self.kick()

    def _rest(self) -> None:
        self._disarm()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


def _ends() -> PartstreamError:
    return CoordinatorNotAvailable("this process ends, ask another")


def _is_news(before: Group, after: Group) -> bool:
    """Whether anybody who waits may be answered now."""
    return (before.phase, before.generation) != (after.phase, after.generation) or bool(
        before.members.keys() - after.members.keys()
    )


def _leads(group: Group, outcome: Outcome) -> bool:
    """Whether the answer to a join lists the members: to the leader, if it is to assign."""
    if outcome.immediate:
        return outcome.skip_assignment
    return outcome.member_id == group.leader and group.phase == Phase.COMPLETING_REBALANCE


def _resolve(request: _Request, answer: Answer) -> None:
    if not request.answer.done():
        request.answer.set_result(answer)
