"""Sessions with Kafka's tools. What they print of Apache Kafka is in `recordings/`.

Whoever changes one records it again, on a Kafka 4.3 that is new and has but one broker, the first:

    python -m tests.foreign.sessions localhost:9092 [NAME...]
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.foreign.groups import SOON, Watch
from tests.foreign.shell import Shell
from tests.waiting import until

RECORDINGS = Path(__file__).parent / "recordings"
_THEN = 1_700_000_000_000
"""When the first record of a session was written, ms."""


async def topics(shell: Shell) -> None:
    """Topics are made, described, grown and deleted; all of that is also done wrong."""
    topic = ("--topic", shell.name)
    make = ("kafka-topics", "--create")
    await shell(*make, *topic, "--partitions", "2", "--config", "retention.ms=123456")
    await shell(*make, *topic)
    await shell(*make, *topic, "--if-not-exists")
    await shell(*make, "--topic", "a b", in_other_words=True)
    await shell(*make, "--topic", f"{shell.name}-x", "--partitions", "0")
    await shell(*make, "--topic", f"{shell.name}-x", "--config", "retention.ms=soon")
    await shell(*make, "--topic", f"{shell.name}-x", "--config", "nonsense=1")
    await shell(*make, "--topic", f"{shell.name}-x", "--replica-assignment", "1,1:1")
    kept = ("--config", "retention.ms=123456")
    await shell(*make, "--topic", f"{shell.name}.collides_", *kept)
    await shell(*make, "--topic", f"{shell.name}.collides.")
    await shell("kafka-topics", "--list", only="NAME")
    await shell("kafka-topics", "--list", "--topic", f"{shell.name}.c.*")
    await shell("kafka-topics", "--describe", *topic)
    changed = ("kafka-topics", "--describe", "--topics-with-overrides")
    await shell(*changed, only="NAME", in_any_order=True)
    for state in (
        *("under-replicated-partitions", "unavailable-partitions"),
        *("under-min-isr-partitions", "at-min-isr-partitions"),
    ):
        await shell("kafka-topics", "--describe", *topic, f"--{state}")
    await shell("kafka-topics", "--alter", *topic, "--partitions", "3")
    await shell("kafka-topics", "--alter", *topic, "--partitions", "2")
    await shell("kafka-topics", "--alter", "--topic", "nothing", "--partitions", "2")
    await shell("kafka-topics", "--describe", *topic)
    await shell("kafka-topics", "--delete", *topic)
    await shell("kafka-topics", "--delete", *topic)
    await shell("kafka-topics", "--delete", *topic, "--if-exists")
    await shell("kafka-topics", "--describe", *topic)


async def configs(shell: Shell) -> None:
    """Configs of topics and of groups."""
    await shell("kafka-topics", "--create", "--topic", shell.name)
    alter, entity = ("kafka-configs", "--alter"), ("--entity-type", "topics")
    ours = (*entity, "--entity-name", shell.name)
    show = ("kafka-configs", "--describe")
    await shell(*show, *ours)
    added = "delete.retention.ms=7000,cleanup.policy=[compact,delete]"
    await shell(*alter, *ours, "--add-config", added)
    await shell(*show, *ours)
    await shell("kafka-configs", "--describe", "--topic", shell.name)
    await shell(*alter, *ours, "--delete-config", "delete.retention.ms")
    await shell(*alter, *ours, "--delete-config", "delete.retention.ms")
    wrong = ("--add-config", "retention.ms=soon")
    await shell(*alter, *ours, *wrong, in_other_words=True)
    await shell(*alter, *ours, "--add-config", "nonsense=1")
    await shell(*alter, *entity, "--entity-name", "nothing", "--add-config", "retention.ms=1")
    await shell(*show, *entity, "--entity-name", "nothing")
    await shell(*show, *ours)
    # Those have other defaults here, which is documented.
    others = ("min.insync.replicas", "retention.bytes=", "segment.bytes=")
    await shell(*show, "--all", *ours, leaves_out=others)
    groups = ("--entity-type", "groups", "--entity-name", f"{shell.name}-group")
    await shell(*show, *groups)


async def members(shell: Shell) -> None:
    """A group of each protocol that has a member: described, and not to be touched."""
    for protocol in ("range", "consumer"):
        watch = Watch(shell.bootstrap, f"{shell.name}-{protocol}", 2)
        await watch.create(shell.client)
        await watch.write(shell.client, 6)
        await watch.join(shell.client, "one", protocol)
        await watch.shared(2)
        await watch.all_read()
        await _all_committed(watch, shell)
        group = ("--group", watch.where["group"])
        tool = "kafka-consumer-groups"
        await shell(tool, "--describe", *group, in_any_order=True)
        await shell(tool, "--describe", *group, "--verbose", in_any_order=True)
        await shell(tool, "--describe", *group, "--members")
        await shell(tool, "--describe", *group, "--members", "--verbose")
        await shell(tool, "--describe", *group, "--state")
        await shell(tool, "--describe", *group, "--state", "--verbose")
        topic = ("--topic", watch.where["topic"])
        await shell(tool, "--reset-offsets", *group, *topic, "--to-earliest", "--execute")
        await shell(tool, "--delete-offsets", *group, *topic, in_any_order=True)
        await shell(tool, "--delete", *group)
        await shell(tool, "--list", "--state", "stable", only="NAME")
        await watch.leave("one")


async def _all_committed(watch: Watch, shell: Shell) -> None:
    async def is_so() -> bool:
        return await watch.committed(shell.client) == len(watch.written)

    await until(is_so, within=SOON, every=0.05)


async def offsets_of_groups(shell: Shell) -> None:
    """What groups have committed is set in every way, listed, exported and deleted."""
    tool, group = "kafka-consumer-groups", ("--group", f"{shell.name}-group")
    await _write(shell)
    topic = ("--topic", shell.name)

    async def reset(*words: str) -> None:
        await shell(tool, "--reset-offsets", *group, *words, in_any_order=True)

    await reset(*topic, "--to-earliest")
    await shell(tool, "--describe", *group)
    await reset(*topic, "--to-earliest", "--dry-run")
    await reset(*topic, "--to-latest", "--execute")
    await reset(*topic, "--shift-by", "-2", "--execute")
    await reset(*topic, "--shift-by", "100", "--execute")
    await reset(*topic, "--to-datetime", "2023-11-14T22:13:23.000Z", "--execute")
    await reset(*topic, "--by-duration", "P1D", "--execute")
    await reset(*topic, "--to-offset", "4", "--execute")
    await reset(*topic, "--to-offset", "4", "--export")
    plan = shell.file("plan.csv", f"{shell.name},0,3\n{shell.name},1,1\n")
    await reset("--from-file", plan, "--execute")
    await reset("--all-topics", "--to-current", "--execute")
    one = ("--topic", f"{shell.name}:0")
    await reset(*one, "--to-offset", "5", "--execute")
    await reset("--topic", "nothing", "--to-latest")
    await shell(tool, "--describe", *group, in_any_order=True)
    await shell(tool, "--describe", *group, "--members")
    await shell(tool, "--describe", *group, "--state")
    await shell(tool, "--list", only="NAME")
    await shell(tool, "--list", "--state", only="NAME")
    await shell(tool, "--list", "--state", "empty", only="NAME")
    await shell(tool, "--list", "--state", "stable", only="NAME")
    await shell(tool, "--list", "--type", only="NAME")
    await shell(tool, "--list", "--type", "consumer", only="NAME")
    await shell(tool, "--list", "--type", "classic", "--state", only="NAME")
    await shell("kafka-groups", "--list", only="NAME")
    await shell("kafka-groups", "--list", "--consumer", only="NAME")
    await shell("kafka-groups", "--list", "--group-type", "classic", only="NAME")
    await shell("kafka-groups", "--list", "--group-type", "share")
    await shell("kafka-groups", "--list", "--protocol", "consumer", only="NAME")
    await shell("kafka-share-groups", "--list")
    await shell("kafka-streams-groups", "--list")
    await shell(tool, "--delete-offsets", *group, *one)
    await shell(tool, "--delete-offsets", *group, "--topic", f"{shell.name}:7")
    await shell(tool, "--describe", *group)
    await shell(tool, "--delete", *group)
    await shell(tool, "--delete", *group)
    await shell(tool, "--describe", *group)
    await shell(tool, "--describe", *group, "--members")
    await shell(tool, "--describe", *group, "--state")
    await shell(tool, "--delete-offsets", *group, *topic, in_any_order=True)


async def partitions(shell: Shell) -> None:
    """Offsets, sizes, leaders and replicas of partitions; records are deleted."""
    await _write(shell)
    offsets = ("kafka-get-offsets", "--topic", shell.name)
    for when in (
        *("earliest", "latest", "max-timestamp", "-1", "-2", "-3", "earliest-local"),
        *("latest-tiered", str(_THEN + 2_500), str(_THEN + 1_000_000), "soon"),
    ):
        await shell(*offsets, "--time", when)
    await shell(*offsets, "--partitions", "1", "--time", "latest")
    await shell(*offsets, "--partitions", "7")
    both = f"{shell.name}:0-1,nothing.*:3"
    await shell("kafka-get-offsets", "--topic-partitions", both)
    await shell("kafka-get-offsets", "--topic", "nothing")
    rows: list[dict[str, Any]] = [{"topic": shell.name, "partition": 0, "offset": 3}]
    for name, more in (
        ("some", []),
        ("all", [{"topic": shell.name, "partition": 1, "offset": -1}]),
        ("too-many", [{"topic": shell.name, "partition": 1, "offset": 100}]),
    ):
        text = json.dumps({"version": 1, "partitions": rows + more})
        path = shell.file(f"{name}.json", text)
        await shell("kafka-delete-records", "--offset-json-file", path, in_any_order=True)
    await shell(*offsets, "--time", "earliest")
    await shell("kafka-topics", "--create", "--topic", f"{shell.name}-small")
    await shell("kafka-log-dirs", "--describe", "--topic-list", f"{shell.name}-small")
    await shell("kafka-log-dirs", "--describe", "--topic-list", shell.name, "--broker-list", "1,7")


async def leaders(shell: Shell) -> None:
    """No election is needed, and nothing moves."""
    await _write(shell)
    elect = "kafka-leader-election"
    one = ("--topic", shell.name, "--partition", "0")
    await shell(elect, "--election-type", "preferred", *one)
    await shell(elect, "--election-type", "unclean", *one)
    await shell(elect, "--election-type", "preferred", "--all-topic-partitions")
    await shell(elect, "--election-type", "preferred", "--topic", shell.name, "--partition", "7")
    await shell(elect, "--election-type", "preferred", "--topic", "nothing", "--partition", "0")
    row = {"topic": shell.name, "partition": 1}
    path = shell.file("elected.json", json.dumps({"partitions": [row]}))
    await shell(elect, "--election-type", "preferred", "--path-to-json-file", path)
    move = "kafka-reassign-partitions"
    await shell(move, "--list")
    wanted = shell.file(
        "topics.json", json.dumps({"version": 1, "topics": [{"topic": shell.name}]})
    )
    generate = ("--generate", "--topics-to-move-json-file", wanted, "--broker-list", "1")
    await shell(move, *generate)
    row |= {"replicas": [1], "log_dirs": ["any"]}
    plan = shell.file("plan.json", json.dumps({"version": 1, "partitions": [row]}))
    await shell(move, "--verify", "--reassignment-json-file", plan, "--preserve-throttles")


async def the_cluster(shell: Shell) -> None:
    """The cluster itself."""
    await shell("kafka-cluster", "cluster-id")
    await shell("kafka-cluster", "list-endpoints")
    await shell("kafka-client-metrics", "--list")


async def programs(shell: Shell) -> None:
    """Programs of Kafka's system tests, which tell what they see as JSON."""
    topic = ("--topic", shell.name)
    await shell("kafka-topics", "--create", *topic, "--partitions", "1")
    sizes = ("--max-messages", "3", "--acks", "-1", "--value-prefix", "7", "--repeating-keys", "2")
    await shell("kafka-verifiable-producer", *topic, *sizes)
    for protocol in ("classic", "consumer"):
        await shell(
            *("kafka-verifiable-consumer", *topic, "--group-id", f"{shell.name}-{protocol}"),
            *("--group-protocol", protocol, "--max-messages", "3"),
            *("--reset-policy", "earliest", "--verbose"),
            # It says so when it may have ended already.
            leaves_out=("shutdown_requested",),
        )
    application = ("--application-id", f"{shell.name}-classic", "--input-topics", shell.name)
    await shell("kafka-streams-application-reset", *application, "--dry-run")
    await shell("kafka-streams-application-reset", *application)
    await shell(
        *("kafka-consumer-groups", "--describe", "--group", f"{shell.name}-classic"),
        *("--offsets",),
    )


