"""What `with` and `async with` do for a client: it is closed, however the block ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class AsyncContext(ABC):
    """A client that `async with` starts and closes."""

    @abstractmethod
    async def start(self) -> Self:
        """Connect; once is enough."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class Context(ABC):
    """A client that connects when it is made, and that `with` closes."""

    @abstractmethod
    def close(self) -> None:
        """Disconnect."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
