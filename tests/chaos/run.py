"""Carries out a plan: servers, workers, faults, peace, and a look at what the logs hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

from partstream.client.admin import Admin
from partstream.engine.log import Log
from partstream.engine.partition import Topic
from partstream.engine.topics import Topics
from partstream.errors import NoEmbeddedServer, PartstreamError, UnknownTopicOrPartition
from partstream.model import GroupState
from partstream.records.header import parse
from partstream.store.store import Store
from tests.chaos.access import entry_of
from tests.chaos.binaries import binary_for
from tests.chaos.crew import Crew
from tests.chaos.faults import GATEWAY_FAULTS
from tests.chaos.gateways import Gateways
from tests.chaos.history import (
    Calm,
    Committed,
    Converged,
    Crashed,
    Event,
    Fault,
    FaultOver,
    Journal,
    Linked,
    LogEnd,
    Stored,
    Stuck,
    load,
    now,
)
from tests.chaos.judge import Anomaly, judge
from tests.chaos.names import NAMESPACE, TOPIC
from tests.chaos.parted import Parted
from tests.chaos.plan import Blow, Plan
from tests.chaos.replicated import Cluster, Sentinel
from tests.chaos.servers import Servers, Standalone
from tests.engine.logs import check, records_of, stored_from

_PEACE_S = 2.0
"""How long everybody goes on after the last fault, at the least."""
_LOOKS_S = (0.5, 0.5)
"""How long after the first look at connections come further ones."""
_BOUND_S = 65.0
"""After so long somebody is stuck. Some deliveries take as long before they are given up."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a run."""

    plan: Plan
    server: str
    """Product and version."""
    folder: Path
    events: list[Event]
    anomalies: list[Anomaly]


def servers_of(plan: Plan, folder: Path, binary: Path | None) -> Servers:
    """The servers that a plan asks for."""
    entry = entry_of(plan.access, folder)
    match plan.topology:
        case "standalone" | "torn":
            return Standalone(plan, folder, binary, entry)
        case "sentinel":
            return Sentinel(plan, binary, entry)
        case "parted":
            return Parted(plan, binary, entry)
        case _:
            return Cluster(plan, binary, entry)


async def carry_out(plan: Plan, folder: Path, *, binary: Path | None = None) -> Ran:
    """Run a plan, and judge it.

    Args:
        folder: an empty one, for journals and logs; they stay.
        binary: the server to run. Default: the one that the plan chooses of those that are found.

    Raises:
        NoEmbeddedServer: no server here does what the plan asks for.
    """
    chosen = binary_for(plan, binary)
    if chosen is None:
        raise NoEmbeddedServer("no server here was built with TLS")
    fields = {**plan.as_dict(), "chosen": chosen.label}
    (folder / "plan.json").write_text(json.dumps(fields, indent=1), encoding="utf-8")
    journal = Journal(folder / "conductor.jsonl")
    try:
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(servers_of(plan, folder, chosen.path))
            stack.callback(servers.keep_logs, folder)
            await _prepare(plan, servers)
            entry = servers.entry
            gateways = Gateways(plan.gateways, servers.url, entry.login("gateway"), folder, journal)
            stack.push_async_callback(gateways.end)
            await gateways.begin()
            crew = Crew(
                plan,
                folder,
                journal,
                url=servers.url,
                entry=entry,
                bootstrap=gateways.bootstrap,
            )
            stack.push_async_callback(crew.end)
            await crew.begin()
            await _conduct(plan, servers, crew, gateways, journal)
    finally:
        journal.close()
    events = await asyncio.to_thread(load, folder)
    anomalies = await asyncio.to_thread(judge, events, plan.promise)
    return Ran(plan, chosen.label, folder, events, anomalies)


async def _prepare(plan: Plan, servers: Servers) -> None:
    async with Admin(servers.inner_url, namespace=NAMESPACE, **servers.entry.ours()) as admin:
        await admin.create_topic(
            TOPIC, plan.partitions, config={"min.insync.replicas": plan.min_insync_replicas}
        )
    await asyncio.to_thread(servers.filled)


async def _conduct(
    plan: Plan, servers: Servers, crew: Crew, gateways: Gateways, journal: Journal
) -> None:
    async def strike_servers(blow: Blow) -> str:
        if blow.name == "promote_in_rebalance":
            crew.stir(plan.group_of(blow))
        return await servers.strike(blow)

    async def strike_clients(blow: Blow) -> str:
        one = gateways if blow.name in GATEWAY_FAULTS else crew
        return await one.strike(blow)

    until = now() + plan.seconds
    async with asyncio.TaskGroup() as tracks:
        tracks.create_task(_strike(plan.server_blows, until, strike_servers, journal))
        tracks.create_task(_strike(plan.client_blows, until, strike_clients, journal))
        tracks.create_task(_strike(plan.group_blows, until, crew.switch, journal))
    calm = now()
    journal.write(Calm(calm))
    ours = servers.entry.ours()
    async with Admin(servers.inner_url, namespace=NAMESPACE, **ours) as admin:
        groups = plan.groups
        await asyncio.gather(*(_converge(admin, group, plan, calm, journal) for group in groups))
        await asyncio.sleep(max(0.0, calm + _PEACE_S - now()))
        await _count_links(servers, journal)
        if await crew.tell("finish", "finished", _BOUND_S):
            await asyncio.gather(*(_catch_up(admin, group, journal) for group in groups))
            await crew.tell("drain", "drained", _BOUND_S)
    await crew.end()
    await gateways.finish()
    await _read_all(servers.inner_url, ours, plan.groups, journal)


