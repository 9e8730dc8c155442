"""A scenario: what is asked of one API, frame by frame, at some of its versions."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.differential.session import Session

Play = Callable[[Session], Awaitable[None]]

RANGES: dict[int, tuple[int, int]] = {
    int(key): (least, most)
    for key, (least, most) in json.loads(
        (Path(__file__).parents[1] / "gateway" / "kafka_4_3_apis.json").read_text(encoding="utf-8")
    ).items()
}
"""The versions of each API that Kafka 4.3 has."""
_LEAST = {0: 3}
"""Produce 0 to 2 are advertised, and answered by nobody (KAFKA-18659)."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario."""

    api: int
    group: str
    """The module that it stands in, and the file of its recording."""
    name: str
    versions: tuple[int, ...]
    play: Play
    settings: Mapping[str, str]
    """What the server is configured with beside `record.SETTINGS`; the same for all of a group."""
    epochs: bool
    """Whether it lets leaders begin another epoch; the same for all of a group."""


SCENARIOS: list[Scenario] = []


def scenario(
    api: int,
    *more: int,
    only: range | None = None,
    settings: Mapping[str, str] | None = None,
    epochs: bool = False,
) -> Callable[[Play], Play]:
    """Register a scenario, at the API's lowest, a middle and its highest version.

    Args:
        api: the API's key.
        more: further versions.
        only: the versions that it makes sense for.
        settings: see `Scenario`.
        epochs: see `Scenario`.
    """
    least, most = RANGES[api]
    span = only or range(_LEAST.get(api, least), most + 1)
    versions = {span[0], span[len(span) // 2], span[-1], *more}

    def register(play: Play) -> Play:
        group = play.__module__.rpartition(".")[2]
        asked = tuple(sorted(versions))
        one = Scenario(api, group, play.__name__, asked, play, settings or {}, epochs)
        SCENARIOS.append(one)
        return play

    return register
