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
    name = f"java-{version}"
    return Kind(name, command, "java", assignors=(*_JAVA, *assignors), lacks=_LACKS[name])


_LIBRDKAFKA = ("range", "roundrobin", "cooperative-sticky")
_LIBRDKAFKA_NEW = (*_LIBRDKAFKA, "consumer")
_CODECS = ("python-snappy==0.7.3", "lz4==4.4.5", "zstandard==0.23.0", "cramjam==2.9.0")
_FURTHER = frozenset(
    {
        *("internal", "unset_config", "offset_of", "elect", "reassignments", "log_dirs"),
        *("producers", "states", "types", "committed_by", "delete_committed", "remove_member"),
        "async_commit",
    }
)
"""Calls that many clients lack. `async_commit`: only that of Java tells what became of it."""
_LACKS: dict[str, frozenset[str]] = {
    "java-2.8.2": frozenset({"offset_of", "producers", "committed_by", "types"}),
    "java-3.6.2": frozenset({"types"}),
    "java-4.3.0": frozenset(),
    "franz-go": frozenset({"async_commit"}),
    "kafkajs": _FURTHER - {"reassignments"} | {"static"},
    "confluent-kafka-2.0.2": _FURTHER - {"states"} | {"delete_records"},
    "confluent-kafka-new": _FURTHER - {"states", "types", "unset_config", "offset_of", "elect"},
    "kafka-python-2.0.2": _FURTHER | {"delete_records", "static"},
    "kafka-python-new": frozenset({"internal", "async_commit"}),
    "aiokafka-0.10.0": _FURTHER | {"delete_records", "delete_group"},
    "aiokafka-new": _FURTHER | {"delete_group"},
}
"""By client: what it has no call for."""


def _pythons(
    package: str, module: str, version: str, *, old: tuple[str, ...], new: tuple[str, ...]
) -> Iterator[Kind]:
    """A Python client in an old version, and in that of the tests' own environment."""
    for named, requirements, assignors in (
        (version, (f"{package}=={version}", *_CODECS), old),
        ("new", (), new),
    ):
        yield Kind(
            f"{package}-{named}",
            functools.partial(builds.python, module, *requirements),
            "python",
            assignors=assignors,
            partitioner="crc32" if module == "confluent" else "murmur2",
            lacks=_LACKS[f"{package}-{named}"],
        )


KINDS: tuple[Kind, ...] = (
    _java(builds.NEWEST_JAVA, "consumer"),
    _java("3.6.2"),
    _java("2.8.2"),
    Kind("franz-go", builds.go, "go", assignors=_JAVA, lacks=_LACKS["franz-go"]),
    Kind(
        "kafkajs",
        builds.node,
        "node",
        codecs=("none", "gzip", "snappy", "lz4"),
        # Its only one, which no other client knows.
        assignors=("its own",),
        lacks=_LACKS["kafkajs"],
    ),
    *_pythons("confluent-kafka", "confluent", "2.0.2", old=_LIBRDKAFKA, new=_LIBRDKAFKA_NEW),
    *_pythons("kafka-python", "kafka_python", "2.0.2", old=_JAVA[:2], new=_JAVA),
    *_pythons("aiokafka", "aiokafka", "0.10.0", old=_JAVA[:3], new=_JAVA[:3]),
)
