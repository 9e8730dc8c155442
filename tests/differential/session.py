"""Asks a server frame by frame, Kafka or the gateway, and keeps its answers to be compared."""

from __future__ import annotations

import asyncio
import json
import struct
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from kio.index import load_response_schema

from partstream.gateway import codec
from partstream.gateway.table import BY_KEY
from tests.differential.normal import Normaliser, plain
from tests.gateway.messages import read_by_kio

Answer = dict[str, Any]
Again = Callable[[], Awaitable[None]]

METADATA, CREATE_TOPICS, PRODUCE, LIST_OFFSETS, API_VERSIONS = 3, 19, 0, 2, 18
DISCONNECTED = "disconnected"
"""What is heard of a request that ends the connection."""

_NEWEST: dict[int, int] = {
    int(key): most
    for key, (_, most) in json.loads(
        (Path(__file__).parents[1] / "gateway" / "kafka_4_3_apis.json").read_text(encoding="utf-8")
    ).items()
}
_SETTLES_S = 10.0
"""How long Kafka may take to tell its broker what its controller has decided."""
_CLIENT = b"differential"


class Topic(NamedTuple):
    """A topic that a scenario has made."""

    name: str
    id: str
    epoch: int
    """The leader epoch of its first partition."""


class Address(NamedTuple):
    """Where the server is."""

    host: str
    port: int


def frame(key: int, version: int, body: bytes) -> bytes:
    """A request, length and header and all, around a body."""
    header = struct.pack(">hhih", key, version, 7, len(_CLIENT)) + _CLIENT
    if is_flexible(key, version):
        header += b"\0"
    return struct.pack(">i", len(header) + len(body)) + header + body


def is_flexible(key: int, version: int) -> bool:
    """Whether a version has compact lengths and tagged fields (KIP-482)."""
    flexible: bool = load_response_schema(key, version).__flexible__
    return flexible


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def exchange(self, data: bytes) -> bytes:
        """Send a frame; the frame of the answer, empty if the server hangs up."""
        self._writer.write(data)
        return await self.frame()

    def send(self, data: bytes) -> None:
        """Send a frame that is not answered."""
        self._writer.write(data)

    async def frame(self) -> bytes:
        """The next frame, empty if the server hangs up."""
        try:
            async with asyncio.timeout(30):
                (length,) = struct.unpack(">i", await self._reader.readexactly(4))
                return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


