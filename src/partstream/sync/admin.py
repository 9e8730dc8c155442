"""The blocking admin client: each call is that of the asyncio client, run on a loop thread."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from partstream.client.admin import Admin as AsyncAdmin
from partstream.client.context import Context
from partstream.config.admin import AdminConfig
from partstream.sync.portal import Portal

Call = ParamSpec("Call")
Answer = TypeVar("Answer")


def _twin(
    method: Callable[Concatenate[AsyncAdmin, Call], Coroutine[Any, Any, Answer]],
) -> Callable[Concatenate[Admin, Call], Answer]:
    """The blocking form of a call: same arguments, same docstring, same errors."""

    @functools.wraps(method)
    def blocking(admin: Admin, /, *args: Call.args, **kwargs: Call.kwargs) -> Answer:
        return admin._portal.call(method(admin._admin, *args, **kwargs))

    return blocking


class Admin(Context):
    """Creates, describes, changes and deletes topics and groups. Threads may share it.

    It connects when it is made; use it in a `with` statement, or call `close()`.
    """

    def __init__(self, url: str | None = None, **config: Any) -> None:
        """Connect.

        Args:
            url: where Redis is; left out, PARTSTREAM_URL, or redis://localhost:6379.
            config: see `AdminConfig`.

        Raises:
            ConfigError: a key or value is not valid.
            StoreUnavailable, StoreAuthenticationFailed, StoreTooOld, NewerLayout: as they say.
        """
        self._admin = AsyncAdmin(url, **config)
        self._portal = Portal.under(self, "partstream admin", self._admin.start)

    @property
    def config(self) -> AdminConfig:
        """The configs that are in force."""
        return self._admin.config

    def close(self) -> None:
        """Disconnect; what was done stays done."""
        if self._portal.running:
            self._portal.call(self._admin.close())
            self._portal.close()

    create_topic = _twin(AsyncAdmin.create_topic)
    delete_topic = _twin(AsyncAdmin.delete_topic)
    list_topics = _twin(AsyncAdmin.list_topics)
    describe_topic = _twin(AsyncAdmin.describe_topic)
    describe_topics = _twin(AsyncAdmin.describe_topics)
    create_partitions = _twin(AsyncAdmin.create_partitions)
    describe_config = _twin(AsyncAdmin.describe_config)
    alter_config = _twin(AsyncAdmin.alter_config)
    delete_records = _twin(AsyncAdmin.delete_records)
    list_offsets = _twin(AsyncAdmin.list_offsets)

    list_groups = _twin(AsyncAdmin.list_groups)
    describe_group = _twin(AsyncAdmin.describe_group)
    delete_group = _twin(AsyncAdmin.delete_group)
    list_group_offsets = _twin(AsyncAdmin.list_group_offsets)
    reset_offsets = _twin(AsyncAdmin.reset_offsets)
    alter_group_config = _twin(AsyncAdmin.alter_group_config)
    alter_group_offsets = _twin(AsyncAdmin.alter_group_offsets)
    delete_group_offsets = _twin(AsyncAdmin.delete_group_offsets)

    describe_cluster = _twin(AsyncAdmin.describe_cluster)
    maintain = _twin(AsyncAdmin.maintain)
    compact_topic = _twin(AsyncAdmin.compact_topic)
    doctor = _twin(AsyncAdmin.doctor)
