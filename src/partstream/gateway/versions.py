"""What ApiVersions says of an API. It stands below the handlers, which are told of every API."""

from __future__ import annotations

from dataclasses import dataclass

NEVER = 1_000
"""As `flexible`: no version of the API is."""


@dataclass(frozen=True, slots=True)
class Versions:
    """The versions of one API."""

    key: int
    name: str
    least: int
    """The oldest version that is served."""
    most: int
    """The newest."""
    flexible: int
    """The first version with compact lengths and tagged fields (KIP-482)."""
    shown: int | None = None
    """The least version that is advertised, if that is less than what is served."""

    @property
    def advertised(self) -> int:
        """The least version that clients are told."""
        return self.least if self.shown is None else self.shown
