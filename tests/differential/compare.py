"""Where two answers differ, as paths into them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

ABSENT = "(absent)"


class Found(NamedTuple):
    """One place at which answers differ."""

    path: str
    """Steps and fields: `1.topics.0.error_code`."""
    kafka: Any
    ours: Any

    @property
    def field(self) -> str:
        """The name of the field, without the numbers behind it."""
        return next((part for part in reversed(self.path.split(".")) if not part.isdigit()), "")


def differences(kafka: Any, ours: Any, path: str = "") -> Iterator[Found]:
    """All places at which answers differ, the innermost ones."""
    if isinstance(kafka, dict) and isinstance(ours, dict):
        for name in kafka.keys() | ours.keys():
            at = f"{path}.{name}".lstrip(".")
            yield from differences(kafka.get(name, ABSENT), ours.get(name, ABSENT), at)
    elif isinstance(kafka, list) and isinstance(ours, list) and len(kafka) == len(ours):
        for number, (one, other) in enumerate(zip(kafka, ours, strict=True)):
            yield from differences(one, other, f"{path}.{number}".lstrip("."))
    elif kafka != ours or type(kafka) is not type(ours):
        yield Found(path, kafka, ours)
