"""Commits under way, without a server."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from partstream.client.committer import Committer
from partstream.config.consumer import ConsumerConfig
from partstream.engine.groups import ConsumerGroups
from partstream.model import OffsetAndMetadata


class Groups:
    """Takes every commit, and wakes who waits for it before the commit's task has ended."""

    def __init__(self) -> None:
        self.taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def commit(self, *_: Any, **__: Any) -> None:
        self.taken.set_result(None)


async def test_a_commit_that_has_just_ended_is_settled() -> None:
    """Its task is done, and its callbacks have not run yet. Where this fails, it hangs."""
    groups = Groups()
    config = ConsumerConfig(group_id="g")
    committer = Committer(
        cast("ConsumerGroups", groups),
        config,
        identity=lambda: None,
        hurry=lambda: None,
        disowned=lambda *_: None,
    )
    committer.auto({("t", 0): OffsetAndMetadata(1)})
    await groups.taken
    await committer.settled()
    await committer.close()
