"""What a judgement is made of."""

from __future__ import annotations

from typing import NamedTuple


class Anomaly(NamedTuple):
    """Something that must not have happened."""

    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


class Promise(NamedTuple):
    """What the deployment of a run promises."""

    may_lose: bool = False
    """Whether Redis may take back what it acknowledged; then it has to be noticed."""
    may_lose_commits: bool = False
    """Whether that goes for what groups have committed, too, of which nobody is told."""
    settle_s: float = 30.0
    """How long after the last fault everything has to be at work again."""
