"""A mapping that changes while it is read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any


class LiveMapping(Mapping[Any, Any]):
    """A mapping that others change: what goes through it, goes through a copy.

    So a loop may wait for something, and ends with what was there when it began.
    """

    @abstractmethod
    def copy(self) -> dict[Any, Any]:
        """All keys and values as they are now."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.copy())

    def keys(self) -> KeysView[Any]:
        """The keys that there are now."""
        return self.copy().keys()

    def items(self) -> ItemsView[Any, Any]:
        """The keys that there are now, each with its value."""
        return self.copy().items()

    def values(self) -> ValuesView[Any]:
        """The values that there are now."""
        return self.copy().values()
