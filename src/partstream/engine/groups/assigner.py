"""Makes the target assignments of groups, when somebody here notices that one is due.

Any process may do it, and a claim in the group's state sees to it that mostly one does. Within a
process all heartbeats of a group that wait for an assignment wait for the same task.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Iterable

from partstream.engine.groups.answers import Claim, NotYet
from partstream.engine.groups.calls import GroupCalls
from partstream.engine.topics import Topics
from partstream.errors import PartstreamError
from partstream.groups.consumer import Catalog, plan, relevant_fingerprint

_logger = logging.getLogger(__name__)

_LOOK_AGAIN_S = 0.02
"""How soon to look whether somebody else's assignment is there."""
_LONGEST_PAUSE_S = 1.0
"""How soon to ask again where nobody may make the next assignment yet."""
_GIVE_UP_S = 5.0
"""After this long with nothing to wait for a task ends; the next heartbeat starts another."""

_Work = Callable[[str, asyncio.Timeout], Coroutine[object, object, None]]


class Assigner:
    """Makes assignments, and takes account of topics that come, grow and go."""

    def __init__(self, calls: GroupCalls, topics: Topics, interval_ms: int = 0) -> None:
        """`interval_ms`: from an assignment to the next, in groups for which that is not set."""
        self._calls = calls
        self._topics = topics
        self.interval_ms = interval_ms
        self._claimant = uuid.uuid4().hex
        self._catalog: Catalog | None = None
        self._generation = 0
        self._unwatch: Callable[[], None] | None = None
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._groups: set[str] = set()

    async def catalog(self) -> Catalog:
        """The topics as far as known here; the watch on them makes it forget."""
        if self._unwatch is None:
            self._unwatch = lambda: None
            self._unwatch = await self._topics.watch(self._topics_changed)
            self._forget()
        return self._catalog or await self.read_catalog()

    async def catalog_with(self, names: Iterable[str]) -> Catalog:
        """The topics, read anew unless all of these are known here."""
        catalog = await self.catalog()
        known = catalog.topics.keys() >= set(names)
        return catalog if known else await self.read_catalog()

    async def read_catalog(self) -> Catalog:
        """The topics as they are now."""
        generation = self._generation
        topics = await self._topics.all()
        read = Catalog({name: (t.id, len(t.partitions)) for name, t in topics.items()})
        if generation == self._generation:
            self._catalog = read
        return read

    async def assign(self, group_id: str, *, within: float) -> None:
        """See to it that the group's next assignment is made, and wait for it this many seconds."""
        await self._wait("assign", group_id, within)

    async def review(self, group_id: str, *, within: float) -> None:
        """Take account of topics that have changed since the group last did."""
        await self._wait("review", group_id, within)

    def remember(self, group_id: str) -> None:
        """Look after this group when topics change, not only at its members' next heartbeats."""
        self._groups.add(group_id)

    async def close(self) -> None:
        """End all that is under way."""
        if self._unwatch is not None:
            self._unwatch()
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self) -> None:
        self._catalog = None
        self._generation += 1

    def _topics_changed(self) -> None:
        self._forget()
        for group_id in self._groups:
            self._start("review", group_id)

    def _start(self, what: str, group_id: str) -> asyncio.Task[None]:
        running = self._tasks.get((what, group_id))
        if running is not None:
            return running
        work = self._assign if what == "assign" else self._review
        task = asyncio.create_task(self._guard(work, group_id), name=f"{what} {group_id}")
        self._tasks[what, group_id] = task
        task.add_done_callback(lambda _: self._tasks.pop((what, group_id), None))
        return task

    async def _wait(self, what: str, group_id: str, within: float) -> None:
        await asyncio.wait((self._start(what, group_id),), timeout=within)

    async def _guard(self, work: _Work, group_id: str) -> None:
        try:
            async with asyncio.timeout(_GIVE_UP_S) as patience:
                await work(group_id, patience)
        except (PartstreamError, TimeoutError) as error:
            # Whoever waits sees that nothing has changed; the next heartbeat tries again.
            _logger.info("no assignment for group %s yet: %s", group_id, error or "too slow")

    async def _assign(self, group_id: str, patience: asyncio.Timeout) -> None:
        while True:
            claim = await self._calls.claim(group_id, self._claimant, self.interval_ms)
            if claim is None:
                return
            if isinstance(claim, Claim):
                # Read anew: an assignment made from old topics would have to be made again.
                catalog = await self.read_catalog()
                made = plan(claim.subscriptions, catalog, claim.targets)
                await self._calls.settle(group_id, claim, made, catalog.fingerprint)
            else:
                await self._pause(claim, patience)

    async def _pause(self, before: NotYet, patience: asyncio.Timeout) -> None:
        wait_s = before.ms / 1000
        if before.sure:  # but what the group is configured to may change
            wait_s = min(wait_s, _LONGEST_PAUSE_S)
            patience.reschedule(asyncio.get_running_loop().time() + wait_s + _GIVE_UP_S)
        else:
            wait_s = min(wait_s, _LOOK_AGAIN_S)
        await asyncio.sleep(wait_s)

    async def _review(self, group_id: str, patience: asyncio.Timeout) -> None:
        group = await self._calls.describe(group_id)
        if not group.rows:
            self._groups.discard(group_id)
            return
        catalog = await self.read_catalog()
        seen = group.fields.get("seen", "")
        if seen == catalog.fingerprint:
            return
        matters = relevant_fingerprint(group.subscriptions, catalog) != group.fields.get("topics")
        if await self._calls.review(group_id, seen, catalog.fingerprint, matters=matters):
            await self._assign(group_id, patience)
