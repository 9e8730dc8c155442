"""A compacted topic as a mapping: the last value of every key, kept up to date."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from partstream.client.arguments import at_least, check_callback, seconds
from partstream.client.consumer import Consumer
from partstream.client.context import AsyncContext
from partstream.client.mapping import LiveMapping
from partstream.errors import (
    ClosedClient,
    IllegalState,
    PartstreamError,
    SerializationError,
    StoreUnavailable,
)
from partstream.model import Record, TopicPartition

_logger = logging.getLogger(__name__)

_LOOK_S = 0.2
"""How often somebody who waits is looked after, if nothing comes."""
_AT_ONCE = 10_000

_NOTHING = object()

OnChange = Callable[[Any, Any, Any], object]
"""Called with key, value and the value before; None stands for none."""


@dataclass(slots=True)
class _Anew:
    """What a table is to become, once it has been read from the beginning again."""

    values: dict[Any, Any] = field(default_factory=dict)
    ends: dict[int, int] | None = None
    """Partition -> up to where it has to be read; None until it could be asked for."""

    def is_read(self, positions: dict[int, int]) -> bool:
        return self.ends is not None and all(
            positions.get(number, 0) >= end for number, end in self.ends.items()
        )


class Table(AsyncContext, LiveMapping):
    """The last value of every key of a topic, in memory: read-only, and always following.

    Use it as `async with Table("prices", url) as prices`, or call `start()` and `close()`. It
    begins with what the topic holds at that time; what is written later comes by and by, and
    `wait_for` waits until a record that was written is in it. A record without a value (a
    tombstone) removes its key; one without a key is skipped. If a failover takes records back, the
    topic is read anew, and until that is done the table stays as it was.

    Loops over it, and over its keys, values and items, are loops over a copy: they may wait.

    Reading raises IllegalState before `start`, ClosedClient after `close`, and once the topic
    cannot be read any more the error that says why. An outage of Redis is none: the table stays as
    it was, and goes on.
    """

    def __init__(
        self,
        topic: str,
        url: str | None = None,
        *,
        on_change: OnChange | None = None,
        **config: Any,
    ) -> None:
        """Check the configs; nothing is connected before `start`.

        Args:
            topic: its name.
            url: where Redis is; left out, PARTSTREAM_URL, or redis://localhost:6379.
            on_change: called on the event loop with key, value and the value before, once for
                every record that changes something, from the topic's beginning on; it must not
                block.
            config: see `ConsumerConfig`: deserializers, for instance. Keys must be hashable.

        Raises:
            ConfigError: a key or value is not valid.
        """
        check_callback(on_change, "on_change")
        self._topic = topic
        self._on_change = on_change
        settings = {"enable_auto_commit": False, **config, "auto_offset_reset": "earliest"}
        self._consumer = Consumer(url, **settings)
        self._values: dict[Any, Any] = {}
        self._anew: _Anew | None = None
        self._task: asyncio.Task[None] | None = None
        self._moved = asyncio.Condition()
        self._positions: dict[int, int] = {}
        self._error: PartstreamError | None = None
        self._closed = False

    async def start(self) -> Self:
        """Connect, and read all that the topic holds now.

        Raises:
            UnknownTopicOrPartition: there is no such topic.
            StoreUnavailable, StoreAuthenticationFailed, StoreTooOld, NewerLayout: as they say.
            CorruptRecord, SerializationError: a record cannot be read, or its key is not hashable.
        """
        if self._task is not None:
            return self
        await self._consumer.start()
        try:
            await self._assign()
            self._task = asyncio.create_task(self._follow(), name=f"table of {self._topic}")
            await self.catch_up()
        except BaseException:
            await self.close()
            raise
        return self

    async def catch_up(self, timeout: float | None = None) -> None:
        """Wait until all that the topic holds now is in the table, new partitions included.

        Args:
            timeout: seconds; None waits for as long as it takes.

        Raises:
            TimeoutError: it took longer.
            StoreUnavailable: where the topic ends could not be asked for.
        """
        self._readable()
        async with asyncio.timeout(seconds(timeout)):
            ends = await self._ends(await self._partitions(fresh=True))
            for partition, end in ends.items():
                await self._reach(partition, end)

    async def wait_for(self, partition: int, offset: int, *, timeout: float | None = None) -> None:
        """Wait until the record at an offset, or what has replaced it, is in the table.

        Args:
            partition: the record's, as its delivery says.
            offset: as well.
            timeout: seconds; None waits for as long as it takes.

        Raises:
            TimeoutError: it took longer.
        """
        reached = at_least(0, partition, "partition"), at_least(0, offset, "offset") + 1
        async with asyncio.timeout(seconds(timeout)):
            await self._reach(*reached)

    async def close(self) -> None:
        """Disconnect."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.close()
        await self._notify()

    # The mapping.

    def __getitem__(self, key: Any) -> Any:
        return self._readable()[key]

    def copy(self) -> dict[Any, Any]:
        """All keys and values as they are now."""
        return self._readable().copy()

    def __len__(self) -> int:
        return len(self._readable())

    def __repr__(self) -> str:
        return f"<Table of {self._topic!r}: {len(self._values)} keys>"

    def _readable(self) -> dict[Any, Any]:
        if self._closed:
            raise ClosedClient("this table is closed")
        if self._error is not None:
            raise type(self._error)(*self._error.args) from self._error
        if self._task is None:
            raise IllegalState("this table was not started: use `async with`, or start()")
        return self._values

    # Following.

    async def _partitions(self, *, fresh: bool = False) -> list[TopicPartition]:
        return await self._consumer.opened.lookups.partitions(self._topic, fresh=fresh)

    async def _assign(self) -> None:
        """Read every partition that there is."""
        names = await self._partitions()
        if len(names) > len(self._consumer.assignment()):
            await self._consumer.assign(names)

    async def _follow(self) -> None:
        try:
            while True:
                await self._go_on()
        except PartstreamError as error:
            _logger.error("the table of %s is not kept up to date any more: %s", self._topic, error)
            await self._end(error)
        except Exception as error:
            _logger.exception("the table of %s is not kept up to date any more", self._topic)
            failed = PartstreamError(f"the table of {self._topic} failed: {error!r}")
            failed.__cause__ = error
            await self._end(failed)

    async def _go_on(self) -> None:
        """Take what comes, within a moment."""
        records = await self._consumer.poll(_AT_ONCE, _LOOK_S)
        positions = await self._reached()
        if self._went_back(records, positions):
            self._begin_anew()
            return
        for record in records:
            self._take(record)
        before, self._positions = self._positions, positions
        ready = self._anew is not None and await self._is_read(self._anew, quiet=not records)
        if ready:
            self._replace()
        if ready or positions != before:
            await self._notify()
        with suppress(StoreUnavailable):  # asked again the next time
            await self._assign()

    async def _reached(self) -> dict[int, int]:
        """Partition -> the position behind what was read."""
        assigned = self._consumer.assignment()
        return {one.partition: await self._consumer.position(one) for one in assigned}

    def _went_back(self, records: list[Record], positions: dict[int, int]) -> bool:
        """Whether a failover took back what was read, or the topic is another one by now."""
        before = self._positions
        return any(record.offset < before.get(record.partition, 0) for record in records) or any(
            positions[number] < before[number] for number in before.keys() & positions
        )

    def _begin_anew(self) -> None:
        _logger.warning("the log of %s is not what it was: reading it anew", self._topic)
        self._consumer.seek_to_beginning()
        self._positions = {}
        self._anew = _Anew()

    async def _is_read(self, anew: _Anew, *, quiet: bool) -> bool:
        """Whether all was read anew; `quiet`: nothing came, and another failover may be why."""
        if anew.ends is None or (quiet and not anew.is_read(self._positions)):
            with suppress(StoreUnavailable):  # asked again the next time
                anew.ends = await self._ends(self._consumer.assignment())
        return anew.is_read(self._positions)

    async def _ends(self, names: Iterable[TopicPartition]) -> dict[int, int]:
        """Partition -> where it ends now."""
        ends = await self._consumer.end_offsets(names)
        return {one.partition: end for one, end in ends.items()}

    def _take(self, record: Record) -> None:
        key, value = record.key, record.value
        if key is None:
            return
        values = self._values if self._anew is None else self._anew.values
        try:
            before = values.get(key)
        except TypeError as error:
            raise SerializationError(
                f"the key {key!r} of the record {record.topic}-{record.partition} at offset "
                f"{record.offset} cannot be a table's: {error}"
            ) from error
        if value is not None:
            values[key] = value
        elif values.pop(key, _NOTHING) is _NOTHING:
            return
        if self._anew is None:
            self._tell(key, value, before)

    def _replace(self) -> None:
        """Be what was read anew, and tell what is different."""
        assert self._anew is not None
        old, self._values, self._anew = self._values, self._anew.values, None
        values = self._values
        for key in old.keys() - values.keys():
            self._tell(key, None, old[key])
        for key, value in list(values.items()):
            if old.get(key) != value:
                self._tell(key, value, old.get(key))

    def _tell(self, key: Any, value: Any, before: Any) -> None:
        if self._on_change is None:
            return
        try:
            self._on_change(key, value, before)
        except Exception:  # the user's code must not stop the table
            _logger.exception("on_change failed")

    async def _end(self, error: PartstreamError) -> None:
        """Raise this from now on, also to those who wait."""
        self._error = error
        await self._notify()

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _reach(self, partition: int, offset: int) -> None:
        self._readable()
        async with self._moved:
            await self._moved.wait_for(
                lambda: (
                    self._closed
                    or self._error is not None
                    or (self._anew is None and self._positions.get(partition, 0) >= offset)
                )
            )
        self._readable()
