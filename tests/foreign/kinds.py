"""The clients that tests run on, and what each of them can do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
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


_LIBRDKAFKA = ("range", "roundrobin", "cooperative-sticky")
_LIBRDKAFKA_NEW = (*_LIBRDKAFKA, "consumer")
_CODECS = ("python-snappy==0.7.3", "lz4==4.4.5", "zstandard==0.23.0", "cramjam==2.9.0")
_LACKS: dict[str, frozenset[str]] = {
    "confluent": frozenset({"delete_records"}),
    "kafka_python": frozenset({"delete_records", "configs"}),
    "aiokafka": frozenset({"delete_records", "configs", "delete_group"}),
}


def _pythons(
    package: str, module: str, version: str, *, old: tuple[str, ...], new: tuple[str, ...]
) -> Iterator[Kind]:
    """A Python client in an old version, and in that of the tests' own environment."""
    for named, requirements, assignors in (
        (version, (f"{package}=={version}", *_CODECS), old),
        ("new", (), new),
    ):
        lacks = _LACKS[module]
        if (package, named) == ("kafka-python", "2.0.2"):
            lacks |= {"static"}
        yield Kind(
            f"{package}-{named}",
            functools.partial(builds.python, module, *requirements),
            "python",
            assignors=assignors,
            partitioner="crc32" if module == "confluent" else "murmur2",
            lacks=lacks,
        )


KINDS: tuple[Kind, ...] = (
    _java(builds.NEWEST_JAVA, "consumer"),
    _java("3.6.2"),
    _java("2.8.2"),
    Kind("franz-go", builds.go, "go", assignors=_JAVA),
    Kind(
        "kafkajs",
        builds.node,
        "node",
        codecs=("none", "gzip", "snappy", "lz4"),
        # Its only one, which no other client knows.
        assignors=("its own",),
        lacks=frozenset({"static"}),
    ),
    *_pythons("confluent-kafka", "confluent", "2.0.2", old=_LIBRDKAFKA, new=_LIBRDKAFKA_NEW),
    *_pythons("kafka-python", "kafka_python", "2.0.2", old=_JAVA[:2], new=_JAVA),
    *_pythons("aiokafka", "aiokafka", "0.10.0", old=_JAVA[:3], new=_JAVA[:3]),
)
