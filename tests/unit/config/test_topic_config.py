"""Topic configs: Kafka's names, bounds and words."""

from __future__ import annotations

import pytest

from partstream.config import TopicConfig
from partstream.errors import InvalidConfig

LONG_MAX = 9_223_372_036_854_775_807


def test_defaults_are_kafkas_but_for_what_memory_costs() -> None:
    assert TopicConfig.from_overrides({}).as_strings() == {
        "cleanup.policy": "delete",
        "min.cleanable.dirty.ratio": "0.5",
        "min.compaction.lag.ms": "0",
        "max.compaction.lag.ms": str(LONG_MAX),
        "delete.retention.ms": "86400000",
        "retention.ms": "604800000",
        "retention.bytes": "268435456",
        "segment.bytes": "4194304",
        "segment.ms": "604800000",
        "max.message.bytes": "1048588",
        "min.insync.replicas": "1",
        "message.timestamp.type": "CreateTime",
        "message.timestamp.before.max.ms": str(LONG_MAX),
        "message.timestamp.after.max.ms": "3600000",
        "compression.type": "producer",
        "compression.gzip.level": "-1",
        "compression.lz4.level": "9",
        "compression.zstd.level": "3",
        "flush.messages": str(LONG_MAX),
        "partstream.partitioner": "murmur3",
        "file.delete.delay.ms": "60000",
        "flush.ms": str(LONG_MAX),
        "follower.replication.throttled.replicas": "",
        "index.interval.bytes": "4096",
        "leader.replication.throttled.replicas": "",
        "local.retention.bytes": "-2",
        "local.retention.ms": "-2",
        "preallocate": "false",
        "remote.log.copy.disable": "false",
        "remote.log.delete.on.disable": "false",
        "remote.storage.enable": "false",
        "segment.index.bytes": "10485760",
        "segment.jitter.ms": "0",
        "unclean.leader.election.enable": "false",
    }


def test_values_may_be_text_numbers_or_lists() -> None:
    config = TopicConfig.from_overrides(
        {"retention.ms": " 5 ", "retention.bytes": -1, "cleanup.policy": ["delete"]}
    )
    assert (config.retention_ms, config.retention_bytes) == (5, -1)
    assert config.overrides() == {
        "retention.ms": "5",
        "retention.bytes": "-1",
        "cleanup.policy": "delete",
    }
    assert TopicConfig.from_overrides(config.overrides()) == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.ms", "-2"),
        ("retention.ms", "1.0"),
        ("retention.ms", "1_000"),
        ("retention.ms", True),
        ("retention.ms", ""),
        ("retention.ms", LONG_MAX + 1),
        ("retention.bytes", -2),
        ("segment.bytes", 1023),
        ("segment.bytes", 2**31),
        ("segment.ms", 0),
        ("max.message.bytes", -1),
        ("min.insync.replicas", 0),
        ("message.timestamp.type", "createtime"),
        ("message.timestamp.after.max.ms", -1),
        ("message.timestamp.before.max.ms", "soon"),
        ("compression.type", "none"),
        ("flush.messages", 0),
        ("cleanup.policy", "Compact"),
        ("cleanup.policy", "keep,delete"),
        ("min.cleanable.dirty.ratio", "1.5"),
        ("min.cleanable.dirty.ratio", "-0.1"),
        ("min.cleanable.dirty.ratio", "half"),
        ("min.cleanable.dirty.ratio", "nan"),
        ("min.compaction.lag.ms", -1),
        ("max.compaction.lag.ms", 0),
        ("delete.retention.ms", -1),
        ("partstream.partitioner", "md5"),
        ("compression.gzip.level", 0),
        ("compression.lz4.level", 18),
        ("compression.zstd.level", 23),
        ("preallocate", "yes"),
        ("segment.index.bytes", 3),
        ("local.retention.ms", -3),
        ("flush.ms", LONG_MAX + 1),
        ("remote.storage.enable", True),
        ("leader.replication.throttled.replicas", "0:1,all"),
        ("follower.replication.throttled.replicas", "*,0:1"),
    ],
)
def test_a_refused_value_is_named_with_its_key(name: str, value: object) -> None:
    with pytest.raises(InvalidConfig) as raised:
        TopicConfig.from_overrides({name: value})
    text = str(value).lower() if isinstance(value, bool) else str(value)
    assert f"Invalid value {text!r} for configuration {name}" in str(raised.value)
    assert raised.value.code == 40


@pytest.mark.parametrize(
    ("policy", "text", "compacts", "deletes"),
    [
        ("compact", "compact", True, False),
        (" delete , compact ", "delete,compact", True, True),
        (["compact", "compact"], "compact", True, False),
        ("", "", False, False),
    ],
)
def test_policies(policy: object, text: str, *, compacts: bool, deletes: bool) -> None:
    config = TopicConfig.from_overrides(
        {"cleanup.policy": policy, "retention.ms": 9, "segment.ms": 5, "max.compaction.lag.ms": 3}
    )
    assert config.overrides()["cleanup.policy"] == text
    assert (config.compacts, config.deletes) == (compacts, deletes)
    fields = config.partition_fields()
    assert fields["retention_ms"] == (9 if deletes else -1)
    assert fields["retention_bytes"] == (268_435_456 if deletes else -1)
    assert fields["segment_ms"] == (3 if compacts else 5)


