"""A compacted topic as a mapping: the last value of every key, kept up to date."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from partstream.client.arguments import at_least, check_callback, seconds
from partstream.client.consumer import Consumer
from partstream.client.context import AsyncContext
from partstream.client.mapping import LiveMapping
from partstream.errors import ClosedClient, IllegalState, PartstreamError
from partstream.model import Record, TopicPartition

_logger = logging.getLogger(__name__)

_LOOK_S = 0.2
"""How often somebody who waits is looked after, if nothing comes."""
_AT_ONCE = 10_000

_NOTHING = object()

OnChange = Callable[[Any, Any, Any], object]
"""Called with key, value and the value before; None stands for none."""


class _Anew(NamedTuple):
    """What a table is to become, once it has been read from the beginning again."""

    ends: dict[int, int]
    """Partition -> up to where it has to be read."""
    values: dict[Any, Any]

    def is_read(self, positions: dict[int, int]) -> bool:
        return all(positions.get(number, 0) >= end for number, end in self.ends.items())


class Table(AsyncContext, LiveMapping):
    """The last value of every key of a topic, in memory: read-only, and always following.

    Use it as `async with Table("prices", url) as prices`, or call `start()` and `close()`. It
    begins with what the topic holds at that time; what is written later comes by and by, and
    `wait_for` waits until a record that was written is in it. A record without a value (a
    tombstone) removes its key; one without a key is skipped. If a failover takes records back, the
    topic is read anew, and until that is done the table stays as it was.

    Loops over it, and over its keys, values and items, are loops over a copy: they may wait.

    Reading raises IllegalState before `start`, ClosedClient after `close`, and once the topic
    cannot be read any more the error that says why.
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
            CorruptRecord, SerializationError: a record cannot be read.
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
        """Wait until all that the topic holds now is in the table.

        Args:
            timeout: seconds; None waits for as long as it takes.

        Raises:
            TimeoutError: it took longer.
        """
        within = seconds(timeout)
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        async with asyncio.timeout(within):
            for partition, end in ends.items():
                await self._reach(partition.partition, end)

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
        async with self._moved:
            self._moved.notify_all()

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
            raise type(self._error)(*self._error.args)
        if self._task is None:
            raise IllegalState("this table was not started: use `async with`, or start()")
        return self._values

    # Following.

    async def _assign(self) -> None:
        """Read every partition that there is."""
        count = await self._consumer.partitions_for(self._topic)
        if count > len(self._consumer.assignment()):
            await self._consumer.assign(
                [TopicPartition(self._topic, number) for number in range(count)]
            )

    async def _follow(self) -> None:
        try:
            while True:
                records = await self._consumer.poll(_AT_ONCE, _LOOK_S)
                positions = await self._reached()
                if self._went_back(records, positions):
                    await self._begin_anew()
                    continue
                for record in records:
                    self._take(record)
                before, self._positions = self._positions, positions
                if self._anew is not None and self._anew.is_read(positions):
                    self._replace(self._anew.values)
                if positions != before:
                    async with self._moved:
                        self._moved.notify_all()
                await self._assign()
        except PartstreamError as error:
            _logger.error("the table of %s is not kept up to date any more: %s", self._topic, error)
            self._error = error
            async with self._moved:
                self._moved.notify_all()

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

    async def _begin_anew(self) -> None:
        _logger.warning("the log of %s is not what it was: reading it anew", self._topic)
        assigned = self._consumer.assignment()
        ends = await self._consumer.end_offsets(assigned)
        self._consumer.seek_to_beginning()
        self._positions = {}
        self._anew = _Anew({one.partition: end for one, end in ends.items()}, {})

    def _take(self, record: Record) -> None:
        key, value = record.key, record.value
        if key is None:
            return
        values = self._values if self._anew is None else self._anew.values
        before = values.get(key)
        if value is not None:
            values[key] = value
        elif values.pop(key, _NOTHING) is _NOTHING:
            return
        if self._anew is None:
            self._tell(key, value, before)

    def _replace(self, values: dict[Any, Any]) -> None:
        """Be these from now on, and tell what is different."""
        old, self._values, self._anew = self._values, values, None
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

    async def _reach(self, partition: int, offset: int) -> None:
        async with self._moved:
            await self._moved.wait_for(
                lambda: (
                    self._closed
                    or self._error is not None
                    or (self._anew is None and self._positions.get(partition, 0) >= offset)
                )
            )
        self._readable()
