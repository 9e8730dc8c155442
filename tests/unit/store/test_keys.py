"""Keys: all that a script touches is in one slot, and no two names give one key."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partstream.store.keys import Keys
from partstream.store.slots import SLOTS, partition_slot, partition_tag, slot_of, tag_of

NAMES = st.text("abcXYZ019._-", min_size=1, max_size=12)
GROUPS = st.text(min_size=1, max_size=12)


def test_every_slot_has_a_tag() -> None:
    for slot in range(SLOTS):
        tag = tag_of(slot)
        assert len(tag) <= 5
        assert slot_of(f"ns:{{{tag}}}:rest") == slot


def test_no_slot_beyond_the_last() -> None:
    for slot in (-1, SLOTS):
        with pytest.raises(ValueError, match=str(slot)):
            tag_of(slot)


def test_slots_are_those_of_redis() -> None:
    # As `CLUSTER KEYSLOT` says.
    assert slot_of("foo") == 12_182
    assert slot_of("{foo}bar") == slot_of("x{foo}y{z}") == 12_182
    assert slot_of("foo{}bar") != 12_182


@given(namespace=NAMES, topic=NAMES, number=st.integers(0, 99_999))
def test_a_partition_is_in_one_slot(namespace: str, topic: str, number: int) -> None:
    keys = Keys(namespace).partition(topic, "id", number)
    slots = {slot_of(key) for key in (*keys.all, keys.bell)}
    assert slots == {partition_slot(topic, number)}
    assert keys.log.startswith(f"{namespace}:{{{partition_tag(topic, number)}}}:")


@given(namespace=NAMES, group=GROUPS)
def test_a_group_is_in_one_slot(namespace: str, group: str) -> None:
    keys = Keys(namespace).group(group)
    assert len({slot_of(key) for key in (*keys.all, keys.bell_prefix + "member")}) == 1


@given(one=st.tuples(NAMES, GROUPS), other=st.tuples(NAMES, GROUPS))
def test_no_two_groups_share_a_key(one: tuple[str, str], other: tuple[str, str]) -> None:
    mine, theirs = (set(Keys(namespace).group(group).all) for namespace, group in (one, other))
    assert mine.isdisjoint(theirs) == (one != other)


@given(one=NAMES, other=NAMES, topic=NAMES)
def test_no_two_namespaces_share_a_key(one: str, other: str, topic: str) -> None:
    def every(namespace: str) -> set[str]:
        keys = Keys(namespace)
        meta = (getattr(keys.meta, field) for field in type(keys.meta).__slots__)
        return {*chain(meta, keys.partition(topic, "id", 0).all, keys.group(topic).all)}

    assert every(one).isdisjoint(every(other)) == (one != other)
