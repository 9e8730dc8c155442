"""Moves slots between primaries in the steps of Redis's own protocol, so a test can stop between.

See https://redis.io/docs/latest/commands/cluster-setslot/ for why the order is this one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from partstream.embedded import resp
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.cluster_node import SLOTS, ClusterNode
from partstream.embedded.movable import LIMIT, is_carried
from partstream.embedded.process import ServerProcess
from partstream.errors import IllegalState, StoreUnavailable

_BATCH = 100
_AT_ONCE = 1_024
_CONNECTIONS = 32
_TELLINGS = 5
_AGREE_WITHIN_S = 5.0
_MIGRATE_TIMEOUT_MS = 60_000
_LOOK_S = 0.02


class SlotMove:
    """One slot on its way from its primary to another one."""

    def __init__(
        self,
        cluster: EmbeddedCluster,
        slot: int,
        target: ClusterNode,
        source: ClusterNode | None = None,
    ) -> None:
        """Look up who has the slot, unless `source` says it."""
        self._cluster = cluster
        self.slot = slot
        self.source: ClusterNode = source or cluster.owner_of(slot)
        self.target = target

    def begin(self) -> None:
        """Open the slot on both sides: from now on absent keys are asked for at the target."""
        self.target.command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.source.node_id())
        self.source.command("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.target.node_id())

    def move_keys(self, limit: int | None = None) -> int:
        """Move keys over, all of them or at most `limit`; returns how many."""
        moved = 0
        while limit is None or moved < limit:
            count = _BATCH if limit is None else min(_BATCH, limit - moved)
            keys = self.source.command("CLUSTER", "GETKEYSINSLOT", self.slot, count)
            assert isinstance(keys, list)
            if not keys:
                break
            self.source.command(
                "MIGRATE",
                self.target.host,
                self.target.port,
                "",
                0,
                _MIGRATE_TIMEOUT_MS,
                *_login(self.source),
                "KEYS",
                *(key for key in keys if isinstance(key, bytes)),
                timeout=_MIGRATE_TIMEOUT_MS / 1000 + 5,
            )
            moved += len(keys)
        return moved

    def finish(self) -> None:
        """Give the slot to the target, which must have all its keys.

        Raises:
            CommandRefused: keys are left at the source.
        """
        name = self.target.node_id()
        # The target first: if the source went first and then failed, nobody would own the slot.
        self.target.command("CLUSTER", "SETSLOT", self.slot, "NODE", name)
        self.source.command("CLUSTER", "SETSLOT", self.slot, "NODE", name)
        for node in self._cluster.primaries():
            node.command("CLUSTER", "SETSLOT", self.slot, "NODE", name)


def move_slots(cluster: EmbeddedCluster, slots: Iterable[int], target: ClusterNode) -> None:
    """Move slots with their keys to another primary, key by key, until all nodes agree.

    Raises:
        StoreUnavailable: nobody serves one of the slots.
        IllegalState: a key is too large for MIGRATE; nothing was moved.
    """
    wanted = set(slots)
    served = cluster.slots_of()
    lost = wanted.difference(*served.values())
    if lost:
        raise StoreUnavailable(f"nobody serves slot {min(lost)}")
    for index, held in served.items():
        if index != target.index:
            check_movable(cluster.node(index), wanted.intersection(held), target)
    for index, held in served.items():
        chosen = sorted(wanted.intersection(held))
        source = cluster.node(index)
        if source is not target:
            for start in range(0, len(chosen), _AT_ONCE):
                _move_some(cluster, chosen[start : start + _AT_ONCE], source, target)
    _agree(cluster, sorted(wanted), target)


def check_movable(source: ServerProcess, slots: Iterable[int], target: ServerProcess) -> None:
    """Refuse slots with a key that MIGRATE cannot carry (see `movable`).

    Raises:
        IllegalState: there is one.
    """
    answer = target.command("CONFIG", "GET", LIMIT)
    assert isinstance(answer, list)
    limit = int(resp.text(answer[1]))
    for slot, count in _keys_in(source, slots):
        keys = source.command("CLUSTER", "GETKEYSINSLOT", slot, count)
        assert isinstance(keys, list)
        asked = [("MEMORY", "USAGE", key) for key in keys if isinstance(key, bytes)]
        for (_, _, key), size in zip(asked, source.commands(asked), strict=True):
            if isinstance(size, int) and not is_carried(size, limit):
                raise IllegalState(
                    f"slot {slot} cannot be moved key by key: {key.decode()} has "
                    f"{size >> 20} MiB, MIGRATE carries {limit >> 20} MiB ({LIMIT}); use atomic "
                    "slot migration (Valkey 9, Redis 8.4), or let retention make it smaller"
                )


def _keys_in(source: ServerProcess, slots: Iterable[int]) -> list[tuple[int, int]]:
    """Those of the slots that have keys, and how many."""
    ordered = sorted(slots)
    counts = source.commands([("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in ordered])
    return [
        (slot, count)
        for slot, count in zip(ordered, counts, strict=True)
        if isinstance(count, int) and count
    ]


def _move_some(
    cluster: EmbeddedCluster, slots: Sequence[int], source: ClusterNode, target: ClusterNode
) -> None:
    """The steps of `SlotMove` for several slots, each step for all of them at once."""
    here, name = source.node_id(), target.node_id()
    _tell(target, [("CLUSTER", "SETSLOT", slot, "IMPORTING", here) for slot in slots])
    _tell(source, [("CLUSTER", "SETSLOT", slot, "MIGRATING", name) for slot in slots])
    for slot, _ in _keys_in(source, slots):
        SlotMove(cluster, slot, target, source).move_keys()
    _give(cluster, slots, target, source)


def _give(
    cluster: EmbeddedCluster,
    slots: Sequence[int],
    target: ClusterNode,
    source: ClusterNode | None = None,
) -> None:
    """Tell all primaries whose the slots are now; the target first, as in `SlotMove.finish`."""
    name = target.node_id()
    first = (target,) if source is None else (target, source)
    for node in (*first, *(node for node in cluster.primaries() if node not in first)):
        _tell(node, [("CLUSTER", "SETSLOT", slot, "NODE", name) for slot in slots])


def _agree(cluster: EmbeddedCluster, slots: Sequence[int], target: ClusterNode) -> None:
    """Wait until all nodes agree that the slots are the target's.

    Gossip of before that arrives behind a command may undo it at that node (seen with Redis 7.0:
    one slot of ten then had no owner for good), so it is said again where it did not last.
    """
    for _ in range(_TELLINGS):
        with contextlib.suppress(StoreUnavailable):
            cluster.wait_settled(_AGREE_WITHIN_S)
            if set(slots) <= set(cluster.slots_of().get(target.index, ())):
                return
        _give(cluster, slots, target)
    cluster.wait_settled()


def _tell(node: ServerProcess, commands: Sequence[tuple[str | int, ...]]) -> None:
    """Many commands on several connections.

    Redis writes its view of the cluster to the disk once for all that come together; Valkey 8
    answers each SETSLOT only when the replicas have it, and so one after the other on a connection.
    One by one, half the slots of a cluster would take minutes with either.
    """
    slices = [commands[start::_CONNECTIONS] for start in range(_CONNECTIONS)]
    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        list(threads.map(node.commands, [part for part in slices if part]))


def move_at_once(
    cluster: EmbeddedCluster, slots: Iterable[int], target: ClusterNode, *, timeout: float = 60
) -> None:
    """Move slots with their keys to another primary by atomic slot migration.

    Keys are in one place at any time: the target first gets a copy of the slots, as a replica
    would, and then takes them over. Valkey 9 has it, and in its own way Redis 8.4.

    Raises:
        CommandRefused: the server does not have it.
        StoreUnavailable: it failed, or was not done within `timeout` seconds.
    """
    moving: dict[int, list[int]] = {}
    wanted = set(slots)
    for index, held in cluster.slots_of().items():
        chosen = sorted(wanted.intersection(held))
        if chosen and index != target.index:
            moving[index] = chosen
    deadline = time.monotonic() + timeout
    try:
        for index, chosen in moving.items():
            _push(cluster.node(index), chosen, target)
    except resp.CommandRefused as error:
        if not _is_unknown(error):
            raise
        for chosen in moving.values():
            _pull(chosen, target, deadline)
        moving = {}
    while not wanted <= set(cluster.slots_of().get(target.index, ())):
        for index in moving:
            _check_migration(cluster.node(index))
        if time.monotonic() > deadline:
            raise StoreUnavailable(f"the slots had not moved after {timeout:g} s")
        time.sleep(_LOOK_S)
    cluster.wait_settled()


def _push(source: ClusterNode, slots: Sequence[int], target: ClusterNode) -> None:
    """Begin a migration as Valkey has it: the source is told."""
    name = target.node_id()
    source.command("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *_bounds(slots), "NODE", name)


def _pull(slots: Sequence[int], target: ClusterNode, deadline: float) -> None:
    """A migration as Redis has it: the target is told, and tries until it is done or cancelled."""
    task = resp.text(target.command("CLUSTER", "MIGRATION", "IMPORT", *_bounds(slots)))
    while True:
        (status,) = _jobs(target.command("CLUSTER", "MIGRATION", "STATUS", "ID", task))
        if status["state"] == "completed":
            return
        if status["state"] == "canceled" or time.monotonic() > deadline:
            target.command("CLUSTER", "MIGRATION", "CANCEL", "ID", task)
            why = status["last_error"] or f"the state is {status['state']}"
            raise StoreUnavailable(f"slots did not move: {why}")
        time.sleep(_LOOK_S)


def _bounds(slots: Iterable[int]) -> list[int]:
    """The first and the last of each range of slots."""
    return [bound for pair in ranges_of(slots) for bound in pair]


def _is_unknown(error: resp.CommandRefused) -> bool:
    return "unknown subcommand" in str(error).lower()


def spread_slots(cluster: EmbeddedCluster, primaries: Sequence[ClusterNode]) -> None:
    """Give all slots to these primaries, each a range of the same size, moving no more than needed.

    One range each, and of the same size: then partitions spread evenly, too. At once where the
    server has that (half a minute less), else key by key.
    """
    plan = even_ranges(cluster.slots_of(), [node.index for node in primaries])
    for index, slots in plan.items():
        target = cluster.node(index)
        try:
            move_at_once(cluster, slots, target)
        except resp.CommandRefused as error:
            if not _is_unknown(error):
                raise
            move_slots(cluster, slots, target)


def even_ranges(held: Mapping[int, Sequence[int]], primaries: Sequence[int]) -> dict[int, range]:
    """One range of slots for each primary: equal in size, and near what it holds now.

    Args:
        held: the number of a primary -> its slots now.
        primaries: the numbers of those that are to hold all slots.
    """
    middle = {index: sum(slots) / len(slots) for index, slots in held.items() if slots}
    ordered = sorted(primaries, key=lambda index: (middle.get(index, float("inf")), index))
    count = len(ordered)
    return {
        index: range(place * SLOTS // count, (place + 1) * SLOTS // count)
        for place, index in enumerate(ordered)
    }


def drain(cluster: EmbeddedCluster, primary: ClusterNode) -> None:
    """Move all slots of a primary to the others, evenly.

    Raises:
        StoreUnavailable: there is no other primary.
    """
    served = cluster.slots_of()
    others = [cluster.node(index) for index in served if index != primary.index]
    if not others:
        raise StoreUnavailable(f"node {primary.index} is the only primary")
    spread_slots(cluster, others)


def ranges_of(slots: Iterable[int]) -> list[tuple[int, int]]:
    """Slots as ranges, both ends included."""
    ranges: list[tuple[int, int]] = []
    for slot in sorted(slots):
        if ranges and ranges[-1][1] == slot - 1:
            ranges[-1] = (ranges[-1][0], slot)
        else:
            ranges.append((slot, slot))
    return ranges


def keys_in_slot(node: ServerProcess, slot: int) -> int:
    """How many keys of a slot a node holds."""
    count = node.command("CLUSTER", "COUNTKEYSINSLOT", slot)
    assert isinstance(count, int)
    return count


def slot_of(node: ServerProcess, key: str) -> int:
    """The slot of a key, as a server computes it."""
    slot = node.command("CLUSTER", "KEYSLOT", key)
    assert isinstance(slot, int)
    return slot


def _login(node: ServerProcess) -> tuple[str, ...]:
    """The words of MIGRATE that log in to the target, which has the same users."""
    if not node.password:
        return ()
    if node.username:
        return ("AUTH2", node.username, node.password)
    return ("AUTH", node.password)


def _check_migration(source: ServerProcess) -> None:
    """Fail if the last migration out of a node failed (Valkey)."""
    for job in _jobs(source.command("CLUSTER", "GETSLOTMIGRATIONS"))[:1]:
        if job.get("state") in ("failed", "cancelled"):
            raise StoreUnavailable(f"slots did not move: {job.get('message', job)}")


def _jobs(answer: resp.Reply) -> list[dict[str, str]]:
    """Migrations, each by the names of its fields."""
    assert isinstance(answer, list)
    jobs = []
    for job in answer:
        assert isinstance(job, list)
        texts = [resp.text(word) if isinstance(word, bytes) else str(word) for word in job]
        jobs.append(dict(zip(texts[::2], texts[1::2], strict=False)))
    return jobs
