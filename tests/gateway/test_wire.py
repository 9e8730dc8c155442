"""Produce and Fetch are read by hand: as kio writes them, and no length is believed."""

from __future__ import annotations

import struct
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kio.index import load_request_schema

from partstream.gateway import codec, wire_fetch, wire_produce
from partstream.gateway.primitives import Malformed
from partstream.gateway.table import BY_KEY, TABLE
from tests.gateway.messages import as_kio, messages, one_of_each, spoilt, written_by_kio

PRODUCE, FETCH = (
    [pytest.param(version, id=f"v{version}") for version in range(api.least, api.most + 1)]
    for api in (BY_KEY[0], BY_KEY[1])
)
_few = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
_BEHIND = b"\xff\xff"
_MOST_TAKEN = 200_000
"""Bytes: a thousand times a frame, and far less than any of the lengths that are claimed."""


def _produced(version: int, data: bytes) -> wire_produce.Request:
    return wire_produce.read(data, 0, version)


@pytest.mark.parametrize("version", PRODUCE)
def test_produce_is_read_as_kio_writes_it(version: int) -> None:
    cls = load_request_schema(0, version)

    @_few
    @given(values=messages(cls), data=st.data())
    def read(values: dict[str, Any], data: st.DataObject) -> None:
        whole = written_by_kio(cls, as_kio(cls, values))
        found = _produced(version, whole + _BEHIND)
        assert found[:3] == (values["transactional_id"], values["acks"], values["timeout"])
        # Of a partition that is there twice, what comes last.
        wanted: dict[str | None, dict[int, bytes | None]] = {}
        for topic in values["topic_data"]:
            rows = wanted.setdefault(topic["topic_id" if version >= 13 else "name"], {})
            rows.update({one["index"]: one["records"] for one in topic["partition_data"]})
        assert found.topics == [(name, list(rows.items())) for name, rows in wanted.items() if rows]
        with pytest.raises(Malformed):
            _produced(version, whole[: data.draw(st.integers(0, len(whole) - 1))])
        with suppress(Malformed):
            _produced(version, data.draw(st.binary(max_size=80) | spoilt(whole)))

    read()


def _fetched(version: int, data: bytes) -> wire_fetch.Request:
    return wire_fetch.read(data, 0, version)


@pytest.mark.parametrize("version", FETCH)
def test_fetch_is_read_as_kio_writes_it(version: int) -> None:
    cls = load_request_schema(1, version)

    @_few
    @given(values=messages(cls), data=st.data())
    def read(values: dict[str, Any], data: st.DataObject) -> None:
        whole = written_by_kio(cls, as_kio(cls, values))
        found = _fetched(version, whole + _BEHIND)
        assert (found.max_wait_ms, found.min_bytes, found.max_bytes) == (
            values["max_wait"],
            values["min_bytes"],
            values["max_bytes"],
        )
        assert found.isolation_level == values["isolation_level"]
        assert found.replica_id == values.get("replica_id", -1)
        assert found.session_epoch == values.get("session_epoch", -1)
        # A topic or a partition that is there twice counts once, as the last one.
        wanted: dict[str | None, dict[int, tuple[int, ...]]] = {}
        for topic in values["topics"]:
            rows = wanted.setdefault(topic["topic_id" if version >= 13 else "topic"], {})
            for one in topic["partitions"]:
                epoch = one.get("current_leader_epoch", -1)
                place = (one["fetch_offset"], one["partition_max_bytes"])
                rows[one["partition"]] = (one["partition"], epoch, *place)
        assert found.topics == [
            (name, list(rows.values())) for name, rows in wanted.items() if rows
        ]
        with pytest.raises(Malformed):
            _fetched(version, whole[: data.draw(st.integers(0, len(whole) - 1))])
        with suppress(Malformed):
            _fetched(version, data.draw(st.binary(max_size=80) | spoilt(whole)))

    read()


@pytest.mark.parametrize("api", TABLE, ids=lambda api: api.name)
def test_no_length_takes_memory_that_the_frame_does_not_have(api: Any) -> None:
    for version in range(api.least, api.most + 1):
        message = codec.request(api.name, version)
        values = one_of_each(load_request_schema(api.key, version), "name")
        whole = bytes(message.encode(values))
        claims = [
            whole[:at] + claim + whole[at + len(claim) :]
            for at in range(len(whole))
            for claim in (struct.pack(">i", 2**31 - 1), b"\xff\xff\xff\xff\x07", b"\x7f\xff")
        ]
        read = {0: _produced, 1: _fetched}.get(api.key)
        tracemalloc.start()
        for claim in claims:
            with suppress(Malformed):
                message.decode(claim)
            with suppress(Malformed):
                if read is not None:
                    read(version, claim)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < _MOST_TAKEN + 100 * len(whole), (api.name, version)
