"""`partstream import-stream`: a plain Redis stream into a topic."""

from __future__ import annotations

import json
from typing import Any

import pytest

from partstream.client.importing import Mapping, StreamImport, convert
from partstream.client.producer import Producer
from partstream.errors import StoreUnavailable
from partstream.store.store import Store
from tests.cli.conftest import Cli
from tests.servers.pool import Server


@pytest.fixture
def stream(server: Server, namespace: str) -> str:
    """A stream of five entries."""
    name = f"{namespace}:plain"
    for number in range(5):
        add(server, name, f"170000000000{number}-0", "user", f"u{number % 2}", "n", str(number))
    return name


def add(server: Server, stream: str, entry_id: str, *fields: str | bytes) -> None:
    server.command("XADD", stream, entry_id, *fields)


def rows(cli: Cli, topic: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in cli.out("consume", topic, "--json").splitlines()]


@pytest.fixture
def events(cli: Cli) -> Cli:
    cli.run("topics", "create", "events", "-c", "retention.ms=-1")
    return cli


def test_fields_as_json(events: Cli, stream: str) -> None:
    text = events.out("import-stream", stream, "events", "--key-field", "user")
    assert text == "5 entries imported, 5 in all; the last is 1700000000004-0\n"
    imported = rows(events, "events")
    assert [row["value"] for row in imported] == [
        f'{{"user":"u{n % 2}","n":"{n}"}}' for n in range(5)
    ]
    assert [row["key"] for row in imported] == ["u0", "u1", "u0", "u1", "u0"]
    assert imported[3]["timestamp"] == 1700000000003
    assert imported[3]["headers"] == [["redis-stream-id", "1700000000003-0"]]


def test_fields_as_headers(events: Cli, stream: str) -> None:
    words = ("--fields-as", "headers", "--value-field", "n", "--timestamps", "now")
    events.run("import-stream", stream, "events", *words)
    imported = rows(events, "events")
    assert [row["value"] for row in imported] == ["0", "1", "2", "3", "4"]
    assert imported[1]["headers"] == [["redis-stream-id", "1700000000001-0"], ["user", "u1"]]
    assert imported[1]["timestamp"] > 1750000000000


def test_again_goes_on(events: Cli, stream: str, server: Server) -> None:
    events.run("import-stream", stream, "events", "--page", "2")
    assert events.json("import-stream", stream, "events")["imported"] == 0
    add(server, stream, "1700000000009-0", "n", "9")
    assert events.json("import-stream", stream, "events") == {
        "imported": 1,
        "total": 6,
        "last_id": "1700000000009-0",
    }
    assert len(rows(events, "events")) == 6
    assert events.json("import-stream", stream, "events", "--restart")["imported"] == 6
    assert len(rows(events, "events")) == 12


def test_a_deleted_topic_is_forgotten(events: Cli, stream: str, server: Server) -> None:
    events.run("topics", "create", "others")
    events.run("import-stream", stream, "events")
    events.run("import-stream", stream, "others")
    imports = f"{events.namespace}:{{meta}}:imports"
    assert server.command("HLEN", imports) == 2
    events.run("topics", "delete", "events", "--yes")
    assert server.command("HLEN", imports) == 1


def test_topics_are_apart(events: Cli, stream: str) -> None:
    events.run("topics", "create", "other", "-c", "retention.ms=-1")
    events.run("import-stream", stream, "events")
    assert events.json("import-stream", stream, "other")["imported"] == 5


async def test_a_crash_loses_nothing(
    cli: Cli, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a page that is delivered and its note: the page comes again, in order."""
    execute = Store.execute

    async def crash(store: Store, *command: Any, **options: Any) -> Any:
        if command[0] == "HSET" and command[1] == store.keys.meta.imports:
            raise StoreUnavailable("crash")
        return await execute(store, *command, **options)

    async with Producer(cli.url, namespace=cli.namespace) as producer:
        importing = StreamImport(producer, stream, "events", Mapping())
        done, entries = await importing.prepare()
        assert (done.entries, done.last_id, entries) == (0, "", 5)
        with monkeypatch.context() as patch:
            patch.setattr(Store, "execute", crash)
            with pytest.raises(StoreUnavailable):
                await importing.run(done, page=2, on_page=lambda _: None)
        done, _ = await importing.prepare()
        assert done.entries == 0
        pages: list[int] = []
        done = await importing.run(done, page=2, on_page=pages.append)
        assert (done.entries, pages) == (5, [2, 2, 1])
    imported = [json.loads(row["value"])["n"] for row in rows(cli, "events")]
    assert imported == ["0", "1", "0", "1", "2", "3", "4"]


def test_old_entries_are_warned_of(cli: Cli, stream: str) -> None:
    cli.run("topics", "create", "events")
    assert "older than retention.ms" in cli.run("import-stream", stream, "events").stderr


def test_what_is_no_stream(events: Cli, server: Server, namespace: str) -> None:
    result = events.run("import-stream", f"{namespace}:nothing", "events", code=1)
    assert "there is no such key" in result.stderr
    server.command("SET", f"{namespace}:text", "x")
    result = events.run("import-stream", f"{namespace}:text", "events", code=1)
    assert "it is a string, not a stream" in result.stderr


def test_an_empty_stream(events: Cli, server: Server, namespace: str) -> None:
    add(server, f"{namespace}:empty", "5-0", "a", "b")
    server.command("XDEL", f"{namespace}:empty", "5-0")
    assert events.json("import-stream", f"{namespace}:empty", "events")["imported"] == 0


def test_wrong_usage(events: Cli, stream: str) -> None:
    words = ("import-stream", stream, "events", "--value-field", "n")
    assert "--fields-as headers" in events.run(*words, code=2).stderr


def test_a_name_that_stands_twice_and_bytes() -> None:
    record = convert(b"7-1", [(b"a", b"1"), (b"a", b"2"), (b"b", b"\xff")], Mapping())
    assert json.loads(record.value) == {"a": ["1", "2"], "b": {"base64": "/w=="}}
    assert (record.key, record.timestamp_ms) == (None, 7)
