"""What a consumer tells its owner about partitions that come and go."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Iterable

from partstream.errors import IllegalState
from partstream.model import TopicPartition


class RebalanceListener:
    """Hears of the partitions that a group gives to a consumer and takes from it.

    Override what you need, with plain methods or (asyncio) `async def`. They are called within
    `poll` or iteration, never at any other time, and may call the consumer: `commit`, `position`,
    `seek`, `pause`; not `poll`. What they raise comes out of `poll`, after the change is made.
    """

    def on_partitions_assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Awaitable[None] | None:
        """These partitions were added. No record of them was handed out yet: `seek` may be used."""

    def on_partitions_revoked(
        self, partitions: frozenset[TopicPartition]
    ) -> Awaitable[None] | None:
        """These are about to go to another member, which gets them only after this returns.

        The last chance to commit what was processed of them (with enable_auto_commit it has been).
        """

    def on_partitions_lost(self, partitions: frozenset[TopicPartition]) -> Awaitable[None] | None:
        """These are gone already, and may have another owner: a commit would be refused.

        By default the same as `on_partitions_revoked`.
        """
        return self.on_partitions_revoked(partitions)


def check_listener(given: object) -> None:
    """Make sure that it is a listener, or None.

    Raises:
        IllegalState: it is neither.
    """
    if given is not None and not isinstance(given, RebalanceListener):
        raise IllegalState(f"listener={given!r:.100}: expected a RebalanceListener, or None")


async def tell(
    listener: RebalanceListener | None, what: str, partitions: Iterable[TopicPartition]
) -> None:
    """Call one of a listener's methods, unless there is no listener, or nothing to tell."""
    found = frozenset(partitions)
    if listener is None or not found:
        return
    answer = getattr(listener, what)(found)
    if inspect.isawaitable(answer):
        await answer
