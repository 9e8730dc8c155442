"""Kafka's own command line tools: what they print of Apache Kafka, they print of the gateway."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.foreign.brokers import Serve
from tests.foreign.builds import NEWEST_JAVA, java_class
from tests.foreign.groups import QUICK

pytestmark = [
    pytest.mark.deadline(400),
    pytest.mark.xdist_group("foreign-tools"),
]

PACKAGE = "org.apache.kafka.tools"
TOPICS = f"{PACKAGE}.TopicCommand"
CONFIGS = "kafka.admin.ConfigCommand"
FEATURES = f"{PACKAGE}.FeatureCommand"
GROUPS = f"{PACKAGE}.consumer.group.ConsumerGroupCommand"
OFFSETS = f"{PACKAGE}.GetOffsetShell"
PRODUCE = f"{PACKAGE}.ConsoleProducer"
CONSUME = f"{PACKAGE}.consumer.ConsoleConsumer"


class Tools:
    """The tools, on one broker."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._java = java_class(NEWEST_JAVA)

    async def __call__(
        self, tool: str, *words: str, stdin: str = "", server: bool = True, fails: bool = False
    ) -> str:
        """Run one; what it prints."""
        where = ("--bootstrap-server", self.bootstrap) if server else ()
        process = await asyncio.create_subprocess_exec(
            *(*self._java, tool, *where, *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate(stdin.encode())
        except BaseException:
            process.kill()
            await process.wait()
            raise
        assert (process.returncode != 0) == fails, (words, out.decode(), err.decode())
        return out.decode() + (err.decode() if fails else "")


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    """Built before the clock of a test runs."""
    java_class(NEWEST_JAVA)


def table(text: str) -> list[list[str]]:
    """The rows of a table that a tool prints, without its head."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    return [row for row in rows if row[0] != "GROUP"]


async def test_topics_and_configs(serve: Serve, namespace: str) -> None:
    async with serve() as running:
        tools, topic = Tools(running.bootstrap), ("--topic", namespace)
        told = await tools(
            *(TOPICS, "--create", *topic, "--partitions", "2", "--config", "retention.ms=123456")
        )
        assert told == f"Created topic {namespace}.\n"
        again = await tools(TOPICS, "--create", *topic, fails=True)
        assert f"Topic '{namespace}' already exists" in again
        await tools(TOPICS, "--alter", *topic, "--partitions", "3")
        assert namespace in (await tools(TOPICS, "--list")).split()
        head, *rows = (await tools(TOPICS, "--describe", *topic)).splitlines()
        assert re.fullmatch(
            rf"Topic: {namespace}\s+TopicId: \S{{22}}\s+PartitionCount: 3\s+"
            r"ReplicationFactor: 1\s+Configs: .*retention\.ms=123456.*",
            head,
        )
        assert [row.split() for row in rows] == [
            f"Topic: {namespace} Partition: {number} Leader: 1 Replicas: 1 Isr: 1 "
            "Elr: LastKnownElr:".split()
            for number in range(3)
        ]
        entity = ("--entity-type", "topics", "--entity-name", namespace)
        changed = await tools(
            CONFIGS, "--alter", *entity, "--add-config", "retention.bytes=7000000"
        )
        assert changed == f"Completed updating config for topic {namespace}.\n"
        shown = await tools(CONFIGS, "--describe", *entity)
        assert shown.splitlines()[0] == f"Dynamic configs for topic {namespace} are:"
        assert (
            "  retention.bytes=7000000 sensitive=false "
            "synonyms={DYNAMIC_TOPIC_CONFIG:retention.bytes=7000000" in shown
        )
        wrong = await tools(
            *(CONFIGS, "--alter", *entity, "--add-config", "retention.ms=soon"), fails=True
        )
        assert "InvalidConfigurationException" in wrong
        group = ("--entity-type", "groups", "--entity-name", namespace)
        shown = await tools(CONFIGS, "--describe", "--all", *group)
        assert "  consumer.session.timeout.ms=45000 sensitive=false" in shown
        own = "consumer.session.timeout.ms=50000"
        changed = await tools(CONFIGS, "--alter", *group, "--add-config", own)
        assert changed == f"Completed updating config for group {namespace}.\n"
        shown = await tools(CONFIGS, "--describe", "--entity-type", "groups")
        assert f"Dynamic configs for group {namespace} are:" in shown
        assert f"  {own} sensitive=false synonyms={{DYNAMIC_GROUP_CONFIG:{own}, " in shown
        wrong = await tools(
            *(CONFIGS, "--alter", *group, "--add-config", "consumer.session.timeout.ms=1"),
            fails=True,
        )
        assert "InvalidConfigurationException" in wrong
        name = own.partition("=")[0]
        await tools(CONFIGS, "--alter", *group, "--delete-config", name)
        shown = await tools(CONFIGS, "--describe", *group)
        assert own not in shown
        features = await tools(FEATURES, "describe")
        level = "SupportedMinVersion: 0 SupportedMaxVersion: 1 FinalizedVersionLevel: 1"
        assert f"Feature: group.version {level}" in " ".join(features.split())
        await tools(TOPICS, "--delete", *topic)
        gone = await tools(TOPICS, "--describe", *topic, fails=True)
        assert f"Topic '{namespace}' does not exist as expected" in gone


async def test_console_groups_and_offsets(serve: Serve, namespace: str, tmp_path: Path) -> None:
    lines = "".join(f"k{number}:v{number}\n" for number in range(20))
    async with serve(**QUICK) as running:
        tools, topic = Tools(running.bootstrap), ("--topic", namespace)
        group = ("--group", f"{namespace}-group")
        await tools(TOPICS, "--create", *topic, "--partitions", "1")
        keyed = ("--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
        await tools(PRODUCE, *topic, *keyed, "--compression-codec", "zstd", stdin=lines)
        ended = (OFFSETS, *topic, "--time", "latest")
        assert await tools(*ended) == f"{namespace}:0:20\n"
        read = await tools(
            *(CONSUME, *topic, *group, "--from-beginning", "--max-messages", "15"),
            *("--formatter-property", "print.key=true"),
            *("--formatter-property", "print.offset=true"),
        )
        assert read.splitlines() == [f"Offset:{n}\tk{n}\tv{n}" for n in range(15)]
        described = table(await tools(GROUPS, "--describe", *group))
        assert [row[:6] for row in described if row[0] == group[1]] == [
            [group[1], namespace, "0", "15", "20", "5"]
        ]
        states = table(await tools(GROUPS, "--list", "--state"))
        assert [group[1], "Empty"] in states
        reset = await tools(
            GROUPS, "--reset-offsets", *group, *topic, "--to-offset", "7", "--execute"
        )
        assert [row[:4] for row in table(reset)] == [[group[1], namespace, "0", "7"]]
        deletion = tmp_path / "deletion.json"
        rows = [{"topic": namespace, "partition": 0, "offset": 9}]
        deletion.write_text(json.dumps({"version": 1, "partitions": rows}))
        cut = await tools(f"{PACKAGE}.DeleteRecordsCommand", "--offset-json-file", str(deletion))
        assert f"partition: {namespace}-0\tlow_watermark: 9" in cut
        assert await tools(OFFSETS, *topic, "--time", "earliest") == f"{namespace}:0:9\n"
        deleted = await tools(GROUPS, "--delete", *group)
        assert deleted == f"Deletion of requested consumer groups ('{group[1]}') was successful.\n"
        none = await tools(GROUPS, "--describe", *group)
        assert f"GroupIdNotFoundException: Group {group[1]} not found." in none


async def test_performance_tools_and_the_cluster(serve: Serve, namespace: str) -> None:
    async with serve(**QUICK) as running:
        tools, topic = Tools(running.bootstrap), ("--topic", namespace)
        await tools(TOPICS, "--create", *topic, "--partitions", "2")
        sizes = ("--num-records", "2000", "--record-size", "100", "--throughput", "-1")
        sent = await tools(
            *(f"{PACKAGE}.ProducerPerformance", *topic, *sizes),
            *("--command-property", f"bootstrap.servers={running.bootstrap}"),
            server=False,
        )
        assert sent.startswith("2000 records sent, ")
        read = await tools(*(f"{PACKAGE}.ConsumerPerformance", *topic, "--num-records", "2000"))
        assert int(read.splitlines()[-1].split(", ")[4]) >= 2000
        there_and_back = ("--num-records", "20", "--producer-acks", "all", "--record-size", "10")
        told = await tools(f"{PACKAGE}.EndToEndLatency", *topic, *there_and_back)
        assert re.search(r"^Avg latency: [\d.]+ ms$", told, re.MULTILINE)
        apis = await tools(f"{PACKAGE}.BrokerApiVersionsCommand")
        assert f"{running.bootstrap} (id: 1 rack: null isFenced: false) -> (" in apis
        assert "Produce(0): 0 to 13 [usable: 13]" in apis
        where = ("--bootstrap-server", running.bootstrap)
        cluster = await tools(f"{PACKAGE}.ClusterTool", "cluster-id", *where, server=False)
        assert re.fullmatch(r"Cluster ID: \S{22}\n", cluster)
        dirs = await tools(f"{PACKAGE}.LogDirsCommand", "--describe", "--topic-list", namespace)
        found = json.loads(dirs.splitlines()[-1])
        partitions = found["brokers"][0]["logDirs"][0]["partitions"]
        assert {row["partition"] for row in partitions} == {f"{namespace}-0", f"{namespace}-1"}
        assert sum(row["size"] for row in partitions) > 200_000


async def test_kafkas_own_test_of_compatibility(serve: Serve, namespace: str) -> None:
    """The program by which Kafka tests its clients on other versions of its brokers."""
    async with serve() as running:
        tools = Tools(running.bootstrap)
        await tools(TOPICS, "--create", "--topic", namespace, "--partitions", "1")
        supported = {
            "offsets-for-times-supported": True,
            "cluster-id-supported": True,
            "expect-record-too-large-exception": False,
            "create-topics-supported": True,
            "describe-acls-supported": running.gateway is None,
            "describe-configs-supported": True,
            "idempotent-producer-supported": True,
        }
        told = await tools(
            *(f"{PACKAGE}.ClientCompatibilityTest", "--topic", namespace),
            *("--num-cluster-nodes", "1"),
            *(word for name, value in supported.items() for word in (f"--{name}", str(value))),
        )
        assert told.splitlines()[-1] == "SUCCESS."


async def test_what_is_not_there(serve: Serve, namespace: str, tmp_path: Path) -> None:
    """Tools say so themselves, from the answer to ApiVersions."""
    plan = tmp_path / "plan.json"
    rows = [{"topic": namespace, "partition": 0, "replicas": [1]}]
    plan.write_text(json.dumps({"version": 1, "partitions": rows}))
    async with serve() as running:
        if running.gateway is None:
            pytest.skip("it is there in Kafka")
        tools = Tools(running.bootstrap)
        await tools(TOPICS, "--create", "--topic", namespace)
        told = await tools(f"{PACKAGE}.MetadataQuorumCommand", "describe", "--status", fails=True)
        assert "UnsupportedVersionException: The node does not support DESCRIBE_QUORUM" in told
        told = await tools(f"{PACKAGE}.TransactionsCommand", "list", fails=True)
        assert "The node does not support LIST_TRANSACTIONS" in told
        told = await tools(
            *(f"{PACKAGE}.reassign.ReassignPartitionsCommand", "--execute"),
            *("--reassignment-json-file", str(plan)),
            fails=True,
        )
        assert f"{namespace}-0: The node does not support ALTER_PARTITION_REASSIGNMENTS" in told
