"""The clients that tests run on, and what each of them can do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from tests.foreign import builds

ALL_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


@dataclass(frozen=True)
class Kind:
    """One client in one version."""

    name: str
    command: Callable[[], tuple[str, ...]]
    toolchain: str
    """One process of the tests runs all that share it."""
    codecs: tuple[str, ...] = ALL_CODECS
    assignors: tuple[str, ...] = ("range",)
    partitioner: str = "murmur2"
    lacks: frozenset[str] = frozenset()
    """What the client has no call for."""


_JAVA = ("range", "roundrobin", "sticky", "cooperative-sticky")


def _java(version: str, *assignors: str) -> Kind:
    command = functools.partial(builds.java, version)
    return Kind(f"java-{version}", command, "java", assignors=(*_JAVA, *assignors))


KINDS: tuple[Kind, ...] = (
    _java(builds.NEWEST_JAVA, "consumer"),
    _java("3.6.2"),
    _java("2.8.2"),
    Kind("franz-go", builds.go, "go", assignors=_JAVA),
)
