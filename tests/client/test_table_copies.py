"""A table that changes while it is gone through."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

import partstream
from partstream import aio


class Key(bytes):
    """One with which something happens while it is looked for."""

    meanwhile: ClassVar[Callable[[], None]] = lambda: None

    def __hash__(self) -> int:
        Key.meanwhile()
        return super().__hash__()


async def test_a_loop_over_it_may_wait(redis_url: str, namespace: str) -> None:
    options: dict[str, Any] = {"namespace": namespace}
    async with aio.Producer(redis_url, **options) as producer:
        for number in range(20):
            await producer.send("t", b"v", key=b"%d" % number)
        await producer.flush()
        async with aio.Table("t", redis_url, **options) as table:
            seen = 0
            keys, values = table.keys(), table.values()
            for key, value in table.items():
                assert value == b"v"
                sent = await (await producer.send("t", None, key=b"%d" % (19 - seen)))
                await table.wait_for(sent.partition, sent.offset, timeout=30)
                assert key not in table or seen < 10
                seen += 1
            assert seen == len(keys) == len(list(values)) == 20
            assert dict(table) == table.copy() == {}


COPIES: dict[str, Callable[[partstream.Table], dict[Any, Any]]] = {
    "dict": dict,
    "unpacked": lambda table: {**table},
    "copy": lambda table: table.copy(),
    "items": lambda table: dict(table.items()),
    "keys and values": lambda table: dict(zip(table.keys(), table.values(), strict=True)),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_the_blocking_one_is_copied_while_keys_go(
    redis_url: str,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    copy: Callable[[partstream.Table], dict[Any, Any]],
) -> None:
    options: dict[str, Any] = {"namespace": namespace}
    expected = {b"%d" % number: b"v%d" % number for number in range(5)}
    gone = threading.Event()
    with partstream.Producer(redis_url, **options) as producer:
        for key, value in expected.items():
            producer.send("t", value, key=key)
        producer.flush()

        def note(key: Key, value: bytes | None, _: object) -> None:
            if value is None:
                gone.set()

        with partstream.Table(
            "t",
            redis_url,
            key_deserializer=Key,
            on_change=note,
            **options,
        ) as table:
            reader = threading.current_thread()

            def remove() -> None:
                if threading.current_thread() is reader and not gone.is_set():
                    producer.send("t", None, key=b"3").result()
                    assert gone.wait(30)

            monkeypatch.setattr(Key, "meanwhile", remove)
            assert copy(table) == expected
            monkeypatch.undo()
            table.catch_up(30)
            assert gone.is_set() == (b"3" not in table)


def test_only_who_goes_through_the_keys_gets_those_that_went(
    redis_url: str, namespace: str
) -> None:
    options: dict[str, Any] = {"namespace": namespace}
    with partstream.Producer(redis_url, **options) as producer:
        for number in range(4):
            producer.send("t", b"%d" % number, key=b"%d" % number)
        producer.flush()
        gone = threading.Event()

        def note(key: bytes, value: bytes | None, _: object) -> None:
            if key == b"3" and value is None:
                gone.set()

        with partstream.Table(
            "t",
            redis_url,
            on_change=note,
            **options,
        ) as table:
            first, second, third, fourth = table.keys()
            for number in range(4):
                producer.send("t", None, key=b"%d" % number)
            assert gone.wait(30)
            assert (table[first], table[second]) == (b"0", b"1")
            with pytest.raises(KeyError):
                table[fourth]
            with pytest.raises(KeyError):
                table[third]
            assert first not in table
            assert table.get(first, b"none") == b"none"
            producer.send("t", b"4", key=b"4").result()
            table.catch_up(30)
            (key,) = table.keys()
            producer.send("t", None, key=key).result()
            table.catch_up(30)
            with pytest.raises(KeyError):
                table[key]