async def _write(shell: Shell) -> None:
    """A topic of two partitions; ten records, a second apart."""
    where = {"bootstrap": shell.bootstrap, "topic": shell.name}
    await shell.client("create_topic", partitions=2, configs={"retention.ms": "-1"}, **where)
    rows = [
        {"partition": number % 2, "value": f"v{number}", "timestamp": _THEN + number * 1_000}
        for number in range(10)
    ]
    await shell.client("produce", records=rows, **where)


SESSIONS: dict[str, Callable[[Shell], Awaitable[None]]] = {
    one.__name__: one
    for one in (
        *(topics, configs, members, offsets_of_groups),
        *(partitions, leaders, the_cluster, programs),
    )
}


async def play(name: str, bootstrap: str, named: str, folder: Path) -> str:
    """All that a session's tools print."""
    shell = Shell(bootstrap, named, folder)
    try:
        await SESSIONS[name](shell)
    finally:
        shell.close()
    return "\n".join(shell.printed)


def recorded(name: str) -> str:
    """What a session's tools printed of Apache Kafka."""
    return (RECORDINGS / f"{name}.txt").read_text()


def main() -> None:
    """Record the sessions that are named, or all."""
    bootstrap, *names = sys.argv[1:]
    RECORDINGS.mkdir(exist_ok=True)
    for name in names or SESSIONS:
        with tempfile.TemporaryDirectory() as folder:
            named = f"t{uuid.uuid4().hex[:12]}"
            told = asyncio.run(play(name, bootstrap, named, Path(folder)))
        (RECORDINGS / f"{name}.txt").write_text(told)
        print(name)


if __name__ == "__main__":
    main()
