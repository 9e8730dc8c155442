"""Records as text."""

from __future__ import annotations

import pytest

from partstream.cli.record_formats import BadFormat, compile_format, json_format, text_format
from partstream.model import Record

RECORD = Record("orders", 3, 17, 1700, 0, b"key", b"va\xffue", (("a", b"1"), ("b", None)))
EMPTY = Record("orders", 0, 0, 0, 0, None, None, ())


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (r"%t-%p@%o", b"orders-3@17"),
        (r"%k=%s\n", b"key=va\xffue\n"),
        (r"%K/%S %T", b"3/5 1700"),
        (r"%h", b"a=1,b="),
        (r"100%%\t\x41\\\0", b"100%\tA\\\x00"),
        ("", b""),
        ("plain \u00e4", "plain \u00e4".encode()),
    ],
)
def test_format_strings(template: str, expected: bytes) -> None:
    assert compile_format(template)(RECORD) == expected


def test_nothing_has_length_minus_one() -> None:
    assert compile_format("%k|%s|%K|%S|%h")(EMPTY) == b"||-1|-1|"


@pytest.mark.parametrize("template", ["%q", r"\q", "%", "abc\\", r"\x4"])
def test_what_means_nothing(template: str) -> None:
    with pytest.raises(BadFormat):
        compile_format(template)


def test_text() -> None:
    assert text_format(None)(RECORD) == b"va\xffue\n"
    assert text_format(": ")(RECORD) == b"key: va\xffue\n"
    assert text_format(None)(EMPTY) == b"\n"


def test_json() -> None:
    assert json_format(EMPTY) == (
        b'{"topic":"orders","partition":0,"offset":0,"timestamp":0,'
        b'"key":null,"value":null,"headers":[]}\n'
    )
    assert b'"value":{"base64":"dmH/dWU="}' in json_format(RECORD)
