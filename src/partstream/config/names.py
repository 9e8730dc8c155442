"""The names that Kafka, and partstream beside it, accept for topics and namespaces."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from partstream.config.numbers import is_whole
from partstream.errors import ConfigError, InvalidPartitions, InvalidTopic

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TOPIC_NAME = 249
"""Kafka's limit: a broker makes a folder of the name and a partition number."""
MAX_NAMESPACE = 64
MAX_PARTITIONS = 16_384
"""One partition a hash slot: beyond that, partitions of one topic would share slots."""

_LEAST_BEGINNING = 4
"""Letters of a name that lead to the whole of it."""

_NAME = re.compile(r"[a-zA-Z0-9._-]+")


def validate_topic_name(name: object) -> str:
    """Check a topic name by Kafka's rules: 1 to 249 of `[a-zA-Z0-9._-]`, neither `.` nor `..`.

    Raises:
        InvalidTopic: the name is refused; the message says why.
    """
    if not isinstance(name, str):
        raise InvalidTopic(f"topic name {name!r}: expected str, not {type(name).__name__}")
    if not name:
        raise InvalidTopic("topic name '': the empty string is not allowed")
    if name in {".", ".."}:
        raise InvalidTopic(f"topic name {name!r}: '.' and '..' are not allowed")
    if len(name) > MAX_TOPIC_NAME:
        raise InvalidTopic(
            f"topic name {name!r}: {len(name)} characters, at most {MAX_TOPIC_NAME} are allowed"
        )
    if not _NAME.fullmatch(name):
        raise InvalidTopic(
            f"topic name {name!r}: only ASCII letters and digits, '.', '_' and '-' are allowed"
        )
    return name


def validate_namespace(namespace: object) -> str:
    """Check a namespace, the prefix of every Redis key: 1 to 64 of `[A-Za-z0-9._-]`.

    Raises:
        ConfigError: the namespace is refused.
    """
    if (
        not isinstance(namespace, str)
        or len(namespace) > MAX_NAMESPACE
        or not _NAME.fullmatch(namespace)
    ):
        raise ConfigError(
            f"namespace={namespace!r}: expected 1 to {MAX_NAMESPACE} ASCII letters, digits, "
            "'.', '_' or '-'"
        )
    return namespace


def validate_partitions(partitions: object) -> int:
    """Check a number of partitions: 1 to 16,384.

    Raises:
        InvalidPartitions: it is out of range, or not an int.
    """
    if not is_whole(partitions):
        raise InvalidPartitions(f"partitions={partitions!r}: expected a whole number")
    if not 1 <= partitions <= MAX_PARTITIONS:
        raise InvalidPartitions(
            f"partitions={partitions}: expected at least 1 and at most {MAX_PARTITIONS}"
        )
    return partitions


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the known name nearest to `name`, or nothing if none is near.

    The beginning of a long name is near to it: `max_in_flight`.
    """
    names, plain = tuple(known), name.lower().replace(".", "_")
    near = get_close_matches(plain, names, n=1, cutoff=0.6)
    if not near and len(plain) >= _LEAST_BEGINNING:
        near = [known_name for known_name in names if known_name.startswith(plain)]
    return f"; did you mean {near[0]!r}?" if near else ""
