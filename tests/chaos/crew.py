"""The workers of a run, as seen from the conductor: processes to talk to, to stop and to kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from tests.chaos.access import Entry
from tests.chaos.history import Journal, Killed, Stuck, now
from tests.chaos.names import NAMESPACE
from tests.chaos.plan import Blow, Client, Plan

_UP_S = 60.0
_LONG_PAUSE_S = 5.0


class Hand:
    """One worker process."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self.name = name
        self.process = process
        self._errors = errors
        self._said: set[str] = set()
        self._news = asyncio.Event()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self._said.add(line.decode().strip())
            self._news.set()

    def say(self, *words: object) -> None:
        """Give a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{' '.join(map(str, words))}\n".encode())

    async def heard(self, word: str, within: float) -> bool:
        """Wait until it has said a word."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while word not in self._said:
                    self._news.clear()
                    await self._news.wait()
        return word in self._said

    async def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        await self._listening
        self._errors.close()


class Crew:
    """All workers of a run."""

    def __init__(
        self, plan: Plan, folder: Path, journal: Journal, *, url: str, entry: Entry, bootstrap: str
    ) -> None:
        self._plan, self._folder, self._url, self._journal = plan, folder, url, journal
        self._entry = entry
        self._bootstrap = bootstrap
        self._workers = [list(clients) for clients in plan.workers]
        """What lives in each, as it is now."""
        self._hands: list[Hand] = []
        self._generations = 0
        self._changing = asyncio.Lock()
        """Held while the clients of a worker change, or a worker that has them does."""
        self._away: set[tuple[int, int]] = set()
        """Members that speak another protocol than at the beginning: worker, number."""
        self._going_home = False

    async def begin(self) -> None:
        """Start all workers."""
        starts = (self._start(index) for index in range(len(self._workers)))
        self._hands = list(await asyncio.gather(*starts))

    async def _start(self, index: int) -> Hand:
        self._generations += 1
        name = f"w{index}g{self._generations}"
        spec: dict[str, Any] = {
            "name": name,
            "url": self._url,
            "bootstrap": self._bootstrap,
            "namespace": NAMESPACE,
            "partitions": self._plan.partitions,
            "journal": str(self._folder / f"{name}.jsonl"),
            "seed": self._plan.seed * 1_000 + self._generations,
            "clients": [self._specified(client) for client in self._clients(index)],
        }
        of_kafka = self._clients(index)[0].role.startswith("kafka")
        path = self._folder / f"{name}.spec.json"
        path.write_text(json.dumps(spec), encoding="utf-8")
        errors = (self._folder / f"{name}.log").open("wb")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.chaos.kafka_worker" if of_kafka else "tests.chaos.worker",
            str(path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=Path(__file__).parents[2],
        )
        hand = Hand(name, process, errors)
        if not await hand.heard("up", _UP_S):
            self._journal.write(Stuck(now(), name, "did not start"))
        return hand

    def _clients(self, index: int) -> list[Client]:
        return self._workers[index]

    def _specified(self, client: Client) -> dict[str, Any]:
        fields = asdict(client)
        if not client.role.startswith("kafka"):
            fields["config"].update(self._entry.login(client.role))
        return fields

    def stir(self, group: str) -> None:
        """In each worker that has members of a group one leaves, and another one comes."""
        for index, hand in enumerate(self._hands):
            groups = [client.group for client in self._clients(index)]
            if group in groups:
                hand.say("cancel", groups.index(group))

    async def strike(self, blow: Blow) -> str:
        """Make a fault happen to a worker, or to a client in one."""
        index = blow.pick % len(self._hands)
        hand = self._hands[index]
        match blow.name:
            case "kill_worker":
                async with self._changing:
                    self._journal.write(Killed(now(), hand.name))
                    await hand.kill()
                    self._hands[index] = await self._start(index)
                return f"{hand.name}, followed by {self._hands[index].name}"
            case "pause_worker":
                await self._pause(hand, blow.seconds)
                return f"{hand.name} for {blow.seconds} s"
            case "pause_worker_long":
                await self._pause(hand, _LONG_PAUSE_S)
                return f"{hand.name} for {_LONG_PAUSE_S} s"
            case "cancel_client":
                number = blow.pick // len(self._hands)
                hand.say("cancel", number)
                return f"client {number % len(self._clients(index))} of {hand.name}"
        raise ValueError(blow.name)

    async def switch(self, blow: Blow) -> str:
        """Switch a member to the other protocol of groups: one by one all of them, then back."""
        async with self._changing:
            index, number = self._to_switch(blow)
            self._away ^= {(index, number)}
            client = self._clients(index)[number].switched()
            self._clients(index)[number] = client
            hand = self._hands[index]
            hand.say("switch", number)
            protocol = client.config.get("group.protocol", "consumer")
            return f"client {number} of {hand.name}, in group {client.group}: {protocol}"

    def _to_switch(self, blow: Blow) -> tuple[int, int]:
        members = [
            (index, number)
            for index, clients in enumerate(self._workers)
            for number, client in enumerate(clients)
            if client.other is not None
        ]
        left = [place for place in members if (place in self._away) is self._going_home]
        if not left:
            self._going_home = not self._going_home
            left = members
        return left[blow.pick % len(left)]

    async def _pause(self, hand: Hand, seconds: float) -> None:
        hand.process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            hand.process.send_signal(signal.SIGCONT)

    async def tell(self, command: str, until: str, within: float) -> bool:
        """Give all a command, and wait until they have obeyed; whoever has not is stuck.

        Returns whether all have.
        """
        for hand in self._hands:
            hand.say(command)
        heard = await asyncio.gather(*(hand.heard(until, within) for hand in self._hands))
        for hand, obeyed in zip(self._hands, heard, strict=True):
            if not obeyed:
                with contextlib.suppress(ProcessLookupError):
                    hand.process.send_signal(signal.SIGUSR1)
                self._journal.write(
                    Stuck(now(), hand.name, f"not {until} {within:.0f} s after {command}")
                )
        if not all(heard):
            await asyncio.sleep(0.5)  # they print where they are
        return all(heard)

    async def end(self) -> None:
        """End all workers, stuck or not."""
        hands, self._hands = self._hands, []
        await asyncio.gather(*(hand.kill() for hand in hands))
