from __future__ import annotations

from typing import Any

import pytest

from partstream.errors import (
    InvalidGroupId,
    InvalidRegularExpression,
    InvalidRequest,
    OffsetMetadataTooLarge,
    PartstreamError,
    UnsupportedAssignor,
)
from partstream.groups.requests import HeartbeatRequest, check, check_group_id, check_metadata


def join(**changes: Any) -> HeartbeatRequest:
    fields: dict[str, Any] = {
        "group_id": "g",
        "member_id": "m",
        "member_epoch": 0,
        "rebalance_timeout_ms": 1,
        "subscribed_topics": ["t"],
    }
    return HeartbeatRequest(**{**fields, **changes})


def test_a_first_heartbeat_says_everything() -> None:
    check(join())
    check(join(owned=[]))
    check(join(subscribed_topics=None, subscribed_regex="t.*"))
    check(join(subscribed_topics=[]))
    check(HeartbeatRequest("g", "m", 5))
    check(HeartbeatRequest("g", "m", -1))
    check(HeartbeatRequest("g", "m", -2, instance_id="i"))


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"group_id": ""}, InvalidGroupId, "''"),
        ({"member_id": ""}, InvalidRequest, "member_id ''"),
        ({"member_id": "a\nb"}, InvalidRequest, "member_id"),
        ({"instance_id": ""}, InvalidRequest, "instance_id"),
        ({"rack": ""}, InvalidRequest, "rack"),
        ({"member_epoch": -3}, InvalidRequest, "-3"),
        ({"member_epoch": -2}, InvalidRequest, "instance_id"),
        ({"rebalance_timeout_ms": -1}, InvalidRequest, "rebalance_timeout_ms"),
        ({"owned": [("t", 0)]}, InvalidRequest, "owned"),
        ({"subscribed_topics": None}, InvalidRequest, "subscribed_topics"),
        ({"assignor": "sticky"}, UnsupportedAssignor, "'sticky'"),
        ({"subscribed_regex": "["}, InvalidRegularExpression, r"'\['"),
    ],
)
def test_what_kafka_refuses(
    changes: dict[str, Any], error: type[PartstreamError], text: str
) -> None:
    with pytest.raises(error, match=text):
        check(join(**changes))


@pytest.mark.parametrize("group_id", ["", " ", None, b"g"])
def test_bad_group_ids(group_id: Any) -> None:
    check_group_id("any thing {at} all")
    with pytest.raises(InvalidGroupId) as raised:
        check_group_id(group_id)
    assert repr(group_id) in str(raised.value)


def test_metadata_is_measured_in_bytes() -> None:
    check_metadata("é" * 2048)
    with pytest.raises(OffsetMetadataTooLarge, match="4098"):
        check_metadata("é" * 2049)
