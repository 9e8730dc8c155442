"""What one sees of the demo while it runs: a live picture on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_LINE_EVERY_S = 1.0
_BAR = 24


@dataclass(frozen=True, slots=True)
class PartitionView:
    """One partition at a moment."""

    number: int
    owner: str | None
    end: int
    committed: int

    @property
    def lag(self) -> int:
        """Records that the group has yet to commit."""
        return self.end - self.committed


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One consumer at a moment."""

    name: str
    state: str
    """`running`, `killed` or `joining`."""
    partitions: tuple[int, ...]
    processed: int


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at a moment."""

    seconds: float
    total: int
    """Flights in the file."""
    partitions: tuple[PartitionView, ...]
    workers: tuple[WorkerView, ...]

    @property
    def produced(self) -> int:
        """Flights in the log."""
        return sum(partition.end for partition in self.partitions)

    @property
    def committed(self) -> int:
        """Flights that the group has committed."""
        return sum(partition.committed for partition in self.partitions)

    @property
    def lag(self) -> int:
        """Flights in the log that the group has yet to commit."""
        return self.produced - self.committed


class Rate:
    """How many a second, over the last two seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def __call__(self, seconds: float, count: int) -> float:
        """Take in a count, and give the rate."""
        self._points.append((seconds, count))
        while seconds - self._points[0][0] > 2 and len(self._points) > 2:
            self._points.popleft()
        first_seconds, first_count = self._points[0]
        return (count - first_count) / max(seconds - first_seconds, 0.001)


class View(Protocol):
    """Shows what happens."""

    def event(self, text: str) -> None:
        """Something happened."""

    def show(self, picture: Picture) -> None:
        """This is how it looks now."""

    def close(self) -> None:
        """It is over."""


@dataclass(slots=True)
class PlainView:
    """Lines, one a second and one for each event."""

    console: Console
    clock: Callable[[], float]
    """Seconds since the beginning."""
    _last: float = -_LINE_EVERY_S

    def event(self, text: str) -> None:
        """Print it."""
        self._print(self.clock(), text)

    def show(self, picture: Picture) -> None:
        """Print a line, if the last one is a second old."""
        if picture.seconds - self._last < _LINE_EVERY_S:
            return
        self._last = picture.seconds
        owners = ", ".join(
            f"{worker.name}: {_numbers(worker.partitions)}" for worker in picture.workers
        )
        self._print(
            picture.seconds,
            f"produced {picture.produced:,}, committed {picture.committed:,}, lag {picture.lag:,}; "
            f"{owners}",
        )

    def close(self) -> None:
        """Nothing to do."""

    def _print(self, seconds: float, text: str) -> None:
        self.console.print(
            f"{seconds:5.1f} s  {text}", markup=False, highlight=False, soft_wrap=True
        )


class LiveView:
    """A picture that changes in place, with the events under it."""

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._events: list[str] = []
        self._picture: Picture | None = None
        self._produced, self._committed = Rate(), Rate()
        self._live = Live(console=console, refresh_per_second=8, transient=False)
        self._live.start()

    def event(self, text: str) -> None:
        """Add it to the list."""
        self._events.append(f"{self._clock():5.1f} s  {text}")
        self._draw()

    def show(self, picture: Picture) -> None:
        """Draw it."""
        self._picture = picture
        self._draw()

    def close(self) -> None:
        """Leave the last picture where it is."""
        self._live.stop()

    def _draw(self) -> None:
        parts: list[Text | Table] = []
        if self._picture is not None:
            parts += [self._numbers(self._picture), _partition_table(self._picture)]
            parts.append(_worker_table(self._picture))
        parts += [Text(event) for event in self._events]
        self._live.update(Group(*parts))

    def _numbers(self, picture: Picture) -> Text:
        produced = self._produced(picture.seconds, picture.produced)
        committed = self._committed(picture.seconds, picture.committed)
        return Text.assemble(
            (f"{picture.seconds:5.1f} s  ", "bold"),
            f"{picture.produced:,} of {picture.total:,} flights produced ({produced:,.0f}/s), "
            f"{picture.committed:,} committed ({committed:,.0f}/s), lag {picture.lag:,}",
        )


def _partition_table(picture: Picture) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column, to_right in (
        ("PARTITION", True), ("OWNER", False), ("COMMITTED", True), ("END", True), ("LAG", True),
        ("", False),
    ):  # fmt: skip
        table.add_column(column, justify="right" if to_right else "left")
    largest = max((partition.end for partition in picture.partitions), default=0)
    for partition in picture.partitions:
        table.add_row(
            str(partition.number),
            Text(partition.owner) if partition.owner else Text("nobody", "yellow"),
            f"{partition.committed:,}",
            f"{partition.end:,}",
            Text(f"{partition.lag:,}", "yellow" if partition.lag > 1000 else ""),
            ProgressBar(max(1, largest), partition.committed, width=_BAR),
        )
    return table


def _worker_table(picture: Picture) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column, to_right in (
        ("CONSUMER", False), ("STATE", False), ("OWNS", False), ("PROCESSED", True)
    ):  # fmt: skip
        table.add_column(column, justify="right" if to_right else "left")
    styles = {"killed": "red", "running": "green"}
    for worker in picture.workers:
        table.add_row(
            worker.name,
            Text(worker.state, styles.get(worker.state, "yellow")),
            _numbers(worker.partitions),
            f"{worker.processed:,}",
        )
    return table


def _numbers(partitions: tuple[int, ...]) -> str:
    return ",".join(map(str, partitions)) or "-"


def open_view(console: Console, clock: Callable[[], float]) -> View:
    """The picture on a terminal, else lines; `clock` gives seconds since the beginning."""
    return LiveView(console, clock) if console.is_terminal else PlainView(console, clock)
