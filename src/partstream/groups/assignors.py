"""The server-side assignors of KIP-848: who is to own which partition.

Both are deterministic (equal input, equal output, whoever computes it) and sticky (what a member
has it keeps, as far as balance allows). Each looks at all members and all partitions at once, and
knows nothing of members that are still letting go: reconciliation sees to that.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TypeAlias

from partstream.groups.rows import TopicIdPartition

Members: TypeAlias = "Mapping[str, Collection[str]]"
"""member -> the ids of the topics that it subscribes to."""
Sizes: TypeAlias = "Mapping[str, int]"
"""topic id -> how many partitions it has."""
Assignment: TypeAlias = "dict[str, set[TopicIdPartition]]"
Assignor: TypeAlias = (
    "Callable[[Members, Sizes, Mapping[str, Collection[TopicIdPartition]]], Assignment]"
)


def _subscribers(members: Members, sizes: Sizes) -> dict[tuple[str, ...], list[str]]:
    """Topics by who subscribes to them: (members, sorted) -> topics, sorted."""
    # Most members of a group subscribe to the same topics: those are looked at once.
    crowds: dict[frozenset[str], list[str]] = {}
    for member in sorted(members):
        crowds.setdefault(frozenset(members[member]), []).append(member)
    by_topic: dict[str, list[str]] = {}
    for topics, crowd in crowds.items():
        for topic in topics:
            if topic in sizes:
                by_topic.setdefault(topic, []).extend(crowd)
    classes: dict[tuple[str, ...], list[str]] = {}
    for topic in sorted(by_topic):
        classes.setdefault(tuple(sorted(by_topic[topic])), []).append(topic)
    return classes


def uniform(
    members: Members,
    sizes: Sizes,
    current: Mapping[str, Collection[TopicIdPartition]],
) -> Assignment:
    """Spread partitions evenly by count, and move few of them.

    Members with equal subscriptions end up with equal numbers of partitions, give or take one.
    With unequal ones it is as even as the subscriptions allow.
    """
    classes = _subscribers(members, sizes)
    class_of = {topic: crowd for crowd, topics in classes.items() for topic in topics}
    result, taken = _keep(members, sizes, current)
    loads = {member: len(partitions) for member, partitions in result.items()}
    # The topics with the fewest subscribers first: they have the least choice.
    for crowd in sorted(classes, key=lambda crowd: (len(crowd), crowd)):
        free = (
            (topic, number)
            for topic in classes[crowd]
            for number in range(sizes[topic])
            if (topic, number) not in taken
        )
        _hand_out(free, crowd, result, loads)
    for crowd in classes:
        _even_out(crowd, class_of, result, loads)
    if len(classes) > 1:
        _even_out_between(class_of, result, loads)
    return result


def _keep(
    members: Members,
    sizes: Sizes,
    current: Mapping[str, Collection[TopicIdPartition]],
) -> tuple[Assignment, set[TopicIdPartition]]:
    """What everybody has and may keep, and all of it together."""
    result: Assignment = {}
    taken: set[TopicIdPartition] = set()
    for member in sorted(members):
        topics = members[member]
        kept = {
            partition
            for partition in current.get(member, ())
            if partition not in taken
            and partition[1] < sizes.get(partition[0], 0)
            and partition[0] in topics
        }
        taken |= kept
        result[member] = kept
    return result, taken


def _hand_out(
    free: Iterable[TopicIdPartition],
    crowd: Collection[str],
    result: Assignment,
    loads: dict[str, int],
) -> None:
    """Give each free partition to whoever of the crowd has the fewest."""
    heap = [(loads[member], member) for member in crowd]
    heapq.heapify(heap)
    for partition in free:
        load, member = heap[0]
        result[member].add(partition)
        loads[member] = load + 1
        heapq.heapreplace(heap, (load + 1, member))


def _even_out(
    crowd: tuple[str, ...],
    class_of: Mapping[str, tuple[str, ...]],
    result: Assignment,
    loads: dict[str, int],
) -> None:
    """Move partitions within a crowd, from the most loaded to the least."""
    low = [(loads[member], member) for member in crowd]
    least = min(low)[0]
    if max(low)[0] - least <= 1:
        return
    # Only who has two more than the least loaded can ever give one away.
    movable = {
        member: sorted((p for p in result[member] if class_of[p[0]] is crowd), key=_by_number)
        for load, member in low
        if load > least + 1
    }
    high = [(-loads[member], member) for member, partitions in movable.items() if partitions]
    heapq.heapify(low)
    heapq.heapify(high)
    while high:
        giver_load, giver = -high[0][0], high[0][1]
        taker_load, taker = low[0]
        if taker_load != loads[taker]:
            heapq.heapreplace(low, (loads[taker], taker))
            continue
        if giver_load - taker_load <= 1:
            break
        partition = movable[giver].pop()
        result[giver].remove(partition)
        result[taker].add(partition)
        loads[giver] -= 1
        loads[taker] += 1
        heapq.heapreplace(low, (loads[taker], taker))
        if movable[giver]:
            heapq.heapreplace(high, (-loads[giver], giver))
        else:
            heapq.heappop(high)


def _even_out_between(
    class_of: Mapping[str, tuple[str, ...]], result: Assignment, loads: dict[str, int]
) -> None:
    """Move partitions along chains: one gives to a second, who gives something else to a third.

    While a chain leads from a member to one with at least two partitions less, the numbers are
    not as even as they could be; when there is none, they are.
    """
    open_members = set(result)
    while open_members:
        start = max(open_members, key=lambda member: (loads[member], member))
        if loads[start] - min(loads[member] for member in open_members) <= 1:
            return
        came_from = _chain(start, class_of, result, loads, open_members)
        end = next(reversed(came_from))
        if loads[start] - loads[end] <= 1:
            # No chain leads out of what was reached, and nobody in it has too little: closed.
            open_members.difference_update(came_from)
            continue
        loads[start] -= 1
        loads[end] += 1
        while end != start:
            giver, crowd = came_from[end]
            partition = min(p for p in result[giver] if class_of[p[0]] is crowd)
            result[giver].remove(partition)
            result[end].add(partition)
            end = giver


def _chain(
    start: str,
    class_of: Mapping[str, tuple[str, ...]],
    result: Assignment,
    loads: Mapping[str, int],
    open_members: Collection[str],
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Who can be reached from `start`: member -> who would give to it, and of which crowd.

    It ends with the first that has at least two partitions less, if there is one.
    """
    came_from: dict[str, tuple[str, tuple[str, ...]]] = {start: (start, ())}
    queue = [start]
    seen: set[int] = set()
    for giver in queue:
        for crowd in {id(c): c for c in (class_of[p[0]] for p in sorted(result[giver]))}.values():
            if id(crowd) in seen:
                continue
            seen.add(id(crowd))
            for taker in crowd:
                if taker in came_from or taker not in open_members:
                    continue
                came_from[taker] = giver, crowd
                if loads[start] - loads[taker] > 1:
                    return came_from
                queue.append(taker)
    return came_from


