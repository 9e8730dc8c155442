"""What the scripts of a consumer group do, in memory: their guards and nothing else.

That it is what they really do is tested on servers, by `test_groups_scripts.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from partstream.errors import (
    FencedInstanceId,
    FencedMemberEpoch,
    UnknownMemberId,
    UnreleasedInstanceId,
)
from partstream.groups.consumer import Plan, Step
from partstream.groups.requests import HeartbeatRequest
from partstream.groups.rows import (
    LEFT_STATIC,
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


class View(NamedTuple):
    """All that a member's next step depends on."""

    row: MemberRow
    target: Partitions
    epoch: int
    target_epoch: int
    seen: str
    busy: frozenset[TopicIdPartition]
    moved_from: int | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat says."""

    member: str
    instance: str | None
    epoch: int
    owned: Partitions
    seen: int
    fingerprint: str = ""
    """Of the topics, as whoever received it knows them."""


class Made(NamedTuple):
    """A target assignment, and what it was made from."""

    epoch: int
    target_epoch: int
    plan: Plan
    fingerprint: str


class Review(NamedTuple):
    """Topics have changed, and somebody has looked whether it matters."""

    old: str
    new: str
    matters: bool


def what_matters(subscription: Subscription) -> str:
    """The part of a subscription that an assignment depends on."""
    return subscription.encode().split("\n")[0]


class State:
    """A group's rows, and a method for each script."""

    def __init__(self) -> None:
        self.epoch = self.target_epoch = 1
        self.seq = 0
        self.seen = self.topics = self.assignor = ""
        self.rows: dict[str, MemberRow] = {}
        self.targets: dict[str, str] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.owner: dict[TopicIdPartition, str] = {}
        self.instances: dict[str, str] = {}

    def join(self, request: HeartbeatRequest, incarnation: int) -> tuple[bool, View]:
        member, instance = request.member_id, request.instance_id
        before = self.instances.get(instance, member) if instance is not None else member
        row, subscription = self.rows.get(before), request.subscription()
        if row is not None and before != member and row.epoch != LEFT_STATIC:
            raise UnreleasedInstanceId
        if row is not None and before == member:
            if incarnation == row.incarnation and row.epoch != LEFT_STATIC:
                return True, self._view(member)
            if incarnation < row.incarnation:
                raise FencedMemberEpoch
        if row is not None and row.epoch == LEFT_STATIC:
            old = self.subscriptions.pop(before)
            target = self.targets.pop(before, "")
            del self.rows[before]
            self.owner.update(dict.fromkeys(row.assigned, member))
            self.targets[member] = target
            self._write(
                member,
                MemberRow(row.previous_epoch, 0, 0, incarnation, row.state, row.assigned),
            )
            in_the_making = before != member and self.epoch != self.target_epoch
            self.epoch += in_the_making or what_matters(old) != what_matters(subscription)
        else:
            if row is not None:
                self._release(row.assigned | row.revoking)
            self.epoch += 1
            self._write(member, MemberRow(self.epoch, 0, 0, incarnation, STABLE))
        self.subscriptions[member] = subscription
        if instance is not None:
            self.instances[instance] = member
        return False, self._view(member)

    def beat(self, beat: Beat) -> View:
        row = self._row(beat.member, beat.instance)
        if row.epoch == LEFT_STATIC or beat.epoch not in (row.epoch, row.previous_epoch):
            raise FencedMemberEpoch
        moves = row.state == STABLE and self.epoch == self.target_epoch != row.epoch == beat.epoch
        if moves and self.targets.get(beat.member, "") == encode_partitions(row.assigned):
            moved = replace(row, epoch=self.target_epoch, previous_epoch=row.epoch)
            self._write(beat.member, moved)
            return self._view(beat.member)._replace(moved_from=row.seq)
        return self._view(beat.member)

    def look(self, member: str) -> View:
        return self._view(member)

    def apply(self, member: str, read: MemberRow, target_epoch: int, step: Step) -> View:
        row = self._row(member, None)
        taken = any(self.owner.get(p, member) != member for p in step.acquire)
        if row == read and self.target_epoch == target_epoch and not taken:
            self._release(step.release)
            self.owner.update(dict.fromkeys(step.acquire, member))
            self._write(member, replace(step.row, incarnation=row.incarnation))
        return self._view(member)

    def subscribe(self, member: str, epoch: int, old: Subscription, new: Subscription) -> None:
        row = self.rows.get(member)
        if row is None or self.subscriptions[member] != old or row.epoch == LEFT_STATIC:
            return
        if epoch in (row.epoch, row.previous_epoch):
            self.subscriptions[member] = new
            self.epoch += what_matters(old) != what_matters(new)

    def leave(self, member: str, instance: str | None, *, for_good: bool) -> None:
        row = self._row(member, instance)
        if for_good:
            self._remove(member)
        elif row.epoch != LEFT_STATIC:
            self._release(row.revoking)
            state = WAITING if row.state == REVOKING else row.state
            self._write(
                member,
                MemberRow(LEFT_STATIC, row.epoch, 0, row.incarnation, state, row.assigned),
            )

    def expire(self, member: str) -> None:
        self._remove(member)

    def settle(self, made: Made) -> bool:
        if self.target_epoch != made.target_epoch:
            return False
        self.target_epoch, self.seen = made.epoch, made.fingerprint
        self.topics, self.assignor = made.plan.fingerprint, made.plan.assignor
        for member, target in made.plan.changed.items():
            if member in self.rows:
                self.targets[member] = target
        return True

    def review(self, review: Review) -> bool:
        if self.seen != review.old:
            return False
        if self.epoch != self.target_epoch:
            return True
        self.seen = review.new
        self.epoch += review.matters
        return review.matters

    def _row(self, member: str, instance: str | None) -> MemberRow:
        if instance is not None and self.instances.get(instance) != member:
            raise FencedInstanceId if instance in self.instances else UnknownMemberId
        if member not in self.rows:
            raise UnknownMemberId
        return self.rows[member]

    def _write(self, member: str, row: MemberRow) -> None:
        self.seq += 1
        self.rows[member] = replace(row, seq=self.seq)

    def _release(self, partitions: Partitions) -> None:
        for partition in partitions:
            self.owner.pop(partition, None)

    def _view(self, member: str) -> View:
        row = self._row(member, None)
        target = decode_partitions(self.targets.get(member, ""))
        busy = frozenset(p for p in target if self.owner.get(p, member) != member)
        return View(row, target, self.epoch, self.target_epoch, self.seen, busy)

    def _remove(self, member: str) -> None:
        row = self.rows.pop(member)
        self._release(row.assigned | row.revoking)
        self.targets.pop(member, None)
        del self.subscriptions[member]
        self.instances = {i: holder for i, holder in self.instances.items() if holder != member}
        self.epoch += 1
