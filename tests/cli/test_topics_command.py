"""`partstream topics`."""

from __future__ import annotations

import pytest

from partstream.config.topic_without_effect import WithoutEffect
from partstream.sync.admin import Admin
from tests.cli.conftest import Cli


def test_create_list_describe_and_delete(cli: Cli) -> None:
    cli.run("topics", "create", "orders", "-p", "3", "-c", "retention.ms=5000")
    cli.run("topics", "create", "audit", "--partitioner", "murmur2")
    table = cli.out("topics", "list").splitlines()
    assert table[0].split() == ["TOPIC", "PARTITIONS", "RECORDS", "SIZE", "PARTITIONER"]
    assert table[1].split() == ["audit", "1", "0", "0", "B", "murmur2"]
    assert table[2].split() == ["orders", "3", "0", "0", "B", "murmur3"]
    (orders,) = cli.json("topics", "describe", "orders")
    assert orders["config"]["retention.ms"] == "5000"
    assert len(orders["partitions"]) == 3
    text = cli.out("topics", "describe", "orders")
    assert "retention.ms=5000" in text
    assert orders["partitions"][2]["key"] in text
    assert cli.out("topics", "delete", "orders", "audit").count("Deleted") == 2
    assert cli.json("topics", "list") == []


def test_records_and_bytes_are_counted(cli: Cli) -> None:
    cli.run("topics", "create", "orders")
    cli.run("produce", "orders", stdin="a\nb\n")
    (listed,) = cli.json("topics", "list")
    (orders,) = cli.json("topics", "describe", "orders")
    for topic in (listed, orders):
        assert (topic["records"], topic["size"] > 61) == (2, True)
    assert sum(partition["size"] for partition in orders["partitions"]) == orders["size"]
    with Admin(cli.url, namespace=cli.namespace) as admin:
        described = admin.describe_topic("orders")
    assert (described.records, described.size) == (orders["records"], orders["size"])


def test_create_twice(cli: Cli) -> None:
    cli.run("topics", "create", "orders")
    result = cli.run("topics", "create", "orders", code=1)
    assert result.stderr == "partstream: Topic 'orders' already exists.\n"
    assert "already" in cli.out("topics", "create", "orders", "--if-not-exists")


def test_alter(cli: Cli) -> None:
    cli.run("topics", "create", "orders", "-c", "retention.ms=5000")
    words = ("topics", "alter", "orders", "-c", "segment.bytes=2048", "--delete-config")
    assert cli.out(*words, "retention.ms").splitlines() == [
        "segment.bytes=2048",
        "retention.ms=604800000",
    ]
    after = cli.json("topics", "alter", "orders")
    assert after["segment.bytes"] == "2048"


def test_configs_that_count_come_first(cli: Cli) -> None:
    cli.run("topics", "create", "orders")
    names = [line.split()[0] for line in cli.out("topics", "alter", "orders").splitlines()]
    idle = [name for name in names if name.replace(".", "_") in WithoutEffect.model_fields]
    assert names[0] == "cleanup.policy"
    assert len(idle) > 10
    assert names[-len(idle) :] == idle
    (described,) = cli.json("topics", "describe", "orders")
    assert list(described["config"]) == list(cli.json("topics", "alter", "orders")) == names


def test_grow(cli: Cli) -> None:
    cli.run("topics", "create", "orders")
    assert cli.out("topics", "grow", "orders", "-p", "4") == "Topic orders has 4 partitions now.\n"
    assert "has 4 already" in cli.run("topics", "grow", "orders", "-p", "4", code=1).stderr


def test_delete_records(cli: Cli) -> None:
    cli.run("topics", "create", "orders", "-p", "2")
    cli.run("produce", "orders", "-p", "0", stdin="a\nb\nc\n")
    cli.run("produce", "orders", "-p", "1", stdin="a\nb\nc\n")
    words = ("topics", "delete-records", "orders")
    assert cli.json(*words, "--before-offset", "0:1", "--before-offset", "1:end") == [
        {"partition": 0, "start_offset": 1},
        {"partition": 1, "start_offset": 3},
    ]
    assert cli.json(*words, "--before-time", "1h")[0]["start_offset"] == 1
    assert cli.json(*words, "--all")[0]["start_offset"] == 3
    assert "one of" in cli.run(*words, code=2).stderr
    assert "PARTITION:OFFSET" in cli.run(*words, "--before-offset", "x", code=2).stderr
    assert "9" in cli.run(*words, "--before-offset", "0:9", code=1).stderr


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("describe", "nope"), 1, "topic 'nope' does not exist"),
        (("delete", "nope"), 1, "topic 'nope' does not exist"),
        (("create", "a b"), 1, "'a b'"),
        (("create", "orders", "-p", "0"), 1, "partitions=0"),
        (("create", "orders", "-c", "retention"), 2, "'retention'"),
        (("create", "orders", "-c", "retention.sm=1"), 1, "'retention.ms'"),
        (("create", "orders", "-c", "retention.ms=soon"), 1, "'soon'"),
        (("create", "orders", "--partitioner", "md5"), 2, "md5"),
        (("creat", "orders"), 2, "creat"),
        (("grow", "orders"), 2, "--partitions"),
    ],
)
def test_errors_are_one_line(cli: Cli, words: tuple[str, ...], code: int, text: str) -> None:
    result = cli.run("topics", *words, code=code)
    assert text in result.stderr
    assert result.stdout == ""
    if code == 1:
        assert result.stderr.count("\n") == 1


def test_delete_what_may_be_gone(cli: Cli) -> None:
    assert "no topic nope" in cli.out("topics", "delete", "nope", "--if-exists")


def test_compact(cli: Cli) -> None:
    # At that ratio no sweep cleans: each command may be the first client for a second.
    configs = ("cleanup.policy=compact", "segment.bytes=1024", "min.cleanable.dirty.ratio=1")
    cli.run("topics", "create", "prices", *(word for text in configs for word in ("-c", text)))
    for number in range(12):
        cli.run("produce", "prices", "-K", "=", stdin=f"a={number}\nb={'x' * 200}\nc={number}\n")
    table = cli.out("topics", "compact", "prices").splitlines()
    assert table[0].split()[:3] == ["PARTITION", "CLEAN", "UP"]
    assert table[1].split()[0] == "0"
    assert int(table[1].split()[2]) > int(table[1].split()[3])
    assert "nothing to clean" in cli.out("topics", "compact", "prices")
    assert cli.json("topics", "compact", "prices") == {"0": None}
    cli.run("produce", "prices", "-K", "=", "-Z", "-", stdin="b=-\n")
    assert cli.out("table", "prices") == "a\t11\nc\t11\n"
    assert cli.out("table", "prices", "c") == "11\n"
    assert cli.json("table", "prices") == [
        {"key": "a", "value": "11"},
        {"key": "c", "value": "11"},
    ]
    assert "no key b" in cli.run("table", "prices", "b", code=1).stderr
    cli.run("topics", "create", "plain")
    assert "is not compacted" in cli.run("topics", "compact", "plain", code=1).stderr