def _by_number(partition: TopicIdPartition) -> tuple[int, str]:
    """Sorts so that what moves together comes from all topics alike."""
    return partition[1], partition[0]


def range_(
    members: Members,
    sizes: Sizes,
    current: Mapping[str, Collection[TopicIdPartition]],
) -> Assignment:
    """Give partitions with equal numbers to one member, so that topics can be joined by key.

    It holds for topics that have equal numbers of partitions and the same subscribers. A first
    assignment gives each member one contiguous range; later ones move as little as they can.
    """
    result: Assignment = {member: set() for member in sorted(members)}
    had: dict[TopicIdPartition, str] = {
        partition: member for member in sorted(current) for partition in current[member]
    }
    for crowd, topics in _subscribers(members, sizes).items():
        by_size: dict[int, list[str]] = {}
        for topic in topics:
            by_size.setdefault(sizes[topic], []).append(topic)
        for size in sorted(by_size):
            alike = by_size[size]
            # The first topic that somebody has speaks for all of them.
            owners = [
                next((had[(topic, n)] for topic in alike if (topic, n) in had), None)
                for n in range(size)
            ]
            for number, member in enumerate(_ranges(crowd, owners)):
                result[member].update((topic, number) for topic in alike)
    return result


def _ranges(crowd: tuple[str, ...], owners: list[str | None]) -> list[str]:
    """number -> member, even to within one; who has a number keeps it while there is room."""
    share, larger = divmod(len(owners), len(crowd))
    had = dict.fromkeys(crowd, 0)
    for owner in owners:
        if owner in had:
            had[owner] += 1
    # Who already has more than its share gets the odd one; then the first in the alphabet.
    order = sorted(crowd, key=lambda member: (had[member] <= share, member))
    room = {member: share + (rank < larger) for rank, member in enumerate(order)}
    kept: list[str | None] = []
    for owner in owners:
        keeps = owner is not None and room.get(owner, 0) > 0
        if keeps and owner is not None:
            room[owner] -= 1
        kept.append(owner if keeps else None)
    takers = (member for member in crowd for _ in range(room[member]))
    return [owner if owner is not None else next(takers) for owner in kept]


ASSIGNORS: dict[str, Assignor] = {"uniform": uniform, "range": range_}
"""By Kafka's names; the first is the default."""
DEFAULT_ASSIGNOR = "uniform"