async def _strike(
    blows: Iterable[Blow], until: float, strike: Callable[[Blow], Awaitable[str]], journal: Journal
) -> None:
    """One blow after the other, as many as there is time for."""
    for blow in blows:
        if now() + blow.gap > until:
            return
        await asyncio.sleep(blow.gap)
        journal.write(Fault(now(), blow.name, ""))
        what = await strike(blow)
        journal.write(FaultOver(now(), f"{blow.name}: {what}"))


# Afterwards.


async def _look(look: Callable[[], Awaitable[str]]) -> str:
    """Look again and again until nothing is missing; what is missing at the end, if anything."""
    deadline = now() + _BOUND_S
    while True:
        try:
            missing = await look()
        except PartstreamError as error:
            missing = repr(error)
        if not missing or now() > deadline:
            return missing
        await asyncio.sleep(0.1)


async def _converge(admin: Admin, group: str, plan: Plan, calm: float, journal: Journal) -> None:
    async def look() -> str:
        found = await admin.describe_group(group)
        owned = [row for member in found.members for row in member.assignment]
        if found.state is GroupState.STABLE and len(owned) == len(set(owned)) == plan.partitions:
            return ""
        return f"{found.state.name}, {len(owned)} of {plan.partitions} owned: {found}"

    missing = await _look(look)
    if missing:
        journal.write(Stuck(now(), f"group {group}", missing))
    else:
        journal.write(Converged(now(), now() - calm, group))


async def _count_links(servers: Servers, journal: Journal) -> None:
    """Write down who is connected to whom, without what comes and goes."""
    looks = []
    for pause in (0.0, *_LOOKS_S):
        await asyncio.sleep(pause)
        looks.append(await asyncio.to_thread(servers.links))
    followed = await asyncio.to_thread(servers.followed)
    for server, primary in followed.items():
        lasting = reduce(and_, (look[server] for look in looks))
        where, follows = f"server {server.port}", f"server {primary.port}" if primary else ""
        journal.write(
            *(
                Linked(now(), where, follows, client, count)
                for client, count in sorted(lasting.items())
            )
        )


async def _catch_up(admin: Admin, group: str, journal: Journal) -> None:
    async def look() -> str:
        found = await admin.describe_group(group)
        behind = {
            lag.partition.partition: lag for lag in found.lags if lag.lag != 0 and lag.end_offset
        }
        return f"behind: {behind}" if behind else ""

    missing = await _look(look)
    if missing:
        journal.write(Stuck(now(), f"group {group}", missing))


async def _read_all(
    url: str, ours: dict[str, Any], groups: Sequence[str], journal: Journal
) -> None:
    """Write down what the logs and the groups hold."""
    store = await Store.connect(url, namespace=NAMESPACE, options=ours)
    topics = Topics(store)
    try:
        topic = await topics.get(TOPIC, fresh=True)
        await _read_logs(store, topic, journal)
    except UnknownTopicOrPartition as error:
        journal.write(Crashed(now(), "the topic", repr(error)))
    finally:
        topics.close()
        await store.close()
    async with Admin(url, namespace=NAMESPACE, **ours) as admin:
        for group in groups:
            offsets = await admin.list_group_offsets(group)
            journal.write(
                *(Committed(row.partition, at.offset, group) for row, at in offsets.items())
            )


def _producer(batch: bytes) -> str:
    header = parse(batch)
    return f"{header.producer_id} in epoch {header.producer_epoch}"


async def _read_logs(store: Store, topic: Topic, journal: Journal) -> None:
    log = Log(store)
    for partition in topic.partitions:
        try:
            inside = await check(store, partition)
        except AssertionError as error:
            journal.write(Crashed(now(), f"the keys of {partition}", str(error)))
            continue
        bounds = await log.bounds(partition)
        epochs = len(inside.state["epochs"].split())
        journal.write(LogEnd(partition.index, bounds.start, bounds.end, epochs))
        for stored in await stored_from(store, partition, bounds.start):
            journal.write(
                *(
                    Stored(
                        partition.index,
                        record.offset,
                        stored.leader_epoch,
                        record.key.decode(),
                        record.value.decode(),
                        _producer(stored.payload),
                    )
                    for record in records_of(partition, stored)
                )
            )