class Session:
    """One run of one scenario, at one version, against one server."""

    def __init__(
        self, address: Address, api: int, version: int, another_epoch: Again | None = None
    ) -> None:
        """`another_epoch`: what makes leaders begin another epoch."""
        self.api = api
        self.version = version
        self.mark = f"q{uuid.uuid4().hex[:10]}q"
        """In every name of the run: Kafka forgets nothing between two runs."""
        self.heard: list[Any] = []
        """The answers, normalised."""
        self.names = Normaliser(self.mark)
        self._address = address
        self._another_epoch = another_epoch
        self._line: Line | None = None
        self._lines: list[Line] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for line in self._lines:
            line.close()

    def beside(self) -> Session:
        """The same run on a connection of its own, for requests that wait for one another."""
        other = Session(self._address, self.api, self.version, self._another_epoch)
        other.mark, other.heard, other.names = self.mark, self.heard, self.names
        other._lines = self._lines
        return other

    def name(self, label: str) -> str:
        """The name of a topic or a group of this run."""
        return f"{label}-{self.mark}"

    async def line(self) -> Line:
        """A connection of its own."""
        line = Line(*await asyncio.open_connection(*self._address))
        self._lines.append(line)
        return line

    # Asking.

    async def ask(self, /, **values: Any) -> Answer:
        """Send the scenario's request, and keep the answer."""
        return await self.ask_other(self.api, self.version, **values)

    async def ask_other(self, key: int, version: int | None = None, /, **values: Any) -> Answer:
        """Send a request of any API, and keep the answer."""
        begun = _now()
        answer = await self.call(key, version, **values)
        self.keep(answer, since=begun)
        return answer

    async def ask_until(
        self, good: Callable[[Answer], Any], key: int, version: int | None = None, /, **values: Any
    ) -> Answer:
        """Send a request again until the answer is good, and keep the last one."""
        begun = _now()
        answer = await self.call_until(good, key, version, **values)
        self.keep(answer, since=begun)
        return answer

    async def call(self, key: int, version: int | None = None, /, **values: Any) -> Answer:
        """Send a request, at the newest version unless one is given; the answer is not kept."""
        at = _NEWEST[key] if version is None else version
        body = bytes(codec.request(BY_KEY[key].name, at).encode(values))
        answer = await self.exchange(frame(key, at, body))
        found: Answer = read(key, at, answer)
        return found

    async def call_until(
        self, good: Callable[[Answer], Any], key: int, version: int | None = None, /, **values: Any
    ) -> Answer:
        """Send a request again until the answer is good; it is not kept."""
        deadline = time.monotonic() + _SETTLES_S
        while True:
            answer = await self.call(key, version, **values)
            if good(answer) or time.monotonic() > deadline:
                return answer
            await asyncio.sleep(0.02)

    async def unanswered(self, /, **values: Any) -> None:
        """Send the scenario's request, which has no answer."""
        body = bytes(codec.request(BY_KEY[self.api].name, self.version).encode(values))
        if self._line is None:
            self._line = await self.line()
        self._line.send(frame(self.api, self.version, body))

    async def pause(self) -> None:
        """Give the server a moment to settle."""
        await asyncio.sleep(0.05)

    async def raw(self, data: bytes, *, read_as: int | None = None) -> None:
        """Send a frame as it is, and keep the answer, read as that version."""
        begun = _now()
        answer = await self.exchange(data)
        at = self.version if read_as is None else read_as
        self.keep(read(self.api, at, answer), since=begun)

    def keep(self, answer: Any, *, since: int | None = None) -> None:
        """Keep an answer, or what a scenario makes of one."""
        self.names.now = (_now() if since is None else since - 5_000, _now() + 5_000)
        self.heard.append(self.names.normal(answer))

    async def exchange(self, data: bytes) -> bytes:
        """Send a frame as it is; the frame of the answer, empty if the server hangs up."""
        if self._line is None:
            self._line = await self.line()
        answer = await self._line.exchange(data)
        if not answer:
            self._line = None
        return answer

    # What most scenarios begin with.

    async def topic(self, label: str = "t", partitions: int = 1, /, **configs: str) -> Topic:
        """Create a topic, and wait until it is there."""
        name = self.name(label)
        wanted = {
            "name": name,
            "num_partitions": partitions,
            "replication_factor": 1,
            "configs": [
                {"name": key.replace("_", "."), "value": value} for key, value in configs.items()
            ],
        }
        made = await self.call(CREATE_TOPICS, topics=[wanted], timeout=10_000)
        row = made["topics"][0]
        if row["error_code"] != "NONE":
            raise AssertionError(f"the topic {label} could not be made: {row}")
        self.names.call(row["topic_id"], f"id of {label}")
        return await self.settled(name)

    async def settled(self, name: str) -> Topic:
        """Wait until a topic has leaders."""
        answer = await self.call_until(
            _has_leaders,
            METADATA,
            12,
            topics=[{"name": name, "topic_id": None}],
            allow_auto_topic_creation=False,
        )
        row = answer["topics"][0]
        # The broker knows of a leader before it is one.
        numbers = [partition["partition_index"] for partition in row["partitions"]]
        rows = [{"partition_index": number, "timestamp": -1} for number in numbers]
        await self.call_until(
            lambda one: all(
                partition["error_code"] == "NONE" for partition in one["topics"][0]["partitions"]
            ),
            LIST_OFFSETS,
            6,
            replica_id=-1,
            topics=[{"name": name, "partitions": rows}],
        )
        return Topic(name, row["topic_id"], row["partitions"][0]["leader_epoch"])

    async def begin_epoch(self, topic: Topic, records: bytes) -> Topic:
        """Append a batch in another leader epoch than before; the topic with that."""
        if self._another_epoch is None:
            raise AssertionError("the scenario is not registered with `epochs`")
        await self._another_epoch()
        self._line = None
        # A broker that has just started hangs up on some.
        await self.call_until(lambda one: "topics" in one, METADATA, 12, topics=[])
        await self.settled(topic.name)
        await self.produce(topic.name, records)
        deadline = time.monotonic() + _SETTLES_S
        while (now := await self.settled(topic.name)).epoch <= topic.epoch:
            if time.monotonic() > deadline:
                raise AssertionError(f"the leader epoch is still {now.epoch}")
            await self.pause()
        return now

    async def produce(self, topic: str, records: bytes, partition: int = 0) -> Answer:
        """Append a batch."""
        data = [{"name": topic, "partition_data": [{"index": partition, "records": records}]}]
        answer = await self.call_until(
            lambda one: one["responses"][0]["partition_responses"][0]["error_code"] == "NONE",
            PRODUCE,
            9,
            acks=-1,
            timeout=10_000,
            topic_data=data,
        )
        row: Answer = answer["responses"][0]["partition_responses"][0]
        if row["error_code"] != "NONE":
            raise AssertionError(f"a batch was refused: {row}")
        return row


def read(key: int, version: int, answer: bytes) -> Any:
    """The message in the frame of an answer, read by kio."""
    if not answer:
        return DISCONNECTED
    cls: Any = load_response_schema(key, version)
    at = 5 if cls.__flexible__ and key != API_VERSIONS else 4
    return plain(read_by_kio(cls, answer[at:]))


def _has_leaders(answer: Mapping[str, Any]) -> bool:
    return all(
        topic["error_code"] == "NONE"
        and topic["partitions"]
        and all(
            row["error_code"] == "NONE" and row["leader_id"] >= 0 for row in topic["partitions"]
        )
        for topic in answer["topics"]
    )


def _now() -> int:
    return int(time.time() * 1000)
