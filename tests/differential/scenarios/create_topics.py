"""CreateTopics (19)."""

from __future__ import annotations

from typing import Any

from tests.differential.scenario import scenario
from tests.differential.session import Session

API = 19


def _topic(s: Session, label: str = "t", /, **given: Any) -> dict[str, Any]:
    configs = [{"name": name, "value": value} for name, value in given.pop("configs", {}).items()]
    wanted = {"name": s.name(label), "num_partitions": 1, "replication_factor": 1}
    return {**wanted, "configs": configs, **given}


async def _create(s: Session, *topics: dict[str, Any], validate_only: bool = False) -> None:
    """Create topics; which configs an answer shows is compared by `what_a_topic_gets`."""
    answer = await s.call(
        API, s.version, topics=list(topics), timeout=10_000, validate_only=validate_only
    )
    for row in answer["topics"]:
        if row.get("configs") is not None:
            row["configs"] = bool(row["configs"])
    s.keep(answer)


@scenario(API, 5)
async def good_topics(s: Session) -> None:
    await _create(s, _topic(s, "a", num_partitions=3))
    await _create(s, _topic(s, "b", configs={"retention.ms": "1000", "segment.bytes": "1048576"}))
    await _create(s, _topic(s, "c"), _topic(s, "d"))
    if s.version >= 4:
        await _create(s, _topic(s, "e", num_partitions=-1, replication_factor=-1))


@scenario(API, only=range(5, 8))
async def what_a_topic_gets(s: Session) -> None:
    answer = await s.call(
        API,
        s.version,
        topics=[_topic(s, configs={"retention.ms": "1000", "max.message.bytes": "2000"})],
        timeout=10_000,
    )
    rows = answer["topics"][0]["configs"]
    s.keep(
        {
            # Defaults are Kafka's or ours; the documentation lists them.
            row["name"]: {**row, "value": row["value"] if row["config_source"] == 1 else "DEFAULT"}
            for row in rows
        }
    )


@scenario(API)
async def only_checked(s: Session) -> None:
    await _create(s, _topic(s), validate_only=True)
    await _create(s, _topic(s, num_partitions=0), validate_only=True)
    await _create(s, _topic(s))
    await _create(s, _topic(s), validate_only=True)


@scenario(API)
async def what_is_there_or_comes_twice(s: Session) -> None:
    await s.topic("t")
    await _create(s, _topic(s))
    await _create(s, _topic(s), _topic(s, "u"))
    await _create(s, _topic(s, "v"), _topic(s, "v", num_partitions=2))
    await _create(s, _topic(s, "a.b"))
    await _create(s, _topic(s, "a_b"))
    await _create(s)


@scenario(API)
async def bad_names(s: Session) -> None:
    for name in ("", ".", "..", "a b", "a/b", "ä", "x" * 250):
        await _create(s, {**_topic(s), "name": name})


@scenario(API)
async def bad_numbers(s: Session) -> None:
    for partitions, replicas in ((0, 1), (-2, 1), (-1, 1), (1, 0), (1, -2), (1, -1), (-1, -1)):
        await _create(
            s,
            _topic(s, f"t{partitions}{replicas}"),
            _topic(
                s,
                f"u{partitions}{replicas}",
                num_partitions=partitions,
                replication_factor=replicas,
            ),
        )


@scenario(API)
async def too_many_partitions(s: Session) -> None:
    for count in (20_000, (1 << 31) - 1):
        await _create(s, _topic(s, num_partitions=count))
    await _create(s, _topic(s, num_partitions=10_000), validate_only=True)


@scenario(API)
async def no_time(s: Session) -> None:
    for timeout in (0, -1):
        await s.ask(topics=[_topic(s, f"t{timeout}")], timeout=timeout, validate_only=True)


@scenario(API)
async def a_config_of_kafkas_own_tests(s: Session) -> None:
    await _create(s, _topic(s, configs={"internal.segment.bytes": "100"}), validate_only=True)


@scenario(API)
async def more_replicas_than_brokers(s: Session) -> None:
    await _create(s, _topic(s, replication_factor=3))


@scenario(API)
async def bad_configs(s: Session) -> None:
    for name, value in (
        ("no.such.config", "1"),
        ("", "1"),
        ("retention.ms", "soon"),
        ("retention.ms", "-2"),
        ("retention.ms", ""),
        ("retention.ms", None),
        ("segment.bytes", "99999999999"),
        ("min.insync.replicas", "0"),
        ("cleanup.policy", "keep"),
        ("cleanup.policy", ""),
        ("compression.type", "brotli"),
        ("message.timestamp.type", "Never"),
        ("max.message.bytes", "1.5"),
        ("max.message.bytes", " 2000 "),
    ):
        await _create(s, _topic(s, f"{name}{value}".strip()[:8], configs={name: value}))


_NUMBERS = ("-3", "-2", "-1", "0", "1", "3", "4", "9", "10", "17", "18", "22", "23", "1.5", "")
_LARGE = ("-131072", "-131073", str(2**31 - 1), str(2**31), str(2**63 - 1), str(2**63), " 7 ")
_TRUTHS = ("true", "false", "TRUE", " false ", "yes", "1", "")
_REPLICAS = ("*", "0:1", "0:1,1:2", "0:1,", " 0:1 , 1:2 ", ",", "", "0", "0:a", "*,0:1", "0:1:2")
_VALUES = {
    **dict.fromkeys(
        (
            *("compression.gzip.level", "compression.lz4.level", "compression.zstd.level"),
            *("file.delete.delay.ms", "flush.ms", "index.interval.bytes", "local.retention.bytes"),
            *("local.retention.ms", "segment.index.bytes", "segment.jitter.ms"),
        ),
        _NUMBERS + _LARGE,
    ),
    **dict.fromkeys(
        (
            *("preallocate", "remote.log.copy.disable", "remote.log.delete.on.disable"),
            *("remote.storage.enable", "unclean.leader.election.enable"),
        ),
        _TRUTHS,
    ),
    "follower.replication.throttled.replicas": _REPLICAS,
    "leader.replication.throttled.replicas": _REPLICAS,
    "message.format.version": ("3.0",),  # until Kafka 4
    "message.downconversion.enable": ("true",),
}


@scenario(API, only=range(7, 8))
async def configs_of_disks_and_replicas(s: Session) -> None:
    for name, values in _VALUES.items():
        heard = {}
        for value in (*values, None):
            answer = await s.call(
                API,
                s.version,
                topics=[_topic(s, configs={name: value})],
                timeout=10_000,
                validate_only=True,
            )
            heard[str(value)] = answer["topics"][0]["error_code"]
        s.keep({name: heard})


@scenario(API)
async def assignments(s: Session) -> None:
    def assigned(label: str, *nodes: list[int], first: int = 0, **given: Any) -> dict[str, Any]:
        rows = [
            {"partition_index": first + number, "broker_ids": ids}
            for number, ids in enumerate(nodes)
        ]
        unset = {"num_partitions": -1, "replication_factor": -1}
        return _topic(s, label, **{**unset, "assignments": rows, **given})

    await _create(s, assigned("a", [1], [1]))
    await _create(s, assigned("b", [1], num_partitions=1))
    await _create(s, assigned("c", [1], replication_factor=1))
    await _create(s, assigned("d", [1], [1], first=1))
    await _create(s, assigned("e", []))
    await _create(s, assigned("f", [1, 1]))
    await _create(s, assigned("g", [99]))
    await _create(s, assigned("h", [-1]))
    twice = assigned("i", [1], [1])
    twice["assignments"][1]["partition_index"] = 0
    await _create(s, twice)
