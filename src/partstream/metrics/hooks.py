"""What clients and gateways tell of their work: once a batch or rarer, never once a record.

`Observer` is the whole of it. Its methods do nothing; whoever wants to know overrides those of
interest. They are called on the client's event loop, and must neither block nor raise. Times are in
seconds, sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol, runtime_checkable

Link = str
"""What a connection is for: `commands`, `replicas` (it waits for them) or `bells`."""

COMMANDS: Link = "commands"
REPLICAS: Link = "replicas"
BELLS: Link = "bells"


class Observer:
    """Hears of one client's work, and by itself ignores it."""

    # Connections: the producer, the consumer, the admin client and the gateway have them alike.

    def link_opened(self, node: str, link: Link) -> None:
        """A connection to a node is open."""

    def link_closed(self, node: str, link: Link, *, lost: bool) -> None:
        """It is not any more; `lost` unless the client closed it."""

    def request_retried(self, node: str, error: str) -> None:
        """A node answered a request with an error that passes, or not at all."""

    def slots_moved(self, slots: int) -> None:
        """So many slots are found to be on other nodes than before: a failover or a reshard."""

    def barrier_waited(self, node: str, seconds: float, *, confirmed: bool) -> None:
        """The replicas of a node have confirmed what it wrote, or have not in time."""

    # Producers.

    def batch_delivered(
        self, topic: str, *, records: int, size: int, waited: float, took: float
    ) -> None:
        """A batch was acknowledged.

        Args:
            records: how many it holds.
            size: its bytes, compressed.
            waited: from its first record until it was first sent.
            took: from then until the acknowledgement, retries included.
        """

    def batch_retried(self, topic: str, error: str) -> None:
        """A batch was not acknowledged, and is sent again."""

    def batch_failed(self, topic: str, records: int, error: str) -> None:
        """A batch was given up."""

    def records_lost(self, topic: str, records: int) -> None:
        """Records that were acknowledged are gone (`LogLoss`)."""

    # Consumers.

    def fetched(self, topic: str, *, batches: int, size: int, took: float) -> None:
        """Batches have come."""

    def fetch_retried(self, topic: str, error: str) -> None:
        """A fetch failed, and is tried again."""

    def handed_out(self, topic: str, partition: int, *, records: int, lag: int) -> None:
        """Records were given to the user; so many more are in the log behind them."""

    def lag_known(self, topic: str, partition: int, lag: int) -> None:
        """How many records are behind the user's position, as of the last fetch."""

    def partition_dropped(self, topic: str, partition: int) -> None:
        """The consumer reads a partition no more."""

    def truncated(self, topic: str, records: int) -> None:
        """Records that the user has had are gone from the log (`LogTruncation`)."""

    def rebalanced(
        self, group: str, *, assigned: int = 0, revoked: int = 0, lost: int = 0, owned: int
    ) -> None:
        """Partitions have come or gone; so many are owned now."""

    def committed(self, group: str, took: float, error: str = "") -> None:
        """A commit ended; `error` names what it failed with."""

    # Log compaction: whichever client or gateway looks after it hears of it.

    def dirty_known(self, topic: str, partition: int, ratio: float) -> None:
        """How much of a compacted partition was never cleaned, of all that can be (0 to 1)."""

    def looks_after(self, partitions: Collection[tuple[str, int]]) -> None:
        """Which compacted partitions (topic and number) this client looks after.

        What it told of the dirty part of others is out of date: another client looks after them, or
        they are gone.
        """

    def compacted_known(self, partitions: Collection[tuple[str, int]]) -> None:
        """Which compacted partitions (topic and number) there are.

        What it told of the cleanings of others is out of date: their topics were deleted, or are
        not compacted any more.
        """

    def cleaned(self, topic: str, partition: int, *, before: int, after: int, took: float) -> None:
        """A partition was cleaned.

        Args:
            topic: its topic.
            partition: its number.
            before: bytes of what was cleaned.
            after: bytes of what is left of it.
            took: seconds.
        """

    def cleaning_failed(self, topic: str, partition: int, error: str) -> None:
        """A partition could not be cleaned."""


SILENT = Observer()
"""Whom clients tell where nobody asked."""


@runtime_checkable
class Reporter(Protocol):
    """Makes observers: an item of the config `metric_reporters`."""

    def observer(self, client_id: str) -> Observer:
        """The observer of one client of that name."""
        ...


def observer_of(reporters: Sequence[Reporter], client_id: str) -> Observer:
    """One observer for all reporters."""
    observers = [reporter.observer(client_id) for reporter in reporters]
    if len(observers) <= 1:
        return observers[0] if observers else SILENT
    return _Every(observers)


class _Every(Observer):
    """Tells several observers."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        for name in _HOOKS:
            setattr(self, name, _each([getattr(one, name) for one in observers]))


def _each(hooks: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def tell(*args: Any, **kwargs: Any) -> None:
        for hook in hooks:
            hook(*args, **kwargs)

    return tell


_HOOKS = tuple(name for name in vars(Observer) if not name.startswith("_"))
