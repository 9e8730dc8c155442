"""A process of clients under load: `python -m tests.chaos.worker SPEC`.

It obeys words on its standard input (`finish`, `drain`, `cancel N`), says how far it is on its
standard output (`up`, `finished`, `drained`), and writes everything else to its journal. SIGUSR1
makes it print where all its tasks are.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from tests.chaos.clients import NAME, Rereader, Sender, World, truncation
from tests.chaos.history import Crashed, Journal, Killed, Leaked, Memory, Moved, Told, now
from tests.chaos.member import Member
from tests.chaos.plan import Client

_User: TypeAlias = "Sender | Member | Rereader"
_USERS: dict[str, type[Sender] | type[Member] | type[Rereader]] = {
    "producer": Sender,
    "member": Member,
    "reader": Rereader,
}
_SAMPLE_S = 2.0


class Truncations(logging.Handler):
    """Notes what consumers say of the log in warnings, by the client whose task says it."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        told = truncation(text)
        if told is not None:
            self._journal.write(Told(now(), NAME.get(), *told))
        elif "is out of range, it has" in text and record.args:
            partition = str(record.args[1]).rpartition("-")[2]  # type: ignore[index]
            self._journal.write(Moved(now(), NAME.get(), int(partition), -1))


class Worker:
    """The clients of one process."""

    def __init__(self, name: str, clients: list[Client], world: World, seed: int) -> None:
        self._name = name
        self._clients = clients
        self._world = world
        self._rng = random.Random(seed)
        self._made = 0
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """All of its life."""
        before = len(_sockets())
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, _print_tasks)
        for index in range(len(self._clients)):
            self._start(index)
        say("up")
        ours = asyncio.current_task()
        commands = asyncio.create_task(self._obey())
        sampling = asyncio.create_task(self._sample())
        await self._world.finishing.wait()
        await self._ended("producer")
        say("finished")
        await self._world.draining.wait()
        await self._ended("member", "reader")
        for task in (commands, sampling):
            task.cancel()
        await asyncio.gather(commands, sampling, return_exceptions=True)
        await asyncio.sleep(0.1)  # what was cancelled needs a moment
        left = [task for task in asyncio.all_tasks() if task is not ours]
        sockets = len(_sockets()) - before
        self._world.journal.write(
            Leaked(now(), self._name, len(left), sockets, "; ".join(map(repr, left)))
        )
        say("drained")

    def _start(self, index: int) -> None:
        client = self._clients[index]
        self._made += 1
        name = f"{self._name}-{client.role}{self._made}"
        token = NAME.set(name)
        try:
            user = _USERS[client.role](self._world, name, client, random.Random(self._rng.random()))
            self._tasks[index] = asyncio.create_task(self._live(user, name), name=name)
        finally:
            NAME.reset(token)

    async def _live(self, user: _User, name: str) -> None:
        try:
            await user.run()
        except Exception as error:
            logging.exception("%s crashed", name)
            self._world.journal.write(Crashed(now(), name, repr(error)))

    async def _ended(self, *roles: str) -> None:
        tasks = [self._tasks[i] for i, client in enumerate(self._clients) if client.role in roles]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _obey(self) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            match line.decode().split():
                case ["finish"]:
                    self._world.finishing.set()
                case ["drain"]:
                    self._world.draining.set()
                case ["cancel", number]:
                    await self._cancel(int(number) % len(self._clients))
        os._exit(1)  # nobody is left to work for

    async def _cancel(self, index: int) -> None:
        """Cancel a user in the middle of whatever it does; another takes its place."""
        task = self._tasks[index]
        if task.done() or self._world.finishing.is_set():
            return
        self._world.journal.write(Killed(now(), task.get_name()))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._start(index)

    async def _sample(self) -> None:
        while True:
            self._world.journal.write(Memory(now(), self._name, resident_kilobytes()))
            await asyncio.sleep(_SAMPLE_S)


def _sockets() -> set[str]:
    """The sockets that this process has open."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = str(entry.readlink())
            if target.startswith("socket:"):
                found.add(target)
    return found


def resident_kilobytes() -> int:
    """The resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * (os.sysconf("SC_PAGE_SIZE") // 1024)


def _print_tasks() -> None:
    for task in asyncio.all_tasks():
        text = io.StringIO()
        task.print_stack(file=text)
        print(f"{task.get_name()}\n{text.getvalue()}", file=sys.stderr, flush=True)


def say(word: str) -> None:
    """Tell the conductor."""
    print(word, flush=True)


async def _main(spec: dict[str, Any]) -> None:
    journal = Journal(Path(spec["journal"]))
    readers = logging.getLogger("partstream.client.reader")
    readers.setLevel(logging.INFO)
    readers.addHandler(Truncations(journal))
    world = World(
        url=spec["url"],
        namespace=spec["namespace"],
        partitions=spec["partitions"],
        journal=journal,
        finishing=asyncio.Event(),
        draining=asyncio.Event(),
    )
    clients = [Client(**fields) for fields in spec["clients"]]
    await Worker(spec["name"], clients, world, spec["seed"]).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(name)s %(message)s")
    asyncio.run(_main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
