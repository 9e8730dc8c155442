"""The scripts of a group beside their model: whatever is done in whatever order, they agree.

The steps are those of `test_groups.py`; each is done to the model and to a group on a server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from partstream.engine.groups import answers
from partstream.engine.groups.answers import Claim, Snapshot
from partstream.engine.groups.calls import GroupCalls
from partstream.errors import PartstreamError
from partstream.groups.consumer import Step
from partstream.groups.requests import HeartbeatRequest
from partstream.groups.rows import MemberRow, Subscription, TopicIdPartition, decode_partition
from partstream.store.store import Store
from tests.properties.group_clients import HOUR_MS
from tests.properties.group_model import Beat, Made, Review, State, View
from tests.properties.test_groups import Group

T = TypeVar("T")


class BesideScripts(State):
    """The model, and a group on a server to which the same is done."""

    def __init__(self, store: Store, runner: asyncio.Runner, group: str) -> None:
        super().__init__()
        self.store, self.runner, self.group = store, runner, group
        self.calls = GroupCalls(store)

    def join(self, request: HeartbeatRequest, incarnation: int) -> tuple[bool, View]:
        async def real() -> tuple[bool, View]:
            asked = replace(request, group_id=self.group)
            told, view = await self.calls.join(asked, incarnation, HOUR_MS, 0)
            return told, plain(view)

        return self.both(partial(super().join, request, incarnation), real)

    def beat(self, beat: Beat) -> View:
        async def real() -> View:
            request = HeartbeatRequest(self.group, beat.member, beat.epoch, beat.instance)
            view = await self.calls.beat(request, HOUR_MS, beat.seen, beat.fingerprint)
            if isinstance(view, answers.View):
                return plain(view)
            looked = plain(await self.calls.look(self.group, beat.member))
            assert looked.row.epoch == looked.epoch == looked.target_epoch == beat.epoch
            assert looked.row.seq == beat.seen, "nothing to do, and the member does not know all"
            return looked

        return self.both(partial(super().beat, beat), real)

    def look(self, member: str) -> View:
        async def real() -> View:
            return plain(await self.calls.look(self.group, member))

        return self.both(partial(super().look, member), real)

    def apply(self, member: str, read: MemberRow, target_epoch: int, step: Step) -> View:
        async def real() -> View:
            raw, nothing = read.encode().encode(), frozenset[TopicIdPartition]()
            view = answers.View(raw, read, nothing, 0, target_epoch, "", nothing, 0, b"")
            return plain(await self.calls.apply(self.group, member, view, step))

        return self.both(partial(super().apply, member, read, target_epoch, step), real)

    def subscribe(self, member: str, epoch: int, old: Subscription, new: Subscription) -> None:
        async def real() -> None:
            request = HeartbeatRequest(self.group, member, epoch)
            await self.calls.subscribe(request, old.encode().encode(), new)

        self.both(partial(super().subscribe, member, epoch, old, new), real)

    def leave(self, member: str, instance: str | None, *, for_good: bool) -> None:
        async def real() -> None:
            await self.calls.leave(self.group, member, instance, for_good=for_good)

        self.both(partial(super().leave, member, instance, for_good=for_good), real)

    def expire(self, member: str) -> None:
        async def real() -> None:
            deadlines = self.calls.keys(self.group).deadlines
            await self.store.execute("ZADD", deadlines, 0, f"s:{member}", key=deadlines)

        self.both(partial(super().expire, member), real)

    def settle(self, made: Made) -> bool:
        async def real() -> bool:
            claim = Claim(made.epoch, made.target_epoch, {}, {})
            return await self.calls.settle(self.group, claim, made.plan, made.fingerprint)

        return self.both(partial(super().settle, made), real)

    def review(self, review: Review) -> bool:
        async def real() -> bool:
            old, new, matters = review
            return await self.calls.review(self.group, old, new, matters=matters)

        return self.both(partial(super().review, review), real)

    def both(self, model: Callable[[], T], real: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do it to both: the same comes out, and the same is there afterwards."""
        expected = answer_of(model)
        answer = self.runner.run(self.really(real))
        if isinstance(expected, PartstreamError):
            assert type(answer) is type(expected), answer
            raise expected
        assert answer == expected
        return expected

    async def really(self, real: Callable[[], Coroutine[Any, Any, T]]) -> T | PartstreamError:
        """What comes of it on the server; what is there then is compared at once."""
        try:
            return await real()
        except PartstreamError as error:
            return error
        finally:
            self.compare(*await asyncio.gather(self.calls.describe(self.group), self.owners()))

    def compare(self, snapshot: Snapshot, owner: dict[TopicIdPartition, str]) -> None:
        fields = snapshot.fields
        assert (snapshot.rows, owner) == (self.rows, self.owner)
        assert (snapshot.targets, snapshot.subscriptions) == (self.targets, self.subscriptions)
        if not snapshot.exists:
            return
        epochs = int(fields["epoch"]), int(fields["target_epoch"])
        assert epochs == (self.epoch, self.target_epoch)
        known = tuple(fields.get(name, "") for name in ("seen", "topics", "assignor"))
        assert known == (self.seen, self.topics, self.assignor)
        assert {n[2:]: m for n, m in fields.items() if n[:2] == "i:"} == self.instances
        assert {m: n[2:] for n, m in fields.items() if n[:2] == "m:"} == self.instances

    async def owners(self) -> dict[TopicIdPartition, str]:
        key = self.calls.keys(self.group).owner
        flat = await self.store.execute("HGETALL", key, key=key)
        return {
            decode_partition(name.decode()): member.decode()
            for name, member in zip(flat[::2], flat[1::2], strict=True)
            if name
        }


def answer_of(call: Callable[[], T]) -> T | PartstreamError:
    """What comes of it, be it a refusal."""
    try:
        return call()
    except PartstreamError as error:
        return error


def plain(view: answers.View) -> View:
    """What of a view follows from what was done, and not from the clock."""
    return View(
        view.row,
        view.target,
        view.epoch,
        view.target_epoch,
        view.seen,
        view.busy,
        view.moved_from,
    )


class GroupOnServer(Group):
    """The same steps, on a server too."""

    url = ""
    namespace = ""
    number = 0

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.store = self.runner.run(Store.connect(self.url, namespace=self.namespace))
        super().__init__()

    def make_state(self) -> State:
        GroupOnServer.number += 1
        return BesideScripts(self.store, self.runner, f"g{GroupOnServer.number}")

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.runner.run(self.store.close())
            self.runner.close()


def test_the_scripts_do_what_the_model_says(redis_url: str, namespace: str) -> None:
    GroupOnServer.url, GroupOnServer.namespace = redis_url, namespace
    run_state_machine_as_test(
        GroupOnServer,
        settings=settings(
            max_examples=20,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
