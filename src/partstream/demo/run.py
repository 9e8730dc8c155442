"""The demo from beginning to end."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console

from partstream import Admin, TopicPartition
from partstream.demo.flights import read_flights
from partstream.demo.journal import read_journals
from partstream.demo.processes import DemoFailed, Processes, Worker, ended_with
from partstream.demo.proof import Check, prove
from partstream.demo.view import PartitionView, Picture, WorkerView, open_view
from partstream.embedded.server import EmbeddedServer
from partstream.embedded.shared import data_path
from partstream.errors import (
    GroupIdNotFound,
    NonEmptyGroup,
    PartstreamError,
    StoreUnavailable,
)
from partstream.model import GroupDescription

PARTITIONS = 6
CONSUMERS = 3
SESSION_TIMEOUT_MS = 3_000
"""After so long the group notices that one of them is dead. Kafka's default is 45 s."""
_LOOK_EVERY_S = 0.25
_ANSWER_MS = 5_000
"""Redis is to answer within that; the demo is no test of patience."""
_JOIN_S = 30.0
_DRAIN_S = 60.0
NAMESPACE = "ps-demo"


class Demo:
    """One run: a topic, a group, and the processes around them."""

    def __init__(self, admin: Admin, processes: Processes, console: Console, rate: float) -> None:
        self._admin = admin
        self._processes = processes
        self._rate = rate
        self._flights = list(read_flights())
        self._started = time.monotonic()
        self._view = open_view(console, self._seconds)
        self._killed_at: float | None = None

    def run(self) -> list[Check]:
        """Replay, kill, start another, wait for the end, and prove.

        Raises:
            DemoFailed: it did not get that far.
        """
        try:
            self._play()
        finally:
            self._view.close()
        return self._prove()

    def _play(self) -> None:
        processes, view = self._processes, self._view
        for _ in range(CONSUMERS):
            processes.start_worker()
        self._wait(_JOIN_S, "the consumers share the partitions", self._shared)
        view.event(f"{CONSUMERS} consumers share {PARTITIONS} partitions; the replay begins")
        processes.start_replay(self._rate)
        half = len(self._flights) // 2
        self._wait(
            _DRAIN_S + half / self._rate, "half of the flights are processed",
            lambda picture: picture.committed >= half,
        )  # fmt: skip
        victim = processes.workers[0]
        victim.kill()
        self._killed_at = self._seconds()
        view.event(f"killed {victim.name} with SIGKILL; nobody tells the group")
        view.event(f"started {processes.start_worker().name}")
        self._wait(
            _DRAIN_S + len(self._flights) / self._rate,
            "everything is processed and committed, and the newcomer has its share",
            self._drained,
        )  # fmt: skip
        processes.stop()
        view.event("everything is processed; the consumers have left the group")

    def _wait(self, within: float, what: str, reached: Callable[[Picture], bool]) -> None:
        deadline = time.monotonic() + within
        while True:
            self._processes.check()
            picture = self._look()
            self._view.show(picture)
            self._note_takeover(picture)
            if reached(picture):
                return
            if time.monotonic() > deadline:
                raise DemoFailed(f"not within {within:.0f} s: {what}")
            time.sleep(_LOOK_EVERY_S)

    def _note_takeover(self, picture: Picture) -> None:
        """Say when the group has missed the killed consumer, and others own its partitions."""
        if self._killed_at is None:
            return
        owners = {partition.owner for partition in picture.partitions}
        dead = {worker.name for worker in self._processes.workers if worker.killed}
        if None in owners or owners & dead:
            return
        after = picture.seconds - self._killed_at
        self._killed_at = None
        self._view.event(f"others own its partitions, {after:.1f} s after its death")

    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _shared(self, picture: Picture) -> bool:
        """Whether every consumer that lives owns something, and the dead nothing."""
        living = {worker.name for worker in self._processes.workers if not worker.killed}
        return {partition.owner for partition in picture.partitions} == living

    def _drained(self, picture: Picture) -> bool:
        """All is done. The newcomer may still be starting when the others have done it alone."""
        return not self._processes.replaying() and picture.lag == 0 and self._shared(picture)

    def _look(self) -> Picture:
        try:
            group = self._admin.describe_group(self._processes.group)
        except GroupIdNotFound:
            group = None  # nobody has joined yet
        # After the group: what is committed by then is in the log.
        topic = self._admin.describe_topic(self._processes.topic)
        owners, committed = _owners(group), _committed(group)
        return Picture(
            seconds=self._seconds(),
            total=len(self._flights),
            partitions=tuple(
                PartitionView(
                    row.partition,
                    owners.get(row.partition),
                    row.end_offset,
                    committed.get(row.partition, 0),
                )
                for row in topic.partitions
            ),
            workers=tuple(_worker_view(worker, owners) for worker in self._processes.workers),
        )

    def _prove(self) -> list[Check]:
        topic = self._processes.topic
        names = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        ends = self._admin.list_offsets(dict.fromkeys(names, "latest"))
        committed = self._admin.list_group_offsets(self._processes.group)
        return prove(
            self._flights,
            read_journals(self._processes.folder),
            {name.partition: position.offset for name, position in committed.items()},
            {name.partition: end.offset for name, end in ends.items() if end is not None},
        )


