"""Assignors on any group: complete, valid, balanced, sticky, deterministic."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from partstream.groups.assignors import ASSIGNORS, range_, uniform
from partstream.groups.rows import TopicIdPartition

TOPICS = "tuvw"
MEMBERS = "abcdefgh"

sizes = st.dictionaries(st.sampled_from(TOPICS), st.integers(1, 9), max_size=4)
subscriptions = st.frozensets(st.sampled_from(TOPICS), max_size=4)
groups = st.dictionaries(st.sampled_from(MEMBERS), subscriptions, min_size=1, max_size=8)
equal_groups = st.builds(
    dict.fromkeys,
    st.frozensets(st.sampled_from(MEMBERS), min_size=1, max_size=8),
    subscriptions,
)
anything_before = st.dictionaries(
    st.sampled_from(MEMBERS),
    st.frozensets(st.tuples(st.sampled_from(TOPICS), st.integers(0, 11)), max_size=12),
    max_size=8,
)
Group = dict[str, frozenset[str]]
Before = dict[str, frozenset[TopicIdPartition]]


@given(st.sampled_from(sorted(ASSIGNORS)), groups, sizes, anything_before)
def test_whoever_subscribes_gets_it_and_just_once(
    name: str, members: Group, sizes: dict[str, int], before: Before
) -> None:
    after = ASSIGNORS[name](members, sizes, before)
    assert set(after) == set(members)
    given_out = [partition for partitions in after.values() for partition in partitions]
    wanted = {
        (topic, number)
        for topic, size in sizes.items()
        if any(topic in topics for topics in members.values())
        for number in range(size)
    }
    assert len(given_out) == len(set(given_out))
    assert set(given_out) == wanted
    for member, partitions in after.items():
        assert {topic for topic, _ in partitions} <= members[member]


@given(st.sampled_from(sorted(ASSIGNORS)), groups, sizes, anything_before)
def test_the_order_of_the_input_does_not_matter(
    name: str, members: Group, sizes: dict[str, int], before: Before
) -> None:
    assign = ASSIGNORS[name]
    backwards = dict(reversed(members.items()))
    assert assign(members, sizes, before) == assign(
        backwards, dict(reversed(sizes.items())), dict(reversed(before.items()))
    )


@given(st.sampled_from(sorted(ASSIGNORS)), groups, sizes, anything_before)
def test_what_is_assigned_stays(
    name: str, members: Group, sizes: dict[str, int], before: Before
) -> None:
    assign = ASSIGNORS[name]
    after = assign(members, sizes, before)
    assert assign(members, sizes, after) == after


@given(equal_groups, sizes, anything_before)
def test_uniform_is_even_where_all_want_the_same(
    members: Group, sizes: dict[str, int], before: Before
) -> None:
    counts = [len(partitions) for partitions in uniform(members, sizes, before).values()]
    assert max(counts) - min(counts) <= 1


@given(groups, sizes, anything_before)
def test_uniform_is_as_even_as_subscriptions_allow(
    members: Group, sizes: dict[str, int], before: Before
) -> None:
    """No chain of moves, of any length, leads from a member to one with two partitions less."""
    after = uniform(members, sizes, before)
    for start in members:
        reached, queue = {start}, [start]
        for giver in queue:
            topics = {topic for topic, _ in after[giver]}
            for taker in members:
                if taker not in reached and topics & members[taker]:
                    reached.add(taker)
                    queue.append(taker)
        assert all(len(after[start]) - len(after[member]) <= 1 for member in reached)


@settings(max_examples=200)
@given(equal_groups, sizes, st.sampled_from(MEMBERS))
def test_uniform_moves_nothing_but_what_the_change_needs(
    members: Group, sizes: dict[str, int], who: str
) -> None:
    """One member comes or goes: partitions move to it or from it, and between no others."""
    before = uniform(members, sizes, {})
    if who in members:
        changed = {member: topics for member, topics in members.items() if member != who}
        after = uniform(changed, sizes, before)
        assert all(partitions >= before[member] for member, partitions in after.items())
    else:
        changed = {**members, who: next(iter(members.values()))}
        after = uniform(changed, sizes, before)
        assert all(after[member] <= before[member] for member in members)


@given(equal_groups, st.integers(1, 12), st.integers(1, 12), anything_before)
def test_range_joins_topics_of_equal_size(
    members: Group, size: int, other: int, before: Before
) -> None:
    everything = dict.fromkeys(members, frozenset(TOPICS))
    after = range_(everything, {"t": size, "u": size, "v": other}, before)
    for partitions in after.values():
        numbers = {topic: {n for name, n in partitions if name == topic} for topic in "tu"}
        assert numbers["t"] == numbers["u"]
    for topic in "tv":
        counts = [sum(name == topic for name, _ in partitions) for partitions in after.values()]
        assert max(counts) - min(counts) <= 1


@given(equal_groups, st.integers(1, 12))
def test_a_first_range_is_one_stretch_each(members: Group, size: int) -> None:
    everything = dict.fromkeys(members, frozenset("t"))
    for partitions in range_(everything, {"t": size}, {}).values():
        numbers = sorted(number for _, number in partitions)
        assert not numbers or numbers == list(range(numbers[0], numbers[-1] + 1))
