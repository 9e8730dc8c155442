"""`partstream groups`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from partstream.sync.admin import Admin
from partstream.sync.consumer import Consumer
from tests.cli.conftest import Cli
from tests.engine.classic_members import ClassicMember, assignment, subscription
from tests.engine.group_members import rig


@pytest.fixture
def billing(cli: Cli) -> Cli:
    """A topic of two partitions, ten records in the first, of which a group has read four."""
    cli.run("topics", "create", "orders", "-p", "2")
    cli.run("produce", "orders", "-p", "0", stdin="".join(f"{i}\n" for i in range(10)))
    cli.run("consume", "orders", "-g", "billing", "-n", "4")
    return cli


@pytest.fixture
def member(billing: Cli) -> Iterator[Consumer]:
    """A member of the group that has its partitions."""
    with Consumer(
        billing.url, namespace=billing.namespace, group_id="billing", client_id="tester"
    ) as consumer:
        consumer.subscribe(["orders"])
        while len(consumer.assignment()) < 2:
            consumer.poll(timeout=0.1)
        yield consumer


def test_list_and_describe(billing: Cli) -> None:
    assert billing.json("groups", "list") == [
        {"group_id": "billing", "type": "consumer", "state": "empty"}
    ]
    assert billing.out("groups", "list").splitlines()[1].split()[0] == "billing"
    (group,) = billing.json("groups", "describe", "billing")
    assert group["members"] == []
    first = group["lags"][0]
    assert (first["topic"], first["partition"], first["lag"]) == ("orders", 0, 6)
    assert first["committed"]["offset"] == 4
    assert group["lag"] == 6
    text = billing.out("groups", "describe", "billing")
    assert [row.split() for row in text.splitlines() if row.startswith("orders-0")] == [
        ["orders-0", "4", "10", "6", "-"]
    ]


def test_describe_with_a_member(billing: Cli, member: Consumer) -> None:
    (group,) = billing.json("groups", "describe", "billing")
    (described,) = group["members"]
    assert described["client_id"] == "tester"
    assert [at["partition"] for at in described["assignment"]] == [0, 1]
    assert {lag["member_id"] for lag in group["lags"]} == {described["member_id"]}
    assert "orders 0,1" in billing.out("groups", "describe", "billing")


def test_describe_shows_what_is_set_for_the_group(billing: Cli) -> None:
    with Admin(billing.url, namespace=billing.namespace) as admin:
        admin.alter_group_config("billing", {"consumer.session.timeout.ms": 50_000})
    (group,) = billing.json("groups", "describe", "billing")
    assert group["configs"] == {"consumer.session.timeout.ms": "50000"}
    lines = [line.split() for line in billing.out("groups", "describe", "billing").splitlines()]
    assert ["consumer.session.timeout.ms", "50000"] in lines


def test_a_reset_is_a_dry_run_unless_told(billing: Cli) -> None:
    words = ("groups", "reset-offsets", "billing", "--to-earliest", "--topic", "orders:0")
    result = billing.run(*words)
    assert "Nothing was changed" in result.stderr
    assert result.stdout.splitlines()[1].split() == ["orders-0", "4", "0"]
    assert billing.json(*words, "--execute") == [
        {"topic": "orders", "partition": 0, "before": 4, "after": 0}
    ]
    assert billing.json(*words)[0]["before"] == 0


@pytest.mark.parametrize(
    ("to", "after"),
    [
        (("--to-latest",), 10),
        (("--to-offset", "7"), 7),
        (("--shift-by", "-3"), 1),
        (("--to-time", "1h"), 0),
        (("--to-time", "2099-01-01"), 10),
    ],
)
def test_where_to(billing: Cli, to: tuple[str, ...], after: int) -> None:
    changes = billing.json("groups", "reset-offsets", "billing", *to, "--topic", "orders:0")
    assert changes[0]["after"] == after


def test_a_whole_topic(billing: Cli) -> None:
    words = ("groups", "reset-offsets", "other", "--to-latest", "--topic", "orders", "--execute")
    assert [change["after"] for change in billing.json(*words)] == [10, 0]


@pytest.mark.parametrize("words", [(), ("--execute",)])
def test_no_such_group_to_reset(billing: Cli, words: tuple[str, ...]) -> None:
    result = billing.run("groups", "reset-offsets", "other", "--to-latest", *words, code=1)
    assert (result.stdout, result.stderr) == ("", "partstream: group 'other' does not exist\n")
    assert [row["group_id"] for row in billing.json("groups", "list")] == ["billing"]


def test_nothing_to_reset(billing: Cli) -> None:
    with Consumer(billing.url, namespace=billing.namespace, group_id="fresh") as consumer:
        consumer.subscribe(["orders"])
        while len(consumer.assignment()) < 2:
            consumer.poll(timeout=0.1, max_records=1)
    with Admin(billing.url, namespace=billing.namespace) as admin:
        admin.delete_group_offsets("fresh", admin.list_group_offsets("fresh"))
    result = billing.run("groups", "reset-offsets", "fresh", "--to-latest", "--execute")
    assert "no offsets" in result.stderr


def test_not_while_it_has_members(billing: Cli, member: Consumer) -> None:
    words = ("groups", "reset-offsets", "billing", "--to-latest", "--execute")
    assert "'billing' has members" in billing.run(*words, code=1).stderr
    assert "'billing'" in billing.run("groups", "delete", "billing", code=1).stderr


def test_delete(billing: Cli) -> None:
    assert billing.out("groups", "delete", "billing") == "Deleted group billing.\n"
    assert billing.json("groups", "list") == []
    assert "'billing'" in billing.run("groups", "describe", "billing", code=1).stderr


@pytest.mark.parametrize(
    ("words", "answer", "code", "left"),
    [((), b"n\n", 1, ["billing"]), ((), b"y\n", 0, []), (("--yes",), b"", 0, [])],
)
def test_delete_asks_on_a_terminal(
    billing: Cli, words: tuple[str, ...], answer: bytes, code: int, left: list[str]
) -> None:
    ours, theirs = os.openpty()
    try:
        with billing.start("groups", "delete", "billing", *words, stdin=theirs) as process:
            os.write(ours, answer)
            _, error = process.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert process.returncode == code, error
    assert ("Delete billing with all committed offsets?" in error) is bool(answer)
    assert [row["group_id"] for row in billing.json("groups", "list")] == left


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "give one of"),
        (("--to-latest", "--to-earliest"), "give one of"),
        (("--to-offset", "0", "--shift-by", "0"), "give one of"),
        (("--to-latest", "--execute", "--dry-run"), "not both"),
        (("--to-time", "soon"), "'soon'"),
        (("--to-offset", str(2**64)), str(2**64)),
        (("--to-latest", "--topic", "orders:x"), "orders:x"),
    ],
)
def test_wrong_usage_of_reset(cli: Cli, words: tuple[str, ...], text: str) -> None:
    assert text in cli.run("groups", "reset-offsets", "billing", *words, code=2).stderr


def test_a_classic_group_with_a_member(billing: Cli) -> None:
    async def join() -> None:
        async with rig(billing.url, billing.namespace) as engine:
            member = ClassicMember(
                engine.groups, "java", protocols=[("range", subscription("orders"))]
            )
            await member.join()
            await member.sync({member.id: assignment("orders", 0, 1)})

    asyncio.run(join())
    assert billing.json("groups", "list")[1] == {
        "group_id": "java",
        "type": "classic",
        "state": "stable",
    }
    (group,) = billing.json("groups", "describe", "java")
    assert (group["type"], group["assignor"]) == ("classic", "range")
    assert [at["partition"] for at in group["members"][0]["assignment"]] == [0, 1]
    assert "orders 0,1" in billing.out("groups", "describe", "java")
    refused = billing.run(
        "groups", "reset-offsets", "java", "--to-latest", "--topic", "orders", "--execute", code=1
    )
    assert "members" in refused.stderr
    assert "member" in billing.run("groups", "delete", "java", "--yes", code=1).stderr
