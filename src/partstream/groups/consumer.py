"""The rules of a consumer group (KIP-848): who is to own what, and how each member gets there.

`plan` decides for the group: a target assignment for all its members. `reconcile` decides for one
member: the next step from what it owns to its target. Both are pure; the scripts only make sure
that what a decision was based on is still so when it is written down.

A partition never has two owners, because a step gives one up only after the member itself has
said that it let go, and takes one only if nobody has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from partstream.groups import patterns
from partstream.groups.assignors import ASSIGNORS, DEFAULT_ASSIGNOR
from partstream.groups.rows import (
    NOTHING,
    REVOKING,
    STABLE,
    WAITING,
    MemberRow,
    Partitions,
    Subscription,
    TopicIdPartition,
    decode_partitions,
    encode_partitions,
)
from partstream.model import GroupState


class Catalog:
    """The topics there are, by name, at one moment."""

    def __init__(self, topics: Mapping[str, tuple[str, int]]) -> None:
        self.topics = topics
        """name -> (topic id, how many partitions)."""
        self.fingerprint = _fingerprint(topics.items())
        """Equal for equal catalogs, in every process; changes when any topic does."""

    def part(self, names: Iterable[str]) -> str:
        """The fingerprint of these topics alone; names without a topic do not count."""
        return _fingerprint((name, self.topics[name]) for name in names if name in self.topics)

    def partitions(self, names: Iterable[str]) -> Partitions:
        """All partitions of these topics."""
        known = [self.topics[name] for name in names if name in self.topics]
        return frozenset((topic_id, number) for topic_id, size in known for number in range(size))


def _fingerprint(topics: Iterable[tuple[str, tuple[str, int]]]) -> str:
    text = "\n".join(f"{name} {known[0]} {known[1]}" for name, known in sorted(topics))
    return blake2b(text.encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class Plan:
    """A target assignment, as far as it differs from the one before."""

    assignor: str
    changed: dict[str, str]
    """member -> its new target, encoded; only members whose target is another one now."""
    fingerprint: str
    """Of the topics that the group subscribes to: if it changes, there is a new plan to make."""


def subscribed_names(subscription: Subscription, catalog: Catalog) -> frozenset[str]:
    """The names of the topics that a member means: those it lists, and those its regex matches."""
    names = set(subscription.topics)
    if subscription.regex is not None:
        names.update(patterns.matching(subscription.regex, catalog.topics))
    return frozenset(names)


def _resolved(
    subscriptions: Mapping[str, Subscription], catalog: Catalog
) -> dict[str, frozenset[str]]:
    """member -> the names of its topics. Members mostly want the same: resolved once."""
    known: dict[tuple[tuple[str, ...], str | None], frozenset[str]] = {}
    result = {}
    for member, subscription in subscriptions.items():
        wanted = (subscription.topics, subscription.regex)
        if wanted not in known:
            known[wanted] = subscribed_names(subscription, catalog)
        result[member] = known[wanted]
    return result


def relevant_fingerprint(subscriptions: Mapping[str, Subscription], catalog: Catalog) -> str:
    """The fingerprint of the topics that a group subscribes to."""
    return catalog.part(frozenset().union(*_resolved(subscriptions, catalog).values()))


def preferred_assignor(subscriptions: Mapping[str, Subscription]) -> str:
    """The assignor that most members ask for; `uniform` if none does."""
    votes = Counter(s.assignor for s in subscriptions.values() if s.assignor in ASSIGNORS)
    if not votes:
        return DEFAULT_ASSIGNOR
    most = max(votes.values())
    return min(name for name, count in votes.items() if count == most and name is not None)


def plan(
    subscriptions: Mapping[str, Subscription], catalog: Catalog, targets: Mapping[str, str]
) -> Plan:
    """A new target assignment for a group, close to the one it has."""
    names = _resolved(subscriptions, catalog)
    ids = {
        wanted: frozenset(catalog.topics[name][0] for name in wanted if name in catalog.topics)
        for wanted in set(names.values())
    }
    assignor = preferred_assignor(subscriptions)
    assigned = ASSIGNORS[assignor](
        {member: ids[wanted] for member, wanted in names.items()},
        dict(catalog.topics.values()),
        {member: decode_partitions(target) for member, target in targets.items()},
    )
    encoded = {member: encode_partitions(partitions) for member, partitions in assigned.items()}
    return Plan(
        assignor,
        {member: text for member, text in encoded.items() if targets.get(member, "") != text},
        catalog.part(frozenset().union(*names.values())),
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What one member is to apply, and what that does to the partitions."""

    row: MemberRow
    """The member's new row; the script numbers it (`seq`)."""
    acquire: Partitions = NOTHING
    """Taken now; each must still be free when the step is applied."""
    release: Partitions = NOTHING
    """Given up now, for others to take."""
    want: Partitions = NOTHING
    """Of the target, but others still own them: the member is rung when they are free."""


def reconcile(
    row: MemberRow,
    target: Partitions,
    target_epoch: int,
    busy: Collection[TopicIdPartition],
    still_owned: Collection[TopicIdPartition] | None,
) -> Step | None:
    """The member's next step towards its target; None if there is none to take now.

    Revocations come first, and hold the member's epoch until they are done. After that it moves
    on to the target's epoch, with whatever of its target is free; the rest follows one by one.

    Args:
        row: What the member has applied.
        target: What it is to own.
        target_epoch: The epoch of that target.
        busy: Those of `target` that other members own.
        still_owned: What the member says that it owns, having seen this very row; None if it does
            not say, or has not seen it. Only this counts as an acknowledgement.
    """
    if row.revoking:
        if still_owned is None or not row.revoking.isdisjoint(still_owned):
            return None
    elif row.epoch >= target_epoch and row.assigned == target:
        return None
    kept = row.assigned & target
    revoke = row.assigned - target
    if revoke:
        return Step(
            MemberRow(row.epoch, row.previous_epoch, 0, row.incarnation, REVOKING, kept, revoke),
            release=row.revoking,
        )
    want = (target - kept).intersection(busy)
    acquire = target - kept - want
    state = WAITING if want else STABLE
    # A member that has just joined is ahead of the target, which does not know it yet.
    epoch = max(row.epoch, target_epoch)
    previous = row.epoch if row.epoch != epoch else row.previous_epoch
    if (row.epoch, row.state) == (epoch, WAITING) and want and not acquire:
        return None
    return Step(
        MemberRow(epoch, previous, 0, row.incarnation, state, kept | acquire),
        acquire,
        # What it let go of may be its own again by a newer target.
        row.revoking - acquire,
        want,
    )


def group_state(epoch: int, target_epoch: int, rows: Collection[MemberRow]) -> GroupState:
    """The state of a group as Kafka shows it."""
    if not rows:
        return GroupState.EMPTY
    if epoch > target_epoch:
        return GroupState.ASSIGNING
    if any(row.state != STABLE or row.epoch != target_epoch for row in rows):
        return GroupState.RECONCILING
    return GroupState.STABLE
