"""Topics, a pattern or partitions by hand: never two of them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from partstream.client.subscription import Subscription
from partstream.errors import IllegalState, InvalidRegularExpression, InvalidTopic
from partstream.groups import patterns


def test_topics_and_patterns_replace_each_other() -> None:
    topics = Subscription().to_topics(["b", "a", "b"], None)
    assert topics.topics == ("a", "b")
    assert topics.by_group
    pattern = topics.to_pattern("a.*", None)
    assert (pattern.topics, pattern.pattern) == ((), "a.*")
    assert pattern.by_group
    assert pattern.to_topics("alone", None).topics == ("alone",)


def test_no_topics_are_no_subscription() -> None:
    assert Subscription().is_empty
    assert Subscription().to_topics([], None).is_empty
    assert not Subscription().to_hand().is_empty


def test_a_subscription_and_partitions_by_hand_exclude_each_other() -> None:
    with pytest.raises(IllegalState, match="unsubscribe first"):
        Subscription().to_topics(["a"], None).to_hand()
    by_hand = Subscription().to_hand()
    with pytest.raises(IllegalState, match="unsubscribe first"):
        by_hand.to_topics(["a"], None)
    with pytest.raises(IllegalState, match="unsubscribe first"):
        by_hand.to_pattern("a", None)
    assert by_hand.to_hand() == by_hand


def test_names_and_patterns_are_checked() -> None:
    with pytest.raises(InvalidTopic, match="bad/name"):
        Subscription().to_topics(["good", "bad/name"], None)


@pytest.mark.parametrize(
    "wrong",
    ["(", "", 5, b"a", "a{9999999999}", "(" * 5_000 + ")" * 5_000],
    ids=lambda it: repr(it)[:9],
)
def test_what_is_no_pattern_is_named(monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    monkeypatch.setattr(patterns, "_engine", re.compile)
    monkeypatch.setattr(patterns, "_refusal", re.error)
    with pytest.raises(InvalidRegularExpression) as raised:
        Subscription().to_pattern(wrong, None)
    assert repr(wrong)[:100] in str(raised.value)
