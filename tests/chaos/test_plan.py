"""Seeds and journals: the same seed, the same plan; what was written is what is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.clients import truncation
from tests.chaos.faults import ACCESSES, TOPOLOGIES, Topology
from tests.chaos.history import Acked, Fault, Journal, Read, Sent, load
from tests.chaos.plan import draw
from tests.chaos.run import servers_of


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_same_seed_is_the_same_plan(topology: Topology) -> None:
    assert draw(7, seconds=20, topology=topology) == draw(7, seconds=20, topology=topology)
    assert draw(7, seconds=20, topology=topology) != draw(8, seconds=20, topology=topology)


def test_seeds_draw_every_topology() -> None:
    assert {draw(seed, seconds=1).topology for seed in range(60)} == set(TOPOLOGIES)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_servers_know_every_fault_that_is_drawn(topology: Topology, tmp_path: Path) -> None:
    plans = [draw(seed, seconds=30, topology=topology) for seed in range(30)]
    servers = servers_of(plans[0], tmp_path, None)
    for blow in (blow for plan in plans for blow in plan.server_blows):
        assert callable(getattr(servers, f"do_{blow.name}"))


def test_seeds_draw_every_way_in_and_gateways() -> None:
    plans = [draw(seed, seconds=1) for seed in range(200)]
    assert {(plan.topology, plan.access) for plan in plans} == {
        (topology, access) for topology, ways in ACCESSES.items() for access in ways
    }
    assert {plan.gateways for plan in plans if not plan.promise.may_lose} == {0, 2}
    assert {plan.gateways for plan in plans if plan.promise.may_lose} == {0}


def test_only_deployments_that_may_lose_records_promise_less() -> None:
    promises = {name: draw(1, seconds=1, topology=name).promise.may_lose for name in TOPOLOGIES}
    assert {name for name, may_lose in promises.items() if may_lose} == {"torn", "cluster-loose"}


def test_journals_are_read_in_the_order_of_their_times(tmp_path: Path) -> None:
    one, two = Journal(tmp_path / "a.jsonl"), Journal(tmp_path / "b.jsonl")
    first, last = Sent(1.0, "p", "k", "v"), Acked(3.0, "p", "v", 2, 17)
    middle = Read(2.0, "m", 2, 17, ["v", "w"])
    one.write(first, last)
    two.write(middle)
    one.close()
    two.close()
    assert load(tmp_path) == [first, middle, last]


def test_a_line_that_its_writer_did_not_finish_does_not_count(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    journal.write(Fault(1.0, "kill", ""))
    journal.close()
    with (tmp_path / "a.jsonl").open("ab") as file:
        file.write(b'["Fault", 2.0, "ki')
        os.fsync(file.fileno())
    assert load(tmp_path) == [Fault(1.0, "kill", "")]


@pytest.mark.parametrize(
    "text",
    [
        "partition t-3 was truncated: its log does not know leader epoch 2, in which offset 51 was "
        "reached; which records before that are gone is not known; seek to 40 to go on from there",
        "partition t-3 was truncated: records from offset 40 on, read in leader epoch 2 up to "
        "offset 51, are gone; seek to 40 to go on from there",
        "partition t-3 was truncated: records from offset 40 on, read in leader epoch 2 up to "
        "offset 51, are gone (the log is in epoch 9 now): reading on from 40",
    ],
)
def test_what_a_consumer_says_of_a_truncation_is_understood(text: str) -> None:
    assert truncation(text) == (3, 40)
