"""Lines of text as records."""

from __future__ import annotations

import pytest

from partstream.cli.record_formats import json_format
from partstream.cli.record_lines import BadLine, Outgoing, parse_header, parse_json, text_parser
from partstream.model import Record


@pytest.mark.parametrize(
    ("separator", "null", "line", "expected"),
    [
        (None, None, b"a:b", Outgoing(b"a:b")),
        (b":", None, b"a:b:c", Outgoing(b"b:c", b"a")),
        (b"::", None, b"a::b", Outgoing(b"b", b"a")),
        (b":", b"NULL", b"a:NULL", Outgoing(None, b"a")),
        (None, b"NULL", b"NULLS", Outgoing(b"NULLS")),
        (None, None, b"", Outgoing(b"")),
        (None, None, b"\xff", Outgoing(b"\xff")),
    ],
)
def test_text(separator: bytes | None, null: bytes | None, line: bytes, expected: Outgoing) -> None:
    assert text_parser(separator, null)(line) == expected


def test_a_key_for_all() -> None:
    assert text_parser(None, None, key=b"k")(b"v") == Outgoing(b"v", b"k")


def test_a_line_without_the_separator() -> None:
    with pytest.raises(BadLine, match="no ':' between"):
        text_parser(b":", None)(b"abc")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"value": "v", "key": "k"}', Outgoing(b"v", b"k")),
        ('{"value": null}', Outgoing(None)),
        ('{"key": "k"}', Outgoing(None, b"k")),
        ('{"value": {"a": [1, "\u00e4"]}}', Outgoing('{"a":[1,"\u00e4"]}'.encode())),
        ('{"value": 5}', Outgoing(b"5")),
        ('{"value": {"base64": "/w=="}}', Outgoing(b"\xff")),
        ('{"value": "v", "headers": {"a": "1", "b": null}}',
         Outgoing(b"v", None, (("a", b"1"), ("b", None)))),
        ('{"value": "v", "headers": [["a", "1"], ["a", "2"]]}',
         Outgoing(b"v", None, (("a", b"1"), ("a", b"2")))),
        ('{"value": "v", "partition": 3, "timestamp": 17, "offset": 9, "topic": "t"}',
         Outgoing(b"v", None, (), 3, 17)),
    ],
)  # fmt: skip
def test_json(line: str, expected: Outgoing) -> None:
    assert parse_json(line.encode()) == expected


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{", "no JSON"),
        ("[1]", "object"),
        ('{"valeu": 1}', "'valeu'"),
        ('{"partition": "1"}', "partition='1'"),
        ('{"timestamp": true}', "timestamp=True"),
        ('{"value": {"base64": "?"}}', "base64"),
        ('{"headers": 5}', "headers"),
        ('{"headers": [1]}', "headers"),
    ],
)
def test_json_that_is_no_record(line: str, text: str) -> None:
    with pytest.raises(BadLine, match=text):
        parse_json(line.encode())


def test_what_consume_prints_produce_takes_back() -> None:
    headers = (("a", b"1"), ("a", b"\xfe"), ("b", None))
    record = Record("t", 1, 2, 3, 0, b"\xff", "\u00e4\n".encode(), headers)
    line = json_format(record)
    assert line.count(b"\n") == 1
    assert parse_json(line) == Outgoing(record.value, record.key, headers, 1, 3)


def test_header_options() -> None:
    assert parse_header("a=b=c") == ("a", b"b=c")
    assert parse_header("a=") == ("a", b"")
    assert parse_header("a") == ("a", None)
    assert parse_header("=b") is None
