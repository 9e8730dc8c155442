"""The blocking table."""

from __future__ import annotations

from collections.abc import KeysView
from typing import Any

from partstream.client.context import Context
from partstream.client.mapping import LiveMapping
from partstream.client.table import OnChange
from partstream.client.table import Table as AsyncTable
from partstream.sync.portal import Portal
from partstream.sync.walk import GONE, Walk


class Table(Context, LiveMapping):
    """The last value of every key of a topic, in memory: read-only, and always following.

    It connects when it is made, and holds then what the topic holds. Any number of threads may
    read it. Use it in a `with` statement, or call `close()`. `on_change` is called on a thread of
    the table's own. All else is as in `partstream.aio.Table`.
    """

    def __init__(
        self,
        topic: str,
        url: str | None = None,
        *,
        on_change: OnChange | None = None,
        **config: Any,
    ) -> None:
        """Connect, and read all that the topic holds now.

        Args and errors are those of `partstream.aio.Table` and its `start`.
        """
        self._table = AsyncTable(topic, url, on_change=on_change, **config)
        self._walk = Walk()
        self._portal = Portal.under(self, "partstream table", self._table.start)

    def catch_up(self, timeout: float | None = None) -> None:
        """Wait until all that the topic holds now is in the table, new partitions included.

        Raises:
            TimeoutError: it took longer than `timeout` seconds.
            StoreUnavailable: where the topic ends could not be asked for.
        """
        self._walk.end()
        self._portal.call(self._table.catch_up(timeout))

    def wait_for(self, partition: int, offset: int, *, timeout: float | None = None) -> None:
        """Wait until the record at an offset, or what has replaced it, is in the table.

        Raises:
            TimeoutError: it took longer than `timeout` seconds.
        """
        self._walk.end()
        self._portal.call(self._table.wait_for(partition, offset, timeout=timeout))

    def close(self) -> None:
        """Disconnect."""
        if self._portal.running:
            self._portal.call(self._table.close())
            self._portal.close()

    def copy(self) -> dict[Any, Any]:
        """All keys and values as they are now."""
        return self._table.copy()

    def keys(self) -> KeysView[Any]:
        """The keys that there are now.

        A thread that then asks for each of them in turn, as `dict(table)` does, finds them all:
        one that went meanwhile with the value that it had.
        """
        values = self._table.copy()
        self._walk.begin(values)
        return values.keys()

    def __getitem__(self, key: Any) -> Any:
        if not self._walk.under_way:
            return self._table[key]
        was = self._walk.step(key)
        try:
            return self._table[key]
        except KeyError:
            if was is GONE:
                raise
            return was

    def __contains__(self, key: object) -> bool:
        return key in self._table

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, or `default` if there is none."""
        return self._table.get(key, default)

    def __len__(self) -> int:
        return len(self._table)

    def __repr__(self) -> str:
        return repr(self._table)