def _owners(group: GroupDescription | None) -> dict[int, str]:
    """Partition -> the client id of its owner, which is the consumer's name."""
    if group is None:
        return {}
    return {at.partition: member.client_id for member in group.members for at in member.assignment}


def _committed(group: GroupDescription | None) -> dict[int, int]:
    if group is None:
        return {}
    return {
        lag.partition.partition: lag.committed.offset
        for lag in group.lags
        if lag.committed is not None
    }


def _worker_view(worker: Worker, owners: dict[int, str]) -> WorkerView:
    owned = tuple(number for number, name in sorted(owners.items()) if name == worker.name)
    living = "running" if owned else "joining"
    return WorkerView(worker.name, "killed" if worker.killed else living, owned, worker.count())


@contextlib.contextmanager
def _server(url: str | None, console: Console) -> Iterator[str]:
    """The URL to use, which every process of the demo can reach."""
    if url is not None and not url.startswith("embedded:"):
        yield url
        return
    with EmbeddedServer(data_path(url) if url else None) as server:
        console.print(
            f"A private {server.binary.label} at {server.url}", highlight=False, soft_wrap=True
        )
        yield server.url


def run_demo(url: str | None, *, namespace: str = NAMESPACE, rate: float, console: Console) -> bool:
    """Run the demo; whether everything was proved.

    Args:
        url: where Redis is; None starts a private server.
        namespace: the topic and the group are made in it, and deleted when all is proved.
        rate: flights a second.
        console: what it is shown on.
    """
    topic = f"flights-{uuid.uuid4().hex[:8]}"
    folder = Path(tempfile.mkdtemp(prefix="partstream-demo-"))
    with (
        _server(url, console) as reachable,
        Admin(reachable, namespace=namespace, request_timeout_ms=_ANSWER_MS) as admin,
    ):
        processes = Processes(reachable, namespace, topic, topic, SESSION_TIMEOUT_MS, folder)
        admin.create_topic(topic, PARTITIONS)
        try:
            with ended_with(processes):
                checks = Demo(admin, processes, console, rate).run()
        except PartstreamError:
            console.print(f"What the processes wrote is in {folder}", soft_wrap=True)
            raise
        finally:
            _clean_up(admin, topic)
    _report(checks, console)
    proved = all(check.holds for check in checks)
    if proved:
        shutil.rmtree(folder)
    else:
        console.print(f"What the consumers wrote down is in {folder}", soft_wrap=True)
    return proved


def _clean_up(admin: Admin, topic: str) -> None:
    """Leave nothing in somebody's Redis. A group that still has members stays."""
    with contextlib.suppress(StoreUnavailable):
        with contextlib.suppress(GroupIdNotFound, NonEmptyGroup):
            admin.delete_group(topic)
        admin.delete_topic(topic)


def _report(checks: list[Check], console: Console) -> None:
    console.print()
    for check in checks:
        console.print(
            "proved " if check.holds else "FAILED ",
            style="green" if check.holds else "bold red",
            end="",
        )
        console.print(f"{check.claim}: {check.detail}", highlight=False, soft_wrap=True)
