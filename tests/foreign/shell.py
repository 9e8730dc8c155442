"""A session with Kafka's command line tools, and what they printed, in a form that can be compared.

What differs from run to run has a word in its place: names, addresses, ids, times. So have folders
and the width of columns.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from tests.foreign.agent import Agent
from tests.foreign.builds import NEWEST_JAVA, java, java_class

CLASSES = {
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-configs": "kafka.admin.ConfigCommand",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-groups": "org.apache.kafka.tools.GroupsCommand",
    "kafka-share-groups": "org.apache.kafka.tools.consumer.group.ShareGroupCommand",
    "kafka-streams-groups": "org.apache.kafka.tools.streams.StreamsGroupCommand",
    "kafka-get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "kafka-delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "kafka-leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "kafka-reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "kafka-log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "kafka-cluster": "org.apache.kafka.tools.ClusterTool",
    "kafka-client-metrics": "org.apache.kafka.tools.ClientMetricsCommand",
    "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
    "kafka-verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
    "kafka-verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "kafka-streams-application-reset": "org.apache.kafka.tools.StreamsResetter",
}
_AFTER_THE_VERB = {"kafka-cluster"}
"""Tools that take the address after a verb."""
_PROCESSES = {"kafka-verifiable-producer", "kafka-verifiable-consumer"}
"""Those that say their last when their process ends. Others share one: Java takes long to start."""

_STABLE: tuple[tuple[str, str], ...] = (
    # Member ids of classic groups, then any other id.
    (r"[\w.-]+-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "MEMBER"),
    (r"(?<![\w-])(?=[\w-]*[A-Z])(?=[\w-]*[a-z])(?!\w+Exception\b)[\w-]{22}(?![\w-])", "ID"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.,]\d+(Z|[+-]\d\d:?\d\d)?", "TIME"),
    (r"\b1[5-9]\d{11}\b", "TIME"),
    (r'("logDir":|"log_dirs":\[)"/[^"]*"', r'\1"FOLDER"'),
    (r'"(size|avg_throughput)":[\d.]+', r'"\1":NUMBER'),
    # Kafka keeps its default as a config of the cluster, and shows it: one of the differences.
    (r"min\.insync\.replicas=1,?", ""),
    # A config that Kafka does not have, another one.
    (r",?partstream\.partitioner=\w+( sensitive=.*)?", ""),
    (r"[ \t]+", " "),
)
_NOISE = re.compile(r"\s+at [\w.$/<>]+\(|\s+\.\.\. \d+ more|\[[^\]]+\] (INFO|WARN|ERROR) ")
"""Lines of stack traces and logs."""


_WORDS = re.compile(r"(Exception: |command : ).*")
"""Where the words of an error begin."""


class Shell:
    """Runs tools on one broker, and keeps what they print."""

    def __init__(self, bootstrap: str, name: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.name = name
        """The topic's, and what names of groups begin with: NAME in what is kept."""
        self.folder = folder
        self.printed: list[str] = []
        self.client = Agent(java(NEWEST_JAVA))
        """For what tools do not do: to write records with times, and to stay in a group."""
        self._java = java_class(NEWEST_JAVA)
        self._tools = Agent((*self._java, "Tools"))

    async def __call__(
        self,
        tool: str,
        *words: str,
        only: str = "",
        leaves_out: Sequence[str] = (),
        in_any_order: bool = False,
        in_other_words: bool = False,
    ) -> None:
        """Run one, and keep what it prints.

        Of that `only` lines with this word count, and none with a word that it `leaves_out`. Errors
        whose words are not Kafka's, but mean the same, are told `in_other_words`.
        """
        where = ("--bootstrap-server", self.bootstrap)
        given = (*words[:1], *where, *words[1:]) if tool in _AFTER_THE_VERB else (*where, *words)
        run = self._in_a_process if tool in _PROCESSES else self._at_once
        status, told = await run(CLASSES[tool], given)
        lines = [
            stable
            for line in told.splitlines()
            if (stable := self._stable(line)) and only in stable
            if not any(word in line for word in leaves_out)
        ]
        if in_other_words:
            lines = [_WORDS.sub(r"\1WORDS", line) for line in lines]
        self.printed += [
            self._stable(" ".join(["$", tool, *words])),
            *(sorted(lines) if in_any_order else lines),
            *([f"(ends with {status})"] if status else []),
            "",
        ]

    async def _at_once(self, name: str, words: Sequence[str]) -> tuple[int, str]:
        told = await self._tools("run", tool=name, words=words)
        return told["status"], told["out"] + told["err"]

    async def _in_a_process(self, name: str, words: Sequence[str]) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(*self._java, name, *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, err = await process.communicate()
        except BaseException:
            process.kill()
            await process.wait()
            raise
        return process.returncode or 0, (out + err).decode()

    def close(self) -> None:
        """End its processes."""
        self.client.close()
        self._tools.close()

    def file(self, name: str, text: str) -> str:
        """A file that a tool is to read; its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def _stable(self, line: str) -> str:
        """A line without what differs from run to run; empty if it is noise."""
        if _NOISE.match(line):
            return ""
        host, port = self.bootstrap.split(":")
        for text, word in (
            (self.name, "NAME"),
            (str(self.folder), "FOLDER"),
            (self.bootstrap, "HOST:PORT"),
            (host, "HOST"),
        ):
            line = line.replace(text, word)
        line = re.sub(rf"\b{port}\b", "PORT", line)
        for pattern, word in _STABLE:
            line = re.sub(pattern, word, line)
        return line.strip()
