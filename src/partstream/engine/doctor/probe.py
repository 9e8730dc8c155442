"""Gathers facts: asks every primary, and tries out what scripts and doorbells need.

Nothing here fails because a server refuses something; what it refuses is a fact, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from partstream.engine.descriptions import describe_topic
from partstream.engine.doctor.facts import ClusterFacts, Facts, NodeFacts, ReplicaFacts, parse_info
from partstream.engine.log import Log
from partstream.engine.topics import Topics
from partstream.errors import PartstreamError, StoreUnavailable, UnknownTopicId
from partstream.model import TopicDescription
from partstream.store.node import Node
from partstream.store.scripts import Script
from partstream.store.slots import SLOTS
from partstream.store.store import Store
from partstream.store.target import Address, Kind

_PROBE = Script("store/probe")
_RING_WITHIN_S = 2.0


async def gather_facts(store: Store, topics: Topics) -> Facts:
    """Ask everything that the rules need.

    Raises:
        StoreUnavailable: no primary answers at all.
    """
    await store.router.refresh()  # a client that idles does not hear of what has moved
    infos = await store.each_primary("INFO")
    configs = await store.each_primary("CONFIG", "GET", "*")
    times = await store.each_primary("TIME")
    first_slots: dict[Node, int] = {}
    uncovered = 0
    for slot in range(SLOTS):
        try:
            first_slots.setdefault(store.router.node(slot), slot)
        except StoreUnavailable:
            uncovered += 1
    ahead = {address: _ahead(clock) for address, clock in times.items()}
    nodes = []
    for node, slot in first_slots.items():
        address = str(node.address)
        nodes.append(
            await _node(
                store,
                node,
                slot,
                info=infos[address],
                config=configs[address],
                clock_ahead_ms=ahead[address],
            )
        )
    return Facts(
        namespace=store.namespace,
        is_cluster=store.router.is_cluster,
        uncovered_slots=uncovered,
        nodes=tuple(nodes),
        topics=await _topics(store, topics),
        by_sentinels=store.target.kind is Kind.SENTINEL,
        replicas=await _replicas(store, first_slots, nodes),
        cluster=await _cluster(store),
    )


async def _replicas(
    store: Store, first_slots: Mapping[Node, int], nodes: Sequence[NodeFacts]
) -> tuple[ReplicaFacts, ...]:
    """Those that the cluster names, or else those that each primary names."""
    named = [
        (replica, str(store.router.placement(slot).address))
        for slot in first_slots.values()
        for replica in store.router.placement(slot).replicas
    ] or [
        (Address(row["ip"], int(row["port"])), node.address)
        for node in nodes
        for row in node.replicas
        if "ip" in row and row.get("port", "").isdigit()
    ]
    return tuple(await asyncio.gather(*(_replica(store, *one) for one in named)))


async def _replica(store: Store, address: Address, primary: str) -> ReplicaFacts:
    try:
        greeting, clock = await store.ask_once(address, "TIME")
    except PartstreamError as error:
        return ReplicaFacts(str(address), primary, refusal=str(error))
    return ReplicaFacts(
        str(address), primary, greeting.server, _version(greeting.version), _ahead(clock)
    )


async def _cluster(store: Store) -> ClusterFacts:
    """What the primaries say together: each knows only of its own slots that they move."""
    if not store.router.is_cluster:
        return ClusterFacts()
    answers = (await store.each_primary("CLUSTER", "NODES")).values()
    views = [parse_nodes(text) for text in answers if isinstance(text, bytes)]
    return ClusterFacts(
        failed=tuple(sorted({node for view in views for node in view.failed})),
        half_moved=tuple(sorted({slot for view in views for slot in view.half_moved})),
        without_slots=tuple(sorted({node for view in views for node in view.without_slots})),
    )


def parse_nodes(answer: bytes) -> ClusterFacts:
    """The lines of CLUSTER NODES: id, ip:port@bus,host, flags, primary, ..., slots."""
    failed: list[str] = []
    without_slots: list[str] = []
    half_moved: set[int] = set()
    for line in answer.decode(errors="replace").splitlines():
        words = line.split()
        address, flags = words[1].partition("@")[0], words[2].split(",")
        if {"fail", "fail?"} & set(flags):
            failed.append(address)
        elif "master" in flags and not words[8:]:
            without_slots.append(address)
        half_moved.update(
            int(word[1:].partition("-")[0]) for word in words[8:] if word.startswith("[")
        )
    return ClusterFacts(tuple(failed), tuple(sorted(half_moved)), tuple(without_slots))


async def _topics(store: Store, topics: Topics) -> tuple[TopicDescription, ...]:
    described = []
    for topic in (await topics.all()).values():
        try:
            described.append(await describe_topic(store, Log(store), topic))
        except UnknownTopicId:
            continue  # deleted while we looked
    return tuple(described)


async def _node(
    store: Store, node: Node, slot: int, *, info: Any, config: Any, clock_ahead_ms: int
) -> NodeFacts:
    greeting = node.greeting
    version = greeting.version if greeting else ""
    fields = parse_info(info) if isinstance(info, bytes) else {}
    info_refusal = str(info) if isinstance(info, PartstreamError) else ""
    if not info_refusal and not fields.get("master_replid"):
        info_refusal = "its answer leaves out the section `replication`"
    pairs = config if isinstance(config, list) else []
    texts = [part.decode(errors="replace") for part in pairs]
    config_refusal = str(config) if isinstance(config, PartstreamError) else ""
    if not config_refusal and not texts:
        config_refusal = "its answer is empty"
    return NodeFacts(
        address=str(node.address),
        product=greeting.server if greeting else "",
        version=_version(version),
        info=fields,
        info_refusal=info_refusal,
        config=dict(zip(texts[::2], texts[1::2], strict=False)),
        config_refusal=config_refusal,
        refused=await _refused(store, slot),
        bell=await _bell(store, slot),
        clock_ahead_ms=clock_ahead_ms,
    )


async def _refused(store: Store, slot: int) -> Mapping[str, str]:
    """Run a script that does once what the others do, and see what it is not allowed to."""
    key = store.keys.probe(slot)
    try:
        answer = await store.run(_PROBE, [key], [], idempotent=True)
    except PartstreamError as error:
        return {"EVALSHA": str(error)}
    texts = [part.decode(errors="replace") for part in answer]
    return dict(zip(texts[::2], texts[1::2], strict=True))


async def _bell(store: Store, slot: int) -> str:
    """Ring a doorbell of our own, and see whether it is heard."""
    channel = store.keys.probe(slot)
    rung = asyncio.Event()
    try:
        async with asyncio.timeout(_RING_WITHIN_S):
            watch = await store.bells.watch(channel, rung.set)
            try:
                if store.bells.refusal is not None:
                    return str(store.bells.refusal)
                rung.clear()
                await store.execute("SPUBLISH", channel, "", key=channel)
                await rung.wait()
            finally:
                watch.cancel()
    except TimeoutError:
        return f"a message on channel {channel!r} did not arrive within {_RING_WITHIN_S:g} s"
    except PartstreamError as error:
        return str(error)
    return ""


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _ahead(clock: Any) -> int:
    if not isinstance(clock, list):
        return 0
    return int(clock[0]) * 1000 + int(clock[1]) // 1000 - int(time.time() * 1000)
