"""The codec writes what kio writes, reads what it reads, and trusts no length."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kio.index import load_request_schema, load_response_schema

from partstream.gateway import codec
from partstream.gateway.primitives import Input, Malformed, uvarint, write_uvarint
from partstream.gateway.table import TABLE, Api
from tests.gateway.messages import (
    as_kio,
    holds,
    messages,
    plain,
    read_by_kio,
    spoilt,
    written_by_kio,
)

_EVERY = [
    pytest.param(api, version, id=f"{api.name}-v{version}")
    for api in TABLE
    for version in range(api.least, api.most + 1)
]
_few = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> int:
    """Of each test: there are some two hundred versions of all APIs together."""
    return 200 if request.config.getoption("--long") else 8


def _both(api: Api, version: int) -> list[tuple[Any, codec.Message]]:
    return [
        (load_request_schema(api.key, version), codec.request(api.name, version)),
        (load_response_schema(api.key, version), codec.response(api.name, version)),
    ]


@pytest.mark.parametrize(("api", "version"), _EVERY)
def test_it_agrees_with_kio(api: Api, version: int, examples: int) -> None:
    for cls, message in _both(api, version):
        _agree(cls, message, examples)


def _agree(cls: Any, message: codec.Message, examples: int) -> None:
    @settings(_few, max_examples=examples)
    @given(values=messages(cls))
    def agree(values: dict[str, Any]) -> None:
        theirs = written_by_kio(cls, as_kio(cls, values))
        ours = bytes(message.encode(values))
        assert ours == theirs
        assert holds(plain(message.decode(theirs)), values)
        assert read_by_kio(cls, ours) == as_kio(cls, values)

    agree()


@pytest.mark.parametrize(("api", "version"), _EVERY)
def test_cut_off_anywhere_it_is_refused(api: Api, version: int, examples: int) -> None:
    cls, message = _both(api, version)[0]

    @settings(_few, max_examples=examples)
    @given(values=messages(cls), data=st.data())
    def cut(values: dict[str, Any], data: st.DataObject) -> None:
        whole = bytes(message.encode(values))
        # What stands behind a message is ignored, as Kafka does.
        assert holds(plain(message.decode(whole + b"\xff\xff")), values)
        if whole:
            with pytest.raises(Malformed):
                message.decode(whole[: data.draw(st.integers(0, len(whole) - 1))])

    cut()


@pytest.mark.parametrize(("api", "version"), _EVERY)
def test_bytes_that_are_no_message_are_refused_or_read(
    api: Api, version: int, examples: int
) -> None:
    """Random ones, and good messages that were spoilt."""
    cls, message = _both(api, version)[0]

    @settings(_few, max_examples=examples)
    @given(random=st.binary(max_size=80), values=messages(cls), data=st.data())
    def read(random: bytes, values: dict[str, Any], data: st.DataObject) -> None:
        for body in (random, data.draw(spoilt(bytes(message.encode(values))))):
            with suppress(Malformed):
                message.decode(body)

    read()


def test_an_array_that_promises_more_than_there_is() -> None:
    # Metadata v1 with 2^31 - 1 topics, in 25 bytes.
    with pytest.raises(Malformed, match="an array of 2147483647"):
        codec.request("Metadata", 1).decode(struct.pack(">i", 2**31 - 1) + bytes(21))


def test_the_structs_of_a_request_are_counted() -> None:
    count = codec.MAX_STRUCTS + 1
    many = struct.pack(">i", count) + bytes(2) * count
    with pytest.raises(Malformed, match="structs"):
        codec.request("Metadata", 1).decode(many)


def test_a_name_that_no_version_knows_is_a_mistake() -> None:
    with pytest.raises(KeyError, match="brokerz"):
        codec.response("Metadata", 1).encode({"brokerz": []})


def test_a_version_that_no_file_has_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="has no version 14"):
        codec.request("Metadata", 14)


def test_what_a_version_lacks_is_left_out_or_has_its_default() -> None:
    values = {"topics": [{"name": "t"}], "include_topic_authorized_operations": True}
    read = codec.request("Metadata", 1).decode(bytes(codec.request("Metadata", 1).encode(values)))
    assert read.topics[0].name == "t"
    assert read.topics[0].topic_id is None
    assert read.include_topic_authorized_operations is False
    assert read.allow_auto_topic_creation is True


def test_what_a_version_lacks_has_the_newest_default() -> None:
    # The topics of OffsetFetch are there up to v7, and may be null (all of them) from v2 on.
    message = codec.request("OffsetFetch", 8)
    assert message.decode(bytes(message.encode({"require_stable": True}))).topics is None


def test_tagged_fields_with_their_default_are_left_out() -> None:
    # ApiVersions v3: nothing but the count of tagged fields, 0.
    assert codec.response("ApiVersions", 3).encode({})[-1] == 0
    told = codec.response("ApiVersions", 3).encode({"finalized_features_epoch": 5})
    assert codec.response("ApiVersions", 3).decode(bytes(told)).finalized_features_epoch == 5


@given(value=st.integers(0, 2**35 - 1))
def test_varints_come_back(value: int) -> None:
    out = bytearray()
    write_uvarint(out, value)
    assert uvarint(Input(bytes(out)), 0) == (value, len(out))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 6])
def test_varints_that_are_none(data: bytes) -> None:
    with pytest.raises(Malformed):
        uvarint(Input(data), 0)
