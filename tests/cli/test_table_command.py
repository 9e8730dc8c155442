"""`partstream table`: keys and values of any bytes, of a topic that goes on."""

from __future__ import annotations

import base64
import json
import os

import pytest

import partstream
from tests.cli.conftest import Cli

BINARY = (b"\xff", b"\xfe")
"""With U+FFFD for what is no UTF-8 they would be one."""


def test_binary_keys_and_values(cli: Cli) -> None:
    with partstream.Producer(cli.url, namespace=cli.namespace) as producer:
        for number, key in enumerate(BINARY):
            producer.send("t", b"\xc3%d" % number, key=key)
        producer.send("t", "grün".encode(), key="ä".encode())
    consumed = [json.loads(line) for line in cli.out("consume", "t", "--json").splitlines()]
    rows = [{"key": row["key"], "value": row["value"]} for row in consumed]
    assert rows[2] == {"key": "ä", "value": "grün"}
    assert [base64.b64decode(row["key"]["base64"]) for row in rows[:2]] == list(BINARY)
    assert cli.json("table", "t") == [rows[2], rows[1], rows[0]]
    for key, row in zip(BINARY, rows, strict=False):
        assert cli.json("table", "t", os.fsdecode(key)) == [row]
    missing = cli.run("table", "t", os.fsdecode(b"\xfd"), code=1)
    assert "has no key" in missing.stderr


def test_keys_may_go_meanwhile(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.run("produce", "t", "-K", "=", stdin="a=1\nb=2\n")

    def gone(*_: object) -> bytes:
        raise KeyError

    monkeypatch.setattr(partstream.Table, "__getitem__", gone)
    assert cli.out("table", "t") == "a\t1\nb\t2\n"
    assert cli.out("table", "t", "b") == "2\n"
