"""The configs of single groups: Kafka's names, bounds, and the row that scripts read."""

from __future__ import annotations

import re

import pytest

from partstream.config.gateway import GatewayConfig
from partstream.config.group import (
    ASSIGNMENT,
    HEARTBEAT,
    NO_CONFIGS,
    SESSION,
    GroupConfig,
    GroupLimits,
    Span,
)
from partstream.errors import InvalidConfig

LIMITS = GatewayConfig().group_limits


def test_a_gateway_bounds_them_as_kafka_does_by_default() -> None:
    assert (
        GroupLimits(Span(45_000, 45_000, 60_000), Span(5_000, 5_000, 15_000), Span(0, 0, 15_000))
        == LIMITS
    )


@pytest.mark.parametrize(
    ("config", "row"),
    [
        (NO_CONFIGS, ""),
        (GroupConfig(session_timeout_ms=50_000), "50000||"),
        (GroupConfig(heartbeat_interval_ms=6_000), "|6000|"),
        (GroupConfig(1, 2, 0), "1|2|0"),
    ],
)
def test_the_row_that_scripts_read(config: GroupConfig, row: str) -> None:
    assert config.encode() == row
    assert GroupConfig.decode(row) == config
    assert config.is_set == bool(row)


def test_what_a_later_version_has_added_is_passed_over() -> None:
    assert GroupConfig.decode("1|2||new") == GroupConfig(1, 2)


def test_some_are_changed_and_some_taken_back() -> None:
    one = NO_CONFIGS.altered({SESSION: " 50000 ", HEARTBEAT: "+6000"}, LIMITS)
    assert one.overrides() == {HEARTBEAT: "6000", SESSION: "50000"}
    other = one.altered({SESSION: None, ASSIGNMENT: 0}, LIMITS)
    assert other.overrides() == {ASSIGNMENT: "0", HEARTBEAT: "6000"}
    assert other.altered(dict.fromkeys(other.overrides()), LIMITS) == NO_CONFIGS


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"consumer.session.timeout": "1"}, f"did you mean '{SESSION}'?"),
        ({"share.session.timeout.ms": "50000"}, "Unknown group config name"),
        ({5: 5}, "Unknown group config name: 5"),
        ({SESSION: "44999"}, f"{SESSION}: expected 45000 to 60000"),
        ({SESSION: "60001"}, f"{SESSION}: expected 45000 to 60000"),
        ({HEARTBEAT: 4_999}, f"{HEARTBEAT}: expected 5000 to 15000"),
        ({ASSIGNMENT: -1}, f"{ASSIGNMENT}: expected 0 to 15000"),
        ({SESSION: "soon"}, "expected a whole number"),
        ({SESSION: "50000.0"}, "expected a whole number"),
        ({SESSION: "5_0000"}, "expected a whole number"),
        ({SESSION: True}, "expected a whole number"),
        ([SESSION], "expected a mapping"),
    ],
)
def test_what_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidConfig, match=re.escape(text)):
        NO_CONFIGS.altered(changes, LIMITS)


def test_a_session_is_longer_than_a_heartbeat_also_where_one_is_the_default() -> None:
    wide = GroupLimits(Span(30_000, 1, 60_000), Span(3_000, 1, 60_000))
    for changes in ({SESSION: 3_000}, {HEARTBEAT: 30_000}, {SESSION: 5, HEARTBEAT: 5}):
        with pytest.raises(InvalidConfig, match=f"{SESSION} must be greater than {HEARTBEAT}"):
            NO_CONFIGS.altered(changes, wide)
    assert NO_CONFIGS.altered({SESSION: 3_001}, wide).session_timeout_ms == 3_001


def test_a_gateway_that_is_configured_otherwise_bounds_them_otherwise() -> None:
    config = GatewayConfig(
        group_consumer_session_timeout_ms=10_000, group_consumer_assignment_interval_ms=20_000
    )
    assert config.group_limits.session_timeout_ms == Span(10_000, 10_000, 60_000)
    assert config.group_limits.assignment_interval_ms == Span(20_000, 0, 20_000)