def test_lags_that_contradict_each_other_are_refused() -> None:
    config = TopicConfig.from_overrides({"min.compaction.lag.ms": 7})
    with pytest.raises(InvalidConfig, match=r"min\.compaction\.lag\.ms \(7\) > max\.comp.*\(5\)"):
        config.altered({"max.compaction.lag.ms": 5})


def test_what_has_no_effect_is_kept_and_changes_nothing() -> None:
    given = {
        "unclean.leader.election.enable": "TRUE",
        "segment.jitter.ms": 5,
        "leader.replication.throttled.replicas": "0:1, 1:2,",
        "follower.replication.throttled.replicas": "*",
    }
    config = TopicConfig.from_overrides(given)
    assert config.overrides() == {
        "unclean.leader.election.enable": "true",
        "segment.jitter.ms": "5",
        "leader.replication.throttled.replicas": "0:1, 1:2,",
        "follower.replication.throttled.replicas": "*",
    }
    assert TopicConfig.from_overrides(config.overrides()) == config
    assert config.partition_fields() == TopicConfig().partition_fields()


@pytest.mark.parametrize(
    ("configs", "level"),
    [
        ({}, None),
        ({"compression.type": "gzip"}, None),
        ({"compression.type": "uncompressed", "compression.gzip.level": 1}, None),
        ({"compression.type": "gzip", "compression.gzip.level": 9}, 9),
        ({"compression.type": "zstd", "compression.gzip.level": 9}, None),
        ({"compression.type": "zstd", "compression.zstd.level": -5}, -5),
    ],
)
def test_how_hard_to_compress(configs: dict[str, object], level: int | None) -> None:
    assert TopicConfig.from_overrides(configs).compression_level == level


def test_null_is_refused_as_kafka_does() -> None:
    with pytest.raises(InvalidConfig, match=r"Null value not supported.*retention\.ms"):
        TopicConfig.from_overrides({"retention.ms": None})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("retention_ms", "; did you mean 'retention.ms'?"),
        ("retention.m", "; did you mean 'retention.ms'?"),
        ("preallocat", "; did you mean 'preallocate'?"),
        ("zzz", ""),
    ],
)
def test_an_unknown_name_is_refused(name: str, hint: str) -> None:
    with pytest.raises(InvalidConfig) as raised:
        TopicConfig.from_overrides({name: "1"})
    assert str(raised.value) == f"Unknown topic config name: {name}{hint}"


def test_altering_sets_and_resets() -> None:
    config = TopicConfig.from_overrides({"retention.ms": 5, "segment.bytes": 2048})
    changed = config.altered({"retention.ms": None, "segment.bytes": 4096, "max.message.bytes": 9})
    assert changed.overrides() == {"segment.bytes": "4096", "max.message.bytes": "9"}
    assert changed.retention_ms == 604_800_000
    with pytest.raises(InvalidConfig, match="Unknown topic config name: zzz"):
        config.altered({"zzz": None})


def test_defaults_lie_below_what_was_asked_for() -> None:
    defaults = {"retention.ms": "60000", "segment.bytes": "4096"}
    config = TopicConfig.from_overrides({"segment.bytes": 2048}, defaults)
    assert (config.retention_ms, config.segment_bytes) == (60_000, 2048)
    assert config.partition_fields()["retention_ms"] == 60_000
    assert config.overrides() == {"segment.bytes": "2048"}
    assert config.defaults == defaults
    back = config.altered({"segment.bytes": None, "retention.ms": 7})
    assert (back.overrides(), back.defaults) == ({"retention.ms": "7"}, defaults)
    assert back.segment_bytes == 4096
    assert back.altered({"retention.ms": None}).as_strings()["retention.ms"] == "60000"
    with pytest.raises(InvalidConfig, match=r"'keep' for configuration cleanup\.policy"):
        TopicConfig.from_overrides({}, {"cleanup.policy": "keep"})


def test_the_partitioner_cannot_change() -> None:
    config = TopicConfig.from_overrides({"partstream.partitioner": "crc32"})
    assert config.altered({"retention.ms": 1}).partitioner == "crc32"
    for other in ("murmur2", None):
        with pytest.raises(InvalidConfig, match=r"partstream\.partitioner: it cannot change"):
            config.altered({"partstream.partitioner": other})


def test_partition_fields() -> None:
    plain = TopicConfig.from_overrides({}).partition_fields()
    assert plain["log_append_time"] == plain["flush"] == 0
    assert plain["after_max"] == 3_600_000
    other = TopicConfig.from_overrides(
        {"message.timestamp.type": "LogAppendTime", "flush.messages": 1, "segment.bytes": 2048}
    ).partition_fields()
    assert (other["log_append_time"], other["flush"], other["segment_bytes"]) == (1, 1, 2048)
