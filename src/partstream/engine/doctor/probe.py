"""Gathers facts: asks every primary, and tries out what scripts and doorbells need.

Nothing here fails because a server refuses something; what it refuses is a fact, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from partstream.engine.descriptions import describe_topic
from partstream.engine.doctor.facts import Facts, NodeFacts
from partstream.engine.log import Log
from partstream.engine.topics import Topics
from partstream.errors import PartstreamError, StoreUnavailable, UnknownTopicId
from partstream.model import TopicDescription
from partstream.store.node import Node
from partstream.store.scripts import Script
from partstream.store.slots import SLOTS
from partstream.store.store import Store

_PROBE = Script("store/probe")
_RING_WITHIN_S = 2.0


async def gather_facts(store: Store, topics: Topics) -> Facts:
    """Ask everything that the rules need.

    Raises:
        StoreUnavailable: no primary answers at all.
    """
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
                clock=times[address],
            )
        )
    return Facts(
        namespace=store.namespace,
        is_cluster=store.router.is_cluster,
        uncovered_slots=uncovered,
        nodes=tuple(nodes),
        topics=await _topics(store, topics),
    )


async def _topics(store: Store, topics: Topics) -> tuple[TopicDescription, ...]:
    described = []
    for topic in (await topics.all()).values():
        try:
            described.append(await describe_topic(store, Log(store), topic))
        except UnknownTopicId:
            continue  # deleted while we looked
    return tuple(described)


async def _node(
    store: Store, node: Node, slot: int, *, info: Any, config: Any, clock: Any
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
        version=tuple(int(part) for part in version.split(".") if part.isdigit()),
        info=fields,
        info_refusal=info_refusal,
        config=dict(zip(texts[::2], texts[1::2], strict=False)),
        config_refusal=config_refusal,
        refused=await _refused(store, slot),
        bell=await _bell(store, slot),
        clock_ahead_ms=_ahead(clock),
    )


def parse_info(answer: bytes) -> dict[str, str]:
    """The lines of INFO as names and values."""
    lines = answer.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


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


def _ahead(clock: Any) -> int:
    if not isinstance(clock, list):
        return 0
    return int(clock[0]) * 1000 + int(clock[1]) // 1000 - int(time.time() * 1000)
