"""The configs that a single consumer group may have, by Kafka's dotted names.

They are kept as numbers in a row of the group's state, where its scripts read them. What was not
set follows whoever serves the member: its gateway, or the library's own client.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields, replace
from difflib import get_close_matches
from typing import NamedTuple

from partstream.config.common import INT32_MAX
from partstream.config.consumer import MIN_SESSION_MS
from partstream.errors import InvalidConfig

SESSION, HEARTBEAT = "consumer.session.timeout.ms", "consumer.heartbeat.interval.ms"
ASSIGNMENT = "consumer.assignment.interval.ms"
GROUP_CONFIGS: dict[str, str] = {
    ASSIGNMENT: "assignment_interval_ms",
    HEARTBEAT: "heartbeat_interval_ms",
    SESSION: "session_timeout_ms",
}
"""Kafka's name of every config of a group -> the attribute that holds it."""


class Span(NamedTuple):
    """What a config may be."""

    usual: int
    """Where it was not set."""
    least: int
    most: int


class GroupLimits(NamedTuple):
    """What the configs of groups may be. By default whatever clients may be configured to."""

    session_timeout_ms: Span = Span(45_000, MIN_SESSION_MS, INT32_MAX)
    heartbeat_interval_ms: Span = Span(5_000, 1, INT32_MAX)
    assignment_interval_ms: Span = Span(0, 0, INT32_MAX)


@dataclass(frozen=True, slots=True)
class GroupConfig:
    """What a group is configured with; None where it was not set."""

    session_timeout_ms: int | None = None
    """After how long without a heartbeat a member is removed."""
    heartbeat_interval_ms: int | None = None
    """How often members are told to send a heartbeat."""
    assignment_interval_ms: int | None = None
    """How long after an assignment the next one may be made."""

    @property
    def is_set(self) -> bool:
        """Whether anything is."""
        return self != NO_CONFIGS

    def encode(self) -> str:
        """The row of the group's state; empty if nothing is set."""
        if not self.is_set:
            return ""
        return "|".join("" if value is None else str(value) for value in astuple(self))

    @classmethod
    def decode(cls, row: str) -> GroupConfig:
        """What `encode` made; values that are behind the known ones are a later version's."""
        if not row:
            return NO_CONFIGS
        known = row.split("|")[: len(fields(cls))]
        return cls(*(int(value) if value else None for value in known))

    def overrides(self) -> dict[str, str]:
        """The configs that were set, by Kafka's names, as text."""
        values = {name: getattr(self, field) for name, field in GROUP_CONFIGS.items()}
        return {name: str(value) for name, value in values.items() if value is not None}

    def altered(self, changes: Mapping[str, object | None], limits: GroupLimits) -> GroupConfig:
        """These configs with some replaced, and those that are `None` not set any more.

        Raises:
            InvalidConfig: a name is unknown, a value is no number or out of bounds, or a session
                would end before a heartbeat is due.
        """
        if not isinstance(changes, Mapping):
            raise InvalidConfig(f"config={changes!r:.100}: expected a mapping of names to values")
        values = {}
        for name, value in changes.items():
            if name not in GROUP_CONFIGS:
                raise InvalidConfig(_unknown(name))
            values[GROUP_CONFIGS[name]] = None if value is None else _number(name, value)
        changed = replace(self, **values)
        changed._check(limits)
        return changed

    def _check(self, limits: GroupLimits) -> None:
        for name, field in GROUP_CONFIGS.items():
            value, span = getattr(self, field), getattr(limits, field)
            if value is not None and not span.least <= value <= span.most:
                raise InvalidConfig(
                    f"Invalid value {value} for configuration {name}: expected {span.least} to "
                    f"{span.most}"
                )
        session = _or_usual(self.session_timeout_ms, limits.session_timeout_ms)
        interval = _or_usual(self.heartbeat_interval_ms, limits.heartbeat_interval_ms)
        if session <= interval:
            raise InvalidConfig(
                f"{SESSION} must be greater than {HEARTBEAT}, and {session} is not above {interval}"
            )


NO_CONFIGS = GroupConfig()
"""Of a group for which nothing was set."""


def _or_usual(value: int | None, span: Span) -> int:
    return span.usual if value is None else value


def _number(name: str, value: object) -> int:
    """A value as Kafka reads it: text, with blanks around it or none."""
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[+-]?[0-9]+", text):
        raise InvalidConfig(
            f"Invalid value {value!r:.100} for configuration {name}: expected a whole number"
        )
    return int(text)


def _unknown(name: object) -> str:
    message = f"Unknown group config name: {name!r:.100}"
    near = get_close_matches(str(name).lower().replace("_", "."), GROUP_CONFIGS, n=1, cutoff=0.6)
    return f"{message}; did you mean {near[0]!r}?" if near else message
