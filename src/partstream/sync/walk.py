"""Whether a thread goes through the keys that it was given."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

GONE = object()
"""There is no value that the thread could have been given."""


class Walk(threading.local):
    """One thread's way through the keys of a mapping that changes meanwhile.

    `dict(table)` asks for `keys()`, and then for each of them in turn: Python has no other way to
    copy a mapping. A key that went in between has to be there all the same, as it was. Whoever asks
    for keys in another order is told how things are now.
    """

    under_way = False
    """Whether it may ask for the next one."""
    _rest: Iterator[tuple[Any, Any]] = iter(())

    def begin(self, values: Mapping[Any, Any]) -> None:
        """The thread was given these keys."""
        self._rest = iter(values.items())
        self.under_way = True

    def step(self, key: Any) -> Any:
        """The thread asks for a key: its value of then if it is the next one, else GONE."""
        name, value = next(self._rest, (GONE, GONE))
        if name is key:
            return value
        self.end()
        return GONE

    def end(self) -> None:
        """The thread does something else."""
        self._rest = iter(())
        self.under_way = False
