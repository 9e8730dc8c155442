"""`partstream produce` and `partstream consume`, in this process and in pipes."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Cli
from tests.waiting import wait_until


@pytest.fixture
def orders(cli: Cli) -> Cli:
    """A topic of one partition."""
    cli.run("topics", "create", "orders")
    return cli


def test_lines(orders: Cli) -> None:
    result = orders.run("produce", "orders", stdin="a\n\nb\r\nc")
    assert result.stderr.startswith("4 records to orders")
    assert orders.out("consume", "orders") == "a\n\nb\nc\n"


def test_files(orders: Cli, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"a\nb\n")
    two.write_bytes(b"\xff\n")
    result = orders.run("produce", "orders", str(one), str(two), "-q")
    assert result.stderr == ""
    assert orders.run("consume", "orders").stdout_bytes == b"a\nb\n\xff\n"


def test_keys(orders: Cli) -> None:
    orders.run("produce", "orders", "-K:", "-Z", "NULL", stdin="a:1\nb:NULL\n")
    orders.run("produce", "orders", "-k", "c", stdin="x:y\n")
    assert orders.out("consume", "orders", "-f", r"%k=%s %S\n").splitlines() == [
        "a=1 1",
        "b= -1",
        "c=x:y 3",
    ]
    assert orders.out("consume", "orders", "-K", ":").splitlines()[0] == "a:1"


def test_headers_partition_and_timestamp(cli: Cli) -> None:
    cli.run("topics", "create", "orders", "-p", "3")
    words = ("-H", "trace=1", "-H", "flag", "-p", "2", "--timestamp", "2026-01-31T12:00:00+00:00")
    cli.run("produce", "orders", *words, stdin="a\n")
    line = cli.out("consume", "orders", "-f", r"%t %p %o %T %h\n")
    assert line == "orders 2 0 1769860800000 trace=1,flag=\n"


def test_json_there_and_back(orders: Cli) -> None:
    rows = [
        {"key": "k", "value": "v\u00e4", "headers": [["a", "1"], ["a", None]], "timestamp": 5},
        {"value": {"base64": "/w=="}},
        {"key": None, "value": None},
    ]
    orders.run("produce", "orders", "--json", stdin="".join(json.dumps(row) + "\n" for row in rows))
    text = orders.out("consume", "orders", "--json")
    back = [json.loads(line) for line in text.splitlines()]
    assert [row["value"] for row in back] == ["v\u00e4", {"base64": "/w=="}, None]
    assert back[0]["headers"] == [["a", "1"], ["a", None]]
    assert (back[0]["timestamp"], back[2]["offset"]) == (5, 2)
    orders.run("topics", "create", "copy")
    orders.run("produce", "copy", "--json", stdin=text)
    copied = orders.out("consume", "copy", "--json")
    assert copied == text.replace('"topic":"orders"', '"topic":"copy"')


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_compression_and_acks(orders: Cli, compression: str, acks: str) -> None:
    orders.run("produce", "orders", "-z", compression, "--acks", acks, stdin="a\n" * 100)
    assert orders.out("consume", "orders") == "a\n" * 100


def test_a_property_of_the_client(orders: Cli) -> None:
    orders.run("produce", "orders", "-X", "linger.ms=1", "-X", "batch_size=100", stdin="a\n")
    result = orders.run("produce", "orders", "-X", "linger_sm=1", stdin="a\n", code=1)
    assert "'linger_ms'" in result.stderr


def test_rate(orders: Cli) -> None:
    started = time.monotonic()
    orders.run("produce", "orders", "--rate", "50", stdin="a\n" * 26)
    assert time.monotonic() - started >= 0.5


@pytest.mark.parametrize(
    ("words", "stdin", "code", "text"),
    [
        (("-K:",), "a:1\nb\n", 1, "stdin, line 2: no ':'"),
        (("--json",), "{}\n{\n", 1, "stdin, line 2: no JSON"),
        (("-H", "=x"), "", 2, "=x"),
        (("--json", "-K:"), "", 2, "--json"),
        (("-K:", "-k", "a"), "", 2, "not both"),
        (("-p", "7"), "a\n", 1, "7"),
        (("--rate", "0"), "", 2, "0"),
        (("no-such-file",), "", 2, "no-such-file"),
    ],
)
def test_what_produce_refuses(
    orders: Cli, words: tuple[str, ...], stdin: str, code: int, text: str
) -> None:
    assert text in orders.run("produce", "orders", *words, stdin=stdin, code=code).stderr


@pytest.mark.parametrize(
    ("stdin", "count"), [("a:1\nb:2\nc\nd:4\n", 2), ("a" * 3_000_000 + ":1\n", 0), ("c\n", 0)]
)
def test_what_was_sent_before_an_error_is_said(orders: Cli, stdin: str, count: int) -> None:
    said = orders.run("produce", "orders", "-K:", stdin=stdin, code=1).stderr.splitlines()
    assert said[-1].startswith("partstream: ")
    assert [line.split(" in ")[0] for line in said[:-1]] == [f"{count} records to orders"][:count]
    assert orders.json("topics", "list")[0]["records"] == count
    quiet = orders.run("produce", "orders", "-K:", "-q", stdin=stdin, code=1).stderr.splitlines()
    assert quiet == said[-1:]


def test_a_record_that_is_refused_is_counted(cli: Cli) -> None:
    cli.run("topics", "create", "orders", "-c", "message.timestamp.after.max.ms=1000")
    for words in ((), ("-q",)):
        late = ("produce", "orders", *words, "--timestamp", "2099-01-01")
        result = cli.run(*late, stdin="a\nb\n", code=1)
        assert "0 records to orders" in result.stderr
        assert "2 failed" in result.stderr


def test_no_create(cli: Cli) -> None:
    result = cli.run("produce", "orders", "--no-create", stdin="a\n", code=1)
    assert "'orders'" in result.stderr
    cli.run("produce", "orders", stdin="a\n")
    assert cli.out("consume", "orders") == "a\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "0123456789"),
        (("--from", "beginning"), "0123456789"),
        (("--from", "end"), ""),
        (("-o", "7"), "789"),
        (("-o", "99"), ""),
        (("-o", "-3"), "789"),
        (("-o", "-30"), "0123456789"),
        (("-o", "1h"), "0123456789"),
        (("-o", "2099-01-01"), ""),
        (("-o", "3", "-n", "2"), "34"),
        (("-p", "0"), "0123456789"),
    ],
)
def test_where_to_begin(orders: Cli, words: tuple[str, ...], expected: str) -> None:
    orders.run("produce", "orders", stdin="".join(f"{i}\n" for i in range(10)))
    assert orders.out("consume", "orders", "-f", "%s", *words) == expected


def test_an_offset_beyond_the_end_is_said(cli: Cli) -> None:
    cli.run("topics", "create", "orders", "-p", "2")
    cli.run("produce", "orders", "-p", "1", stdin="a\nb\n")
    result = cli.run("consume", "orders", "--from", "1", "-f", "%s")
    assert (result.stdout, result.stderr) == (
        "b",
        "Offset 1 is beyond the end of orders-0, 0.\n",
    )
    assert cli.run("consume", "orders", "-p", "1", "--from", "2").stderr == ""


def test_several_topics(cli: Cli) -> None:
    for topic in ("a", "b"):
        cli.run("produce", topic, stdin=f"{topic}\n")
    assert sorted(cli.out("consume", "a", "b").split()) == ["a", "b"]


def test_a_group_goes_on_where_it_was(orders: Cli) -> None:
    orders.run("produce", "orders", stdin="a\nb\nc\n")
    assert orders.out("consume", "orders", "-g", "billing", "-n", "2") == "a\nb\n"
    assert orders.out("consume", "orders", "-g", "billing") == "c\n"
    assert orders.out("consume", "orders", "-g", "billing") == ""


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("nope",), 1, "topic 'nope' does not exist"),
        (("orders", "-p", "5"), 2, "no partition 5, it has 1"),
        (("orders", "-o", "soon"), 2, "'soon'"),
        (("orders", "-f", "%q"), 2, "%q"),
        (("orders", "--json", "-f", "%s"), 2, "one of"),
        (("orders", "-g", "g", "-p", "0"), 2, "--group"),
        (("orders", "-g", "g", "-o", "5"), 2, "--group"),
    ],
)
def test_what_consume_refuses(orders: Cli, words: tuple[str, ...], code: int, text: str) -> None:
    assert text in orders.run("consume", *words, code=code).stderr


# As processes.


def test_follow_until_interrupted(orders: Cli) -> None:
    with orders.start("consume", "orders", "--follow") as process:
        assert process.stdout is not None
        orders.run("produce", "orders", stdin="a\n")
        assert process.stdout.readline() == "a\n"
        orders.run("produce", "orders", stdin="b\n")
        assert process.stdout.readline() == "b\n"
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
        assert (process.returncode, out, errors) == (130, "", "")


def test_a_member_that_is_terminated_leaves_its_group(orders: Cli) -> None:
    orders.run("produce", "orders", stdin="a\n")
    with orders.start("consume", "orders", "-g", "billing", "--follow") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "a\n"
        process.terminate()
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (143, "")
    assert orders.json("groups", "list")[0]["state"] == "empty"


def test_a_reader_that_leaves_is_no_error(orders: Cli) -> None:
    orders.run("produce", "orders", stdin="some text\n" * 100_000)
    command = [*COMMAND, "--namespace", orders.namespace, "consume", "orders"]
    with subprocess.Popen(
        command, env=orders.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"some text\n"
        process.stdout.close()
        assert process.wait(20) == 141
        assert process.stderr.read() == b""


def test_lines_are_sent_as_they_come(orders: Cli) -> None:
    with orders.start("produce", "orders", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write("a\n")
        process.stdin.flush()
        wait_until(lambda: orders.json("topics", "list")[0]["records"] == 1, within=20)
        process.stdin.write("b\n")
        process.stdin.close()
        assert process.wait(20) == 0
    assert orders.out("consume", "orders") == "a\nb\n"


def test_a_file_has_a_progress_bar_on_a_terminal(orders: Cli, tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_bytes(b"x" * 99 + b"\n" + b"a\n" * 20_000)
    screen, terminal = pty.openpty()
    environment = {**orders.environment, "TERM": "xterm", "COLUMNS": "100"}
    command = [*COMMAND, "--namespace", orders.namespace, "produce", "orders", str(lines)]
    with subprocess.Popen(command, env=environment, stderr=terminal) as process:
        os.close(terminal)
        seen = shown_on(screen)
        assert process.wait(20) == 0
    bar = next(line for line in seen.splitlines() if "lines.txt" in line)
    assert "\u2501\u2501" in bar
    assert "40.1/40.1 kB" in seen, "it is full at the end"
    assert "20001 records to orders in " in seen.splitlines()[-1]


def shown_on(screen: int) -> str:
    """All that comes to a terminal until its last writer has closed it."""
    shown = b""
    try:
        while piece := os.read(screen, 65_536):
            shown += piece
    except OSError as error:
        if error.errno != errno.EIO:  # what Linux says where others say it is the end
            raise
    finally:
        os.close(screen)
    return shown.decode()


def test_what_was_read_is_sent_when_interrupted(orders: Cli) -> None:
    words = ("produce", "orders", "-X", "linger_ms=60000", "-X", "batch_size=1000")
    with orders.start(*words, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        # The first fills a batch and goes at once; the second waits for company.
        process.stdin.write("a" * 2000 + "\nb\n")
        process.stdin.flush()
        wait_until(lambda: orders.json("topics", "list")[0]["records"] == 1, within=20)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 130
        assert errors.startswith("2 records to orders in ")
    assert orders.out("consume", "orders") == "a" * 2000 + "\nb\n"
