"""kcat: records in each codec, headers, positions, metadata, and members of groups."""

from __future__ import annotations

import asyncio
import functools
import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.foreign.brokers import Serve, codec_on_the_log
from tests.foreign.builds import lacking, program
from tests.foreign.groups import QUICK, SOON
from tests.foreign.topics import Topics
from tests.waiting import until

pytestmark = pytest.mark.deadline(240)

COUNT = 500


class Kcat:
    """kcat, on one broker."""

    def __init__(self, bootstrap: str) -> None:
        self.command = (program("kcat", "kcat"), "-b", bootstrap, "-m", "30")

    async def __call__(self, *words: str, stdin: str = "") -> str:
        """Run it to its end; what it prints."""
        process = await asyncio.create_subprocess_exec(
            *(*self.command, *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(SOON):
                out, err = await process.communicate(stdin.encode())
        except BaseException:
            process.kill()
            await process.wait()
            raise
        assert process.returncode == 0, (words, out.decode(), err.decode())
        return out.decode()


@functools.cache
def features() -> set[str]:
    """What this kcat was built with."""
    told = subprocess.run(
        [program("kcat", "kcat"), "-V"], capture_output=True, text=True, check=True, timeout=30
    )
    found = re.search(r"builtin\.features=([\w,]+)", told.stdout)
    assert found, told.stdout
    return set(found[1].split(","))


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_records_in_each_codec(serve: Serve, namespace: str, codec: str) -> None:
    """With keys and headers; a record without a value among them."""
    if codec not in {"none", *features()}:
        lacking(f"kcat with {codec}")
    lines = [f"k{number}:value {number}" for number in range(COUNT)]
    async with serve() as running:
        kcat = Kcat(running.bootstrap)
        headers = ("-H", "one=1", "-H", "two=zwei ü", "-H", "one=again")
        written = (*("-P", "-t", namespace, "-p", "0", "-K", ":", "-Z", "-z", codec), *headers)
        await kcat(*written, stdin="\n".join([*lines, "gone:"]) + "\n")
        read = ("-C", "-t", namespace, "-p", "0", "-o", "beginning", "-e", "-q")
        assert (await kcat(*read, "-K", ":", "-Z")).splitlines() == [*lines, "gone:NULL"]
        shown = await kcat(*read, "-f", "%t %p %o %K %S %h %k\n")
        assert shown.splitlines() == [
            *(
                f"{namespace} 0 {number} {len(key)} {len(value)} one=1,two=zwei ü,one=again {key}"
                for number, (key, value) in enumerate(line.split(":") for line in lines)
            ),
            f"{namespace} 0 {COUNT} 4 -1 one=1,two=zwei ü,one=again gone",
        ]
        assert await codec_on_the_log(running, namespace) in (codec, None)


async def test_a_record_as_json(serve: Serve, namespace: str) -> None:
    async with serve() as running:
        kcat = Kcat(running.bootstrap)
        await kcat("-P", "-t", namespace, "-p", "0", "-k", "key", "-H", "h=x", stdin="v\n")
        told = json.loads(await kcat("-C", "-t", namespace, "-o", "beginning", "-e", "-q", "-J"))
        assert told.pop("ts") > 0
        assert told == {
            "topic": namespace,
            "partition": 0,
            "offset": 0,
            "tstype": "create",
            "broker": 1,
            "headers": ["h", "x"],
            "key": "key",
            "payload": "v",
        }


async def test_positions(serve: Serve, namespace: str) -> None:
    """Offsets and times to begin and to end at; offsets for times (-Q)."""
    async with serve() as running:
        kcat = Kcat(running.bootstrap)
        for value in ("one", "two", "three", "four"):
            await kcat("-P", "-t", namespace, "-p", "0", stdin=f"{value}\n")
        read = ("-C", "-t", namespace, "-p", "0", "-e", "-q")
        times = (await kcat(*read, "-o", "beginning", "-f", "%T\n")).split()
        assert len(set(times)) == 4
        assert await kcat(*read, "-o", "2") == "three\nfour\n"
        assert await kcat(*read, "-o", "1", "-c", "2") == "two\nthree\n"
        assert await kcat(*read, "-o", "-1") == "four\n"
        assert await kcat(*read, "-o", f"s@{times[1]}") == "two\nthree\nfour\n"
        assert await kcat(*read, "-o", f"s@{times[1]}", "-o", f"e@{times[3]}") == "two\nthree\n"
        for asked, offset in (
            (times[0], 0),
            (times[2], 2),
            (str(int(times[2]) + 1), 3),
            (str(int(times[3]) + 1), -1),
            ("-2", 0),
            ("-1", 4),
        ):
            told = await kcat("-Q", "-t", f"{namespace}:0:{asked}")
            # "End of log" has a number of its own in librdkafka.
            assert told in (
                f"{namespace} [0] offset {offset}\n",
                f"{namespace} [0] offset {offset} (end)\n",
            )


async def test_metadata(serve: Serve, namespace: str) -> None:
    async with serve() as running:
        kcat = Kcat(running.bootstrap)
        await asyncio.to_thread(Topics(running.bootstrap).create, namespace, partitions=2)
        told = json.loads(await kcat("-L", "-J", "-t", namespace))
        assert told["query"] == {"topic": namespace}
        assert told["brokers"] == [{"id": 1, "name": running.bootstrap}]
        assert told["controllerid"] == 1
        (topic,) = told["topics"]
        assert topic["topic"] == namespace
        ours = {"leader": 1, "replicas": [{"id": 1}], "isrs": [{"id": 1}]}
        assert topic["partitions"] == [{"partition": number, **ours} for number in range(2)]
        told = json.loads(await kcat("-L", "-J"))
        assert told["query"] == {"topic": "*"}
        assert namespace in {one["topic"] for one in told["topics"]}
        shown = await kcat("-L", "-t", namespace)
        assert f'topic "{namespace}" with 2 partitions:' in shown
        assert "    partition 0, leader 1, replicas: 1, isrs: 1\n" in shown
        assert f"  broker 1 at {running.bootstrap} (controller)\n" in shown


async def test_a_group_goes_on_where_it_was(serve: Serve, namespace: str) -> None:
    async with serve(**QUICK) as running:
        kcat = Kcat(running.bootstrap)
        await kcat("-P", "-t", namespace, stdin="one\ntwo\n")
        read = ("-G", f"{namespace}-group", "-X", "auto.offset.reset=earliest", "-e", "-q")
        assert await kcat(*read, namespace) == "one\ntwo\n"
        await kcat("-P", "-t", namespace, stdin="three\n")
        assert await kcat(*read, namespace) == "three\n"


class Member:
    """A kcat in a group, which runs until it is told to end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.values: list[str] = []
        self.assigned: list[str] = []

    async def read(self) -> None:
        """Note the values that it prints."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.values.append(line.decode().rstrip("\n"))

    async def listen(self) -> None:
        """Note what it says of its partitions."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            if (found := re.search(r"\): (assigned|revoked): ?(.*)", line.decode())) is not None:
                self.assigned = found[2].split(", ") if found[1] == "assigned" else []


@asynccontextmanager
async def member(kcat: Kcat, group: str, topic: str) -> AsyncIterator[Member]:
    """Such a kcat; it leaves the group at the end."""
    settings = ("-X", "auto.offset.reset=earliest", "-X", "heartbeat.interval.ms=200")
    process = await asyncio.create_subprocess_exec(
        *(*kcat.command, "-G", group, *settings, "-u", topic),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    running = Member(process)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(running.read())
            tasks.create_task(running.listen())
            try:
                yield running
            finally:
                process.terminate()
    finally:
        await process.wait()


async def test_members_share_a_topic(serve: Serve, namespace: str) -> None:
    async with serve(**QUICK) as running:
        kcat = Kcat(running.bootstrap)
        await asyncio.to_thread(Topics(running.bootstrap).create, namespace, partitions=4)
        group = f"{namespace}-group"
        async with member(kcat, group, namespace) as one:
            await until(lambda: len(one.assigned) == 4, within=SOON)
            async with member(kcat, group, namespace) as two:
                await until(lambda: len(one.assigned) == len(two.assigned) == 2, within=SOON)
                assert not set(one.assigned) & set(two.assigned)
                for number in range(4):
                    await kcat("-P", "-t", namespace, "-p", str(number), stdin=f"{number}\n")
                wanted = ["0", "1", "2", "3"]
                await until(lambda: sorted(one.values + two.values) == wanted, within=SOON)
                for each in (one, two):
                    assert sorted(each.assigned) == [
                        f"{namespace} [{number}]" for number in sorted(each.values)
                    ]
            # It says that it leaves, and the other need not miss it first.
            await until(lambda: len(one.assigned) == 4, within=SOON)
