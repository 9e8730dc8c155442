"""How a cluster is told to move slots at once, by servers that are made up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.cluster_node import ClusterNode
from partstream.embedded.reshard import move_at_once
from partstream.embedded.resp import CommandRefused
from partstream.errors import StoreUnavailable


class FakeNode:
    """A primary that answers as its `product` does."""

    def __init__(self, index: int, cluster: FakeCluster) -> None:
        self.index = index
        self.said: list[str] = []
        self._cluster = cluster

    def node_id(self) -> str:
        return f"id-{self.index}"

    def command(self, *words: str | int, timeout: float = 5) -> Any:
        text = " ".join(map(str, words))
        self.said.append(text)
        return self._cluster.answer(self, text)


class FakeCluster:
    """Three primaries, a hundred slots each."""

    def __init__(self, answer: Callable[[FakeNode, str], Any]) -> None:
        self.answer = answer
        self.nodes = [FakeNode(index, self) for index in range(3)]
        self.held = {index: list(range(index * 100, index * 100 + 100)) for index in range(3)}

    def slots_of(self) -> dict[int, list[int]]:
        return self.held

    def node(self, index: int) -> FakeNode:
        return self.nodes[index]

    def wait_settled(self) -> None:
        """They agree."""

    def give(self, slots: range, target: int) -> None:
        for held in self.held.values():
            held[:] = [slot for slot in held if slot not in slots]
        self.held[target] += slots


def move(cluster: FakeCluster, slots: list[int], target: int, timeout: float = 5) -> None:
    node = cast(ClusterNode, cluster.nodes[target])
    move_at_once(cast(EmbeddedCluster, cluster), slots, node, timeout=timeout)


UNKNOWN = "ERR unknown subcommand '{}'. Try CLUSTER HELP."


def test_as_valkey_has_it_every_source_is_told() -> None:
    def answer(node: FakeNode, text: str) -> Any:
        if text.startswith("CLUSTER MIGRATESLOTS SLOTSRANGE"):
            first, last = map(int, text.split()[3:5])
            cluster.give(range(first, last + 1), 2)
            return b"OK"
        raise AssertionError(text)

    cluster = FakeCluster(answer)
    move(cluster, [5, 6, 150], 2)
    assert [node.said for node in cluster.nodes] == [
        ["CLUSTER MIGRATESLOTS SLOTSRANGE 5 6 NODE id-2"],
        ["CLUSTER MIGRATESLOTS SLOTSRANGE 150 150 NODE id-2"],
        [],
    ]


class Redis:
    """The target is told, by a task for each source; each is looked at twice."""

    def __init__(self, *states: str) -> None:
        self.states = states
        self.cluster = FakeCluster(self.answer)
        self._looks = 0
        self._ranges: list[range] = []

    def answer(self, node: FakeNode, text: str) -> Any:
        words = text.split()
        if words[1] != "MIGRATION":
            raise CommandRefused(UNKNOWN.format(words[1]))
        assert node.index == 2
        if words[2] == "IMPORT":
            bounds = list(map(int, words[3:]))
            self._looks = 0
            self._ranges = [
                range(first, last + 1)
                for first, last in zip(bounds[::2], bounds[1::2], strict=True)
            ]
            return b"task-1"
        if words[2:] == ["STATUS", "ID", "task-1"]:
            state = self.states[min(self._looks, len(self.states) - 1)]
            self._looks += 1
            if state == "completed":
                for slots in self._ranges:
                    self.cluster.give(slots, 2)
            flat = ["id", "task-1", "state", state, "last_error", "", "retries", 0]
            return [[word.encode() if isinstance(word, str) else word for word in flat]]
        assert words[2:] == ["CANCEL", "ID", "task-1"]
        return 1


def test_as_redis_has_it_the_target_is_told() -> None:
    redis = Redis("failed", "accumulate-buffer", "completed")  # it tries again by itself
    move(redis.cluster, [5, 6, 8, 150], 2)
    told = [text for text in redis.cluster.nodes[2].said if "IMPORT" in text]
    assert told == ["CLUSTER MIGRATION IMPORT 5 6 8 8", "CLUSTER MIGRATION IMPORT 150 150"]


@pytest.mark.parametrize(("state", "timeout"), [("canceled", 5), ("accumulate-buffer", 0.1)])
def test_a_migration_that_comes_to_nothing_is_called_off(state: str, timeout: float) -> None:
    redis = Redis(state)
    with pytest.raises(StoreUnavailable, match=f"slots did not move: the state is {state}"):
        move(redis.cluster, [5], 2, timeout)
    assert redis.cluster.nodes[2].said[-1] == "CLUSTER MIGRATION CANCEL ID task-1"


def test_a_server_that_has_neither_says_so() -> None:
    def answer(_: FakeNode, text: str) -> Any:
        raise CommandRefused(UNKNOWN.format(text.split()[1]))

    with pytest.raises(CommandRefused, match="MIGRATION"):
        move(FakeCluster(answer), [5], 2)
