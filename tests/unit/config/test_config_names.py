"""Names that Kafka would refuse are refused, with the reason."""

from __future__ import annotations

import pytest

from partstream.config.names import (
    validate_namespace,
    validate_partitions,
    validate_topic_name,
)
from partstream.errors import ConfigError, InvalidPartitions, InvalidTopic


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "...", "x" * 249])
def test_good_topic_names(name: str) -> None:
    assert validate_topic_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "x" * 250, "a b", "a/b", "é", "a\n", None, b"a"])
def test_bad_topic_names(name: object) -> None:
    with pytest.raises(InvalidTopic) as raised:
        validate_topic_name(name)
    assert repr(name) in str(raised.value)


@pytest.mark.parametrize("namespace", ["", "x" * 65, "a:b", "{a}", None])
def test_bad_namespaces(namespace: object) -> None:
    assert validate_namespace("Prod-1.x_y") == "Prod-1.x_y"
    with pytest.raises(ConfigError):
        validate_namespace(namespace)


@pytest.mark.parametrize("partitions", [0, -1, 16_385, "3", 1.0, True, None])
def test_bad_partition_counts(partitions: object) -> None:
    assert validate_partitions(16_384) == 16_384
    with pytest.raises(InvalidPartitions) as raised:
        validate_partitions(partitions)
    assert repr(partitions) in str(raised.value)
