"""One server, and the link to it: opened when first needed, and again after it was lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial

from partstream.errors import OutcomeUnknown, StoreUnavailable
from partstream.metrics.hooks import COMMANDS, Observer
from partstream.store.dial import (
    Dialer,
    Greeting,
    Identity,
    greet,
    hang_up,
    identify,
    info_fields,
)
from partstream.store.link import Link, ignore
from partstream.store.replies import translate
from partstream.store.scripts import every_script
from partstream.store.target import Address

_logger = logging.getLogger(__name__)
_SHOWN = 8


class Node:
    """A server of the deployment. Its shared link carries everything that does not block."""

    def __init__(
        self,
        address: Address,
        dialer: Dialer,
        *,
        timeout: float,
        observer: Observer,
        before_reopening: Callable[[], Awaitable[None]] | None = None,
        slots: Callable[[Node], str],
    ) -> None:
        """Connect to nothing yet.

        Args:
            slots: says in words which slots the node holds, for the log.
            before_reopening: awaited before a lost link is opened again; closes this node if it is
                not to be used any more.
        """
        self.address = address
        self._before_reopening = before_reopening
        self.greeting: Greeting | None = None
        self.history = ""
        """The replication ID under which it wrote when it was last asked; leader epochs follow
        from it. Empty where INFO is refused."""
        self._slots = slots
        self._dialer = dialer
        self._observer = observer
        self._timeout = timeout
        self._link: Link | None = None
        self._left_behind: set[Identity] = set()
        self._opening = asyncio.Lock()
        self._closed = False

    @property
    def history_shown(self) -> str:
        """As much of the replication ID as tells it from others."""
        return self.history[:_SHOWN] or "unknown"

    @property
    def ready(self) -> Link | None:
        """The shared link if it is open, without waiting for it."""
        link = self._link
        return link if link is not None and not link.lost else None

    async def link(self) -> Link:
        """The shared link, opened if need be.

        Raises:
            StoreUnavailable, StoreAuthenticationFailed, StoreTooOld: it cannot be opened, or was
                closed for good.
        """
        link = self.ready
        if link is not None:
            return link
        async with self._opening:
            link = self.ready
            if link is None and self._link is not None and self._before_reopening is not None:
                await self._before_reopening()
            if self._closed:
                raise StoreUnavailable(f"the connection to Redis at {self.address} was closed")
            if link is None:
                before = self._link
                link = self._link = await self.open_link(COMMANDS)
                if before is not None:
                    self._fence(before, link)
                self._tell_history(link, reconnected=before is not None)
        return link

    def _tell_history(self, link: Link, *, reconnected: bool) -> None:
        """Learn the replication ID, and after a reconnect say whether it is another than before."""
        known = self.history

        def told(asking: asyncio.Future[bytes]) -> None:
            if asking.cancelled():
                return
            self._learn_history(asking)
            if not reconnected or isinstance(asking.exception(), OutcomeUnknown):
                return
            same = "its history is the same" if self.history == known else "a new leader epoch"
            _logger.info(
                "reconnected to Redis at %s, %s: %s (replication ID %s)",
                self.address,
                self._slots(self),
                same if self.history else "it does not tell its history",
                self.history_shown,
            )

        link.submit("INFO", "replication").add_done_callback(told)

    def _learn_history(self, asking: asyncio.Future[bytes]) -> dict[str, str]:
        if asking.exception() is not None:
            return {}
        fields = info_fields(asking.result())
        self.history = fields.get("master_replid", "")
        return fields

    def tell_reconnected(self, purpose: str, history: str) -> None:
        """Say in the log that a connection beside the shared link was lost, and is there again.

        Args:
            purpose: what it is there to do.
            history: the server's replication ID now; empty where INFO is refused.
        """
        _logger.info(
            "reconnected to Redis at %s to %s, %s (replication ID %s)",
            self.address,
            purpose,
            self._slots(self),
            history[:_SHOWN] or "unknown",
        )

    async def ask_history(self) -> dict[str, str]:
        """What INFO says of replication; empty where it is refused.

        Raises:
            StoreUnavailable, OutcomeUnknown: the server does not answer.
        """
        asking = (await self.link()).submit("INFO", "replication")
        await asyncio.wait([asking])
        return self._learn_history(asking)

    def _fence(self, before: Link, link: Link) -> None:
        """Have the server hear no more of what was sent on a link that was lost.

        It may not have read all of it yet, and would carry it out behind what it is told now: a
        batch that was given up would follow the one that took its place.
        """
        if before.identity is not None:
            self._left_behind.add(before.identity)
        for identity in self._left_behind:
            killing = link.submit(
                "CLIENT", "KILL", "ID", identity.client_id, "ADDR", identity.address
            )
            killing.add_done_callback(partial(self._fenced, identity))

    def _fenced(self, identity: Identity, killing: asyncio.Future[object]) -> None:
        # Where an ACL refuses it nothing is gained by asking again.
        if not killing.cancelled() and not isinstance(killing.exception(), OutcomeUnknown):
            self._left_behind.discard(identity)

    async def open_link(self, purpose: str) -> Link:
        """A link of one's own, with every script loaded: the caller closes it.

        Args:
            purpose: what it is for, as `metrics.hooks` calls it.
        """
        report = partial(self._report, purpose)
        connection = await self._dialer.dial(self.address)
        try:
            self.greeting = await greet(connection, self.address)
            identity = await identify(connection)
            if self._closed:
                raise StoreUnavailable(f"the connection to Redis at {self.address} was closed")
            link = Link(connection, self.address, timeout=self._timeout, on_end=report)
        except BaseException:
            await hang_up(connection)
            raise
        self._observer.link_opened(str(self.address), purpose)
        link.identity = identity
        # Not awaited: what is sent on this link comes after it, and a server that refuses
        # SCRIPT LOAD says so to the first script that is called.
        load_scripts(link)
        return link

    async def close(self) -> None:
        """Close the shared link."""
        self._closed = True
        if self._link is not None:
            await self._link.close()

    def _report(self, purpose: str, link: Link, lost: bool) -> None:
        self._observer.link_closed(str(self.address), purpose, lost=lost)
        if lost and not self._closed:
            _logger.debug("lost a connection to Redis at %s", link.address)


def load_scripts(link: Link) -> None:
    """Have the server know every script before whatever is sent on this link next."""
    for script in every_script():
        ignore(link.submit("SCRIPT", "LOAD", script.source))


async def reload_scripts(link: Link) -> None:
    """The same for a server that has lost them.

    Raises:
        StorePermissionDenied: an ACL rule forbids SCRIPT LOAD.
        StoreUnavailable: the link was lost.
    """
    loading = [link.submit("SCRIPT", "LOAD", script.source) for script in every_script()]
    for result in await asyncio.gather(*loading, return_exceptions=True):
        if isinstance(result, Exception):
            raise translate(result, f"Redis at {link.address}") from result
