"""Seeds and journals: the same seed, the same plan; what was written is what is read."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer

from tests.chaos import faults
from tests.chaos.access import entry_of
from tests.chaos.clients import truncation
from tests.chaos.crew import Crew
from tests.chaos.faults import ACCESSES, TOPOLOGIES, Topology
from tests.chaos.gateways import complains
from tests.chaos.history import Acked, Fault, Journal, Read, Sent, load
from tests.chaos.names import CLASSIC, GROUP
from tests.chaos.plan import draw
from tests.chaos.run import servers_of
from tests.chaos.totals import ROWS, added_up, table


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


def test_a_group_that_is_to_change_hands_has_members_to_stir() -> None:
    for gateways, groups in ((0, {GROUP}), (2, {GROUP, CLASSIC})):
        plan = draw(7, seconds=60, topology="cluster", gateways=gateways)
        assert {plan.group_of(blow) for blow in plan.server_blows} == groups
        members = {client.group for worker in plan.workers for client in worker}
        assert members == groups | {None}


def test_seeds_draw_groups_that_change_their_protocol() -> None:
    with_gateways = [draw(seed, seconds=9, topology="cluster", gateways=2) for seed in range(30)]
    assert {bool(plan.group_blows) for plan in with_gateways} == {True, False}
    without = [draw(seed, seconds=9, topology="cluster", gateways=0) for seed in range(30)]
    assert not any(plan.group_blows for plan in without)
    for plan in with_gateways:
        switching = {client.group for worker in plan.workers for client in worker if client.other}
        assert switching == ({GROUP, CLASSIC} if plan.group_blows else set())


def test_a_group_that_changes_its_protocol_changes_nothing_else() -> None:
    plan, plain = (
        draw(7, seconds=60, topology="cluster", gateways=2, switching=switching)
        for switching in (True, False)
    )
    workers = (tuple(replace(client, other=None) for client in clients) for clients in plan.workers)
    assert plan != plain == replace(plan, group_blows=(), workers=tuple(workers))


def test_librdkafka_takes_both_configs_of_a_member_that_is_switched() -> None:
    plans = [draw(seed, seconds=9, topology="cluster", gateways=2) for seed in range(10)]
    clients = [client for plan in plans for client in plan.workers[-1] if client.other]
    assert len(clients) > 10
    for client in clients:
        switched = client.switched()
        assert switched.switched() == client
        protocols = set()
        for one in (client, switched):
            settings = {"group.id": GROUP, "group.protocol": "consumer", **one.config}
            protocols.add(settings["group.protocol"])
            Consumer({"bootstrap.servers": "localhost:1", "log_level": 0, **settings}).close()
        assert protocols == {"classic", "consumer"}
        assert switched.group == client.group


class Told:
    """A worker's process that is none."""

    def __init__(self) -> None:
        self.name = "w"
        self.words: list[tuple[object, ...]] = []

    def say(self, *words: object) -> None:
        self.words.append(words)


async def test_members_are_switched_one_by_one_and_back(tmp_path: Path) -> None:
    plan = draw(7, seconds=60, topology="cluster", gateways=2, switching=True)
    crew = Crew(
        plan,
        tmp_path,
        Journal(tmp_path / "crew.jsonl"),
        url="",
        entry=entry_of("open", tmp_path),
        bootstrap="",
    )
    told = Told()
    crew._hands = [told for _ in plan.workers]  # type: ignore[misc]
    members = {number for number, client in enumerate(plan.workers[-1]) if client.other}
    assert len(members) > 2
    for blow in plan.group_blows[: 3 * len(members)]:
        await crew.switch(blow)
    numbers = [number for _, number in told.words]
    for turn in range(3):
        of_turn = numbers[turn * len(members) : (turn + 1) * len(members)]
        assert set(of_turn) == members
    for number in members:
        # There, back, and there again: whoever is started anew is what it was.
        assert crew._clients(len(plan.workers) - 1)[number] == (plan.workers[-1][number].switched())


def test_only_deployments_that_may_lose_records_promise_less() -> None:
    promises = {name: draw(1, seconds=1, topology=name).promise for name in TOPOLOGIES}
    loose = {name for name, promise in promises.items() if promise.may_lose}
    assert loose == {"torn", "cluster-loose"}
    loose = {name for name, promise in promises.items() if promise.may_lose_commits}
    assert loose == {"torn"}


def test_every_fault_has_its_row_in_the_documentation() -> None:
    counted = [name for numbers in ROWS.values() for names in numbers for name in names]
    drawn = {*faults.CLIENT_FAULTS, *faults.GATEWAY_FAULTS, *faults.GROUP_FAULTS}
    for kinds in (faults.SERVER_FAULTS, faults.SLOW_FAULTS, faults.ACCESS_FAULTS):
        drawn.update(name for names in kinds.values() for name in names)
    assert sorted(counted) == sorted(drawn)


def test_totals_of_several_folders_are_added_up(tmp_path: Path) -> None:
    for number, folder in enumerate((tmp_path / "a", tmp_path / "b"), 1):
        folder.mkdir()
        counts = {"runs": 1, "seconds": 60, "runs on torn": 1, "fault tear": 1_000 * number}
        (folder / f"{number}.json").write_text(json.dumps(counts), encoding="utf-8")
    lines = list(table(added_up([tmp_path / "a", tmp_path / "b"])))
    assert lines[0].startswith("2 runs, 2 minutes in all, ")
    assert "torn: 2" in lines[1]
    assert "| a crash that takes back the end of the append-only file | 3,000 |" in lines


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["this gateway could not say that it lives"], False),
        (["oh", "Traceback (most recent call last):"], True),
        (["Task exception was never retrieved"], True),
        (
            ["Fatal error on SSL protocol", "protocol: <>", "transport: <>", "Traceback (most"],
            False,
        ),
        (["Fatal error on SSL protocol", "1", "2", "3", "Traceback (most"], True),
    ],
)
def test_what_a_gateway_must_not_say(lines: list[str], expected: bool) -> None:
    assert complains("\n".join(lines)) is expected


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
