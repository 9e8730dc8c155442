"""A process of Kafka clients under load: `python -m tests.chaos.kafka_worker SPEC`.

It obeys and says the same words as `worker`, and writes the same journal. It obeys one more:
`switch N`, upon which another member comes in the place of one, with the other protocol of groups.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, TypeAlias

from tests.chaos.history import Crashed, Journal, Killed, Memory, now
from tests.chaos.kafka_clients import Member, Sender, Stage
from tests.chaos.plan import Client
from tests.chaos.worker import resident_kilobytes, say

_User: TypeAlias = "Sender | Member"
_USERS: dict[str, type[Sender] | type[Member]] = {
    "kafka producer": Sender,
    "kafka member": Member,
}
_SAMPLE_S = 2.0


class Worker:
    """The clients of one process."""

    def __init__(self, name: str, clients: list[Client], stage: Stage, seed: int) -> None:
        self._name = name
        self._clients = clients
        self._stage = stage
        self._rng = random.Random(seed)
        self._made = 0
        self._users: dict[int, tuple[str, _User, threading.Thread]] = {}

    def run(self) -> None:
        """All of its life."""
        for index in range(len(self._clients)):
            self._start(index)
        say("up")
        threading.Thread(target=self._sample, daemon=True).start()
        ending: list[threading.Thread] = []
        for line in sys.stdin:
            match line.split():
                case ["finish"]:
                    self._stage.finishing.set()
                    ending.append(self._wait_for("kafka producer", "finished"))
                case ["drain"]:
                    self._stage.draining.set()
                    ending.append(self._wait_for("kafka member", "drained"))
                    break
                case ["cancel", number]:
                    self._replace(int(number) % len(self._clients))
                case ["switch", number]:
                    self._clients[int(number)] = self._clients[int(number)].switched()
                    self._replace(int(number))
        if not ending:
            os._exit(1)  # nobody is left to work for
        for thread in ending:
            thread.join()

    def _start(self, index: int) -> None:
        client = self._clients[index]
        self._made += 1
        name = f"{self._name}-{client.role.replace(' ', '')}{self._made}"
        user = _USERS[client.role](self._stage, name, client, random.Random(self._rng.random()))
        thread = threading.Thread(target=self._live, args=(user, name), name=name)
        self._users[index] = (name, user, thread)
        thread.start()

    def _live(self, user: _User, name: str) -> None:
        try:
            user.run()
        except Exception as error:
            logging.exception("%s crashed", name)
            self._stage.journal.write(Crashed(now(), name, repr(error)))

    def _replace(self, index: int) -> None:
        """End one in order; another takes its place."""
        if self._stage.finishing.is_set():
            return
        name, user, _ = self._users[index]
        self._stage.journal.write(Killed(now(), name))
        user.over.set()
        self._start(index)

    def _wait_for(self, role: str, word: str) -> threading.Thread:
        """Say a word when all of a role have ended."""
        threads = [
            thread
            for index, (_, _, thread) in self._users.items()
            if self._clients[index].role == role
        ]

        def wait() -> None:
            for thread in threads:
                thread.join()
            say(word)

        waiting = threading.Thread(target=wait, name=f"until {word}")
        waiting.start()
        return waiting

    def _sample(self) -> None:
        while True:
            self._stage.journal.write(Memory(now(), self._name, resident_kilobytes()))
            time.sleep(_SAMPLE_S)


def _main(spec: dict[str, Any]) -> None:
    faulthandler.register(signal.SIGUSR1)
    stage = Stage(
        bootstrap=spec["bootstrap"],
        partitions=spec["partitions"],
        journal=Journal(Path(spec["journal"])),
        finishing=threading.Event(),
        draining=threading.Event(),
    )
    clients = [Client(**fields) for fields in spec["clients"]]
    Worker(spec["name"], clients, stage, spec["seed"]).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s.%(msecs)03d %(name)s %(message)s")
    _main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
