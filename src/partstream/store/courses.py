"""Where the commands of callers go that keep an order of their own, as a log does.

Order holds on one connection only. So all commands for a key go to one node, and to another one
only when all of them are answered. The node is the owner of the key's slot or, while that slot is
half moved, the one that the owner has named (ASK), until that is in the way.

This is for commands that declare two keys at least. A node that is asked for keys which have not
come to it says so to those (TRYAGAIN), and takes a single key to be absent.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from partstream.errors import OutcomeUnknown, PartstreamError, StoreUnavailable
from partstream.store.link import ignore
from partstream.store.node import Node
from partstream.store.replies import ASK, MOVED, PASSING
from partstream.store.router import Router
from partstream.store.slots import slot_of
from partstream.store.wire import Argument

_IN_THE_WAY = (ASK, OutcomeUnknown, StoreUnavailable, *PASSING)  # MOVED is an ASK
"""Failures that say something of the node, and not of the command."""


@dataclass(slots=True, eq=False)
class _Course:
    """The commands for one key that are not answered yet."""

    node: Node
    asking: bool
    """Whether the node has to be told that we know that the slot is not its own yet."""
    unanswered: int = 0
    broken: bool = False
    """Whether one has failed: nothing more goes this way."""
    named: Node | None = None
    """The node that the failure named."""
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Courses:
    """The ways of all keys that are written to in order."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._courses: dict[str, _Course] = {}

    def submit(self, key: str, *command: Argument, bell: str = "") -> asyncio.Future[Any] | None:
        """Send a command once, behind all earlier ones for its key, and do not retry it.

        The future fails with redis-py's errors; hand them to `Store.mend`. None when the command
        has to wait: until a link is open, or until those before it have failed, too. Await `ready`.

        Args:
            bell: the channel that the command rings where it is carried out. They listen at the
                owner of the slot, and hear it there, too.

        Raises:
            StoreUnavailable: no node holds the slot.
        """
        course = self._courses.get(key)
        if course is None:
            asked = self._router.asked(key)
            node = asked or self._router.node(slot_of(key))
            course = _Course(node, asking=asked is not None)
        elif course.broken:
            return None
        link = course.node.ready
        if link is None:
            return None
        answer = (link.submit_asking if course.asking else link.submit)(*command)
        course.unanswered += 1
        self._courses[key] = course
        answer.add_done_callback(partial(self._answered, key, course))
        if course.asking and bell:
            answer.add_done_callback(partial(self._ring, course, bell))
        return answer

    async def ready(self, key: str) -> None:
        """Wait until the next command may go, and open the link that it takes if need be.

        Raises:
            StoreUnavailable: no node holds the slot, or it cannot be reached.
        """
        while (course := self._courses.get(key)) is not None and course.broken:
            await course.over.wait()
        try:
            await self._router.holder(key).link()
        except PartstreamError:
            self._router.found(key, None)  # whoever has it now, the owner of the slot knows
            raise

    def _answered(self, key: str, course: _Course, answer: asyncio.Future[Any]) -> None:
        course.unanswered -= 1
        error = None if answer.cancelled() else answer.exception()
        if isinstance(error, _IN_THE_WAY):
            course.broken = True
            if isinstance(error, ASK) and not isinstance(error, MOVED):
                course.named = self._router.pointed_to(error, course.node)
        if course.unanswered:
            return
        del self._courses[key]
        if course.broken:
            self._router.found(key, course.named)
            course.over.set()

    def _ring(self, course: _Course, bell: str, answer: asyncio.Future[Any]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            return
        with contextlib.suppress(StoreUnavailable):
            owner = self._router.node(slot_of(bell))
            if owner is not course.node and owner.ready is not None:
                ignore(owner.ready.submit("SPUBLISH", bell, ""))
