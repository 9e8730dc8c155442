from __future__ import annotations

import pytest

from partstream.groups.rows import (
    STABLE,
    CommittedOffset,
    MemberRow,
    Subscription,
    decode_partition,
    decode_partitions,
    encode_partition,
    encode_partitions,
)
from partstream.model import OffsetAndMetadata


def test_partitions_have_one_text_whatever_order_they_come_in() -> None:
    mixed = [("b", 10), ("a", 2), ("b", 9), ("a", 0)]
    assert encode_partitions(mixed) == "a:0,2;b:9,10"
    assert encode_partitions(reversed(mixed)) == "a:0,2;b:9,10"
    assert decode_partitions("a:0,2;b:9,10") == frozenset(mixed)
    assert decode_partitions(encode_partitions([])) == frozenset()


def test_a_partition_is_one_field() -> None:
    assert encode_partition(("AZ-_x", 12)) == "AZ-_x:12"
    assert decode_partition("AZ-_x:12") == ("AZ-_x", 12)


def test_a_row_comes_back_as_it_was() -> None:
    row = MemberRow(7, 5, 99, 1_700_000_000_000_000_000, STABLE, frozenset({("t", 1)}))
    assert row.encode() == "7|5|99|01700000000000000000|S|t:1|"
    assert MemberRow.decode(row.encode()) == row
    away = MemberRow(-2, 5, 100, 1, STABLE)
    assert MemberRow.decode(away.encode()) == away


@pytest.mark.parametrize(
    "subscription",
    [
        Subscription(("a", "b"), None, "range", None, "inst|1", 300_000, "client\n", "host"),
        Subscription((), "flights-.*"),
    ],
)
def test_a_subscription_comes_back_as_it_was(subscription: Subscription) -> None:
    assert subscription.encode().count("\n") == 1
    assert Subscription.decode(subscription.encode()) == subscription


def test_who_asks_does_not_change_what_is_asked_for() -> None:
    one = Subscription(("a",), client_id="x", host="h1", rebalance_timeout_ms=1)
    other = Subscription(("a",), client_id="y", host="h2", rebalance_timeout_ms=2)
    assert one.encode().split("\n")[0] == other.encode().split("\n")[0]
    assert one.encode() != other.encode()


def test_the_metadata_of_an_offset_may_hold_anything() -> None:
    row = CommittedOffset.decode("41|3|1700000000000|0001:7|a|b:\n|")
    assert row == CommittedOffset(OffsetAndMetadata(41, "a|b:\n|", 3), 1_700_000_000_000)
