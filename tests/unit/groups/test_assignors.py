from __future__ import annotations

import time

import pytest

from partstream.groups.assignors import ASSIGNORS, range_, uniform
from partstream.groups.rows import TopicIdPartition


def topic(name: str, *numbers: int) -> set[TopicIdPartition]:
    return {(name, number) for number in numbers}


def test_uniform_gives_equal_numbers() -> None:
    assigned = uniform({"a": ["t"], "b": ["t"], "c": ["t"]}, {"t": 8}, {})
    assert sorted(map(len, assigned.values())) == [2, 3, 3]
    assert set().union(*assigned.values()) == topic("t", *range(8))


def test_uniform_moves_only_what_it_must_when_a_member_comes() -> None:
    before = {"a": topic("t", 0, 1, 2), "b": topic("t", 3, 4, 5)}
    after = uniform({"a": ["t"], "b": ["t"], "c": ["t"]}, {"t": 6}, before)
    assert {m: len(p) for m, p in after.items()} == {"a": 2, "b": 2, "c": 2}
    assert after["a"] < before["a"]
    assert after["b"] < before["b"]


def test_uniform_leaves_everybody_else_alone_when_a_member_goes() -> None:
    before = {"a": topic("t", 0, 1), "b": topic("t", 2, 3), "c": topic("t", 4, 5)}
    after = uniform({"a": ["t"], "c": ["t"]}, {"t": 6}, before)
    assert after["a"] > before["a"]
    assert after["c"] > before["c"]
    assert len(after["a"]) == len(after["c"]) == 3


def test_uniform_lets_go_of_topics_that_are_gone_or_not_wanted() -> None:
    before = {"a": topic("old", 0) | topic("t", 0) | topic("u", 0)}
    after = uniform({"a": ["t", "old"]}, {"t": 1, "u": 1}, before)
    assert after == {"a": topic("t", 0)}


def test_uniform_gives_a_partition_that_two_have_to_one() -> None:
    after = uniform({"a": ["t"], "b": ["t"]}, {"t": 2}, {"a": topic("t", 0), "b": topic("t", 0)})
    assert sorted(map(len, after.values())) == [1, 1]


def test_uniform_with_unequal_subscriptions() -> None:
    members = {"a": ["t"], "b": ["t", "u"], "c": ["u"]}
    after = uniform(members, {"t": 3, "u": 3}, {"b": topic("t", 0, 1, 2) | topic("u", 0, 1, 2)})
    assert {m: len(p) for m, p in after.items()} == {"a": 2, "b": 2, "c": 2}


def test_uniform_with_more_members_than_partitions() -> None:
    after = uniform({"a": ["t"], "b": ["t"], "c": ["t"]}, {"t": 2}, {})
    assert after == {"a": topic("t", 0), "b": topic("t", 1), "c": set()}


def test_range_gives_equal_numbers_of_all_topics_to_one_member() -> None:
    members = {"a": ["t", "u"], "b": ["t", "u"]}
    after = range_(members, {"t": 5, "u": 5}, {})
    assert after["a"] == topic("t", 0, 1, 2) | topic("u", 0, 1, 2)
    assert after["b"] == topic("t", 3, 4) | topic("u", 3, 4)


def test_range_stays_joined_and_keeps_what_it_can_when_a_member_comes() -> None:
    sizes = {"t": 6, "u": 6}
    before = range_({"a": ["t", "u"], "b": ["t", "u"]}, sizes, {})
    after = range_({m: ["t", "u"] for m in "abc"}, sizes, before)
    for member, partitions in after.items():
        assert len(partitions) == 4
        assert {n for t, n in partitions if t == "t"} == {n for t, n in partitions if t == "u"}
        assert member == "c" or partitions < before[member]


def test_range_puts_a_new_topic_beside_the_old_one() -> None:
    members = {"a": ["t", "u"], "b": ["t", "u"]}
    before = {"a": topic("t", 1, 3), "b": topic("t", 0, 2)}
    after = range_(members, {"t": 4, "u": 4}, before)
    assert after["a"] == topic("t", 1, 3) | topic("u", 1, 3)


@pytest.mark.parametrize("name", sorted(ASSIGNORS))
def test_nobody_and_nothing_are_no_trouble(name: str) -> None:
    assert ASSIGNORS[name]({}, {"t": 3}, {}) == {}
    assert ASSIGNORS[name]({"a": []}, {}, {}) == {"a": set()}
    assert ASSIGNORS[name]({"a": ["unknown"]}, {"t": 3}, {}) == {"a": set()}


@pytest.mark.parametrize("name", sorted(ASSIGNORS))
def test_500_members_on_1000_partitions_take_milliseconds(name: str) -> None:
    sizes = {f"topic-{i}": 100 for i in range(10)}
    members = {f"member-{i:03}": list(sizes) for i in range(500)}
    began = time.process_time()
    first = ASSIGNORS[name](members, sizes, {})
    ASSIGNORS[name](members, sizes, first)
    # Measured at 2-5 ms; a slow machine may take ten times that, a quadratic assignor cannot.
    assert time.process_time() - began < 0.1
