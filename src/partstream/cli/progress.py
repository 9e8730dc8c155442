"""Progress bars: on stderr, and only if that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from partstream.model import CompactionProgress


@contextmanager
def progress_bar(what: str, total: int, *, in_bytes: bool) -> Iterator[Callable[[int], None]]:
    """A bar for `total` bytes or pieces; what it gives moves it on by so many."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    counts: ProgressColumn = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), counts, TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def steps_shown() -> Iterator[Callable[[int, CompactionProgress], None]]:
    """Shows how far the cleaning of partitions is; what it gives is told of each step."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _number, _step: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None)

        def show(number: int, step: CompactionProgress) -> None:
            what = f"partition {number}: {step.step}"
            progress.update(task, description=what, completed=step.done, total=step.whole)

        yield show
