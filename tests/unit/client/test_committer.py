"""Commits under way, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from partstream.client.committer import Committer
from partstream.client.membership import Identity
from partstream.config.consumer import ConsumerConfig
from partstream.engine.groups import ConsumerGroups
from partstream.errors import CommitFailed
from partstream.model import OffsetAndMetadata

AT_7 = {("t", 0): OffsetAndMetadata(7)}
AT_9 = {("t", 0): OffsetAndMetadata(9)}


class Groups:
    """Takes commits, and holds them up while it is told to."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.came = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def commit(self, _: str, offsets: Any, **__: Any) -> None:
        self.came.set()
        await self.open.wait()
        self.taken.append(offsets)


def committer_to(
    groups: Groups, identity: Callable[[], Identity | None] = lambda: None
) -> Committer:
    return Committer(
        cast("ConsumerGroups", groups),
        ConsumerConfig(group_id="g"),
        identity=identity,
        hurry=lambda: None,
        disowned=lambda *_: None,
    )


async def test_a_commit_that_has_just_ended_is_settled() -> None:
    """Its task is done, and its callbacks have not run yet. Where this fails, it hangs."""
    groups = Groups()
    committer = committer_to(groups)
    committer.auto(AT_7)
    await groups.came.wait()
    await committer.settled()
    assert groups.taken == [AT_7]
    await committer.close()


async def test_what_was_committed_before_is_committed_again() -> None:
    """A failover may have taken it back, or somebody else gone elsewhere since."""
    groups = Groups()
    committer = committer_to(groups)
    for _ in range(2):
        committer.auto(AT_7)
        await committer.settled()
    await committer.auto_now(AT_7)
    assert groups.taken == [AT_7] * 3
    committer.auto({})
    await committer.auto_now({})
    await committer.settled()
    assert len(groups.taken) == 3, "nothing is no commit"
    await committer.close()


async def test_commits_by_itself_do_not_pile_up_while_redis_is_away() -> None:
    groups = Groups()
    committer = committer_to(groups)
    groups.open.clear()
    committer.auto(AT_7)
    await groups.came.wait()
    for _ in range(10):
        committer.auto(AT_9)
    groups.open.set()
    await committer.settled()
    assert groups.taken == [AT_7]
    committer.auto(AT_9)
    await committer.settled()
    assert groups.taken == [AT_7, AT_9]
    await committer.close()


async def test_a_commit_belongs_to_the_join_that_began_it() -> None:
    """It waits behind another one; its partitions were somebody else's meanwhile."""
    groups, incarnation = Groups(), 1
    committer = committer_to(groups, lambda: Identity("m", incarnation + 5, incarnation))
    groups.open.clear()
    first = asyncio.create_task(committer.commit(AT_7))
    await groups.came.wait()
    second = asyncio.create_task(committer.commit(AT_9))
    await asyncio.sleep(0)
    incarnation = 2
    groups.open.set()
    await first
    with pytest.raises(CommitFailed, match="since the commit was begun"):
        await second
    await committer.commit(AT_9)
    assert groups.taken == [AT_7, AT_9]
    await committer.close()
