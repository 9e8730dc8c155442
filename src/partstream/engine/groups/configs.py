"""Configs that are set for single groups. They are there before the group, and stay after it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from partstream.config.group import GroupConfig, GroupLimits
from partstream.engine.groups.calls import GroupCalls
from partstream.groups.requests import check_group_id
from partstream.store.scripts import Script
from partstream.store.store import Store

_CONFIGURE = Script("group/configure")


class GroupConfigs:
    """The configs of the groups of a namespace."""

    def __init__(self, store: Store, calls: GroupCalls) -> None:
        self._store = store
        self._calls = calls
        self._listed = store.keys.meta.configured

    async def get(self, group_id: str) -> GroupConfig:
        """What is set for a group, whether or not there is one."""
        return GroupConfig.decode((await self._read(group_id)).decode())

    async def all(self) -> dict[str, GroupConfig]:
        """Every group for which something is set, in the order of their ids."""
        listed = await self._command("HGETALL")
        ids = sorted(name.decode() for name in listed[::2])
        found = zip(ids, await asyncio.gather(*map(self.get, ids)), strict=True)
        return {group_id: configs for group_id, configs in found if configs.is_set}

    async def alter(
        self, group_id: str, changes: Mapping[str, object | None], limits: GroupLimits
    ) -> GroupConfig:
        """Change what is set for a group; None: it is not set any more.

        Raises:
            InvalidGroupId: a group cannot be called so.
            InvalidConfig: a name or a value is refused; nothing was changed.
            CoordinatorNotAvailable: replicas did not confirm; make the same call again.
        """
        check_group_id(group_id)
        while True:
            old = await self._read(group_id)
            changed = GroupConfig.decode(old.decode()).altered(changes, limits)
            if changed.is_set:
                # Before it is set, as groups are: a crash leaves none that cannot be found.
                await self._command("HSET", group_id, "")
            written = await self._calls.run(group_id, _CONFIGURE, old, changed.encode())
            if written:
                break
        await self._calls.confirm(group_id, written)
        if not changed.is_set:
            await self._delist(group_id)
        return changed

    async def _delist(self, group_id: str) -> None:
        await self._command("HDEL", group_id)
        if await self._read(group_id):  # it was set again meanwhile
            await self._command("HSET", group_id, "")

    async def _read(self, group_id: str) -> bytes:
        key = self._calls.keys(group_id).group
        return await self._store.execute("HGET", key, "configs", key=key) or b""

    async def _command(self, command: str, *args: str) -> Any:
        return await self._store.execute(command, self._listed, *args, key=self._listed)
