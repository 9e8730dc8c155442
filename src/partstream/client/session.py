"""What every client is: connected or not, closed or not, in the process that made it."""

from __future__ import annotations

import os
from functools import partial

from partstream.config.common import AutoCreateConfig, CommonConfig
from partstream.engine.groups import ConsumerGroups
from partstream.engine.partition import Topic
from partstream.engine.retention import Sweeper
from partstream.engine.topics import Topics
from partstream.errors import (
    ClosedClient,
    ForkedClient,
    IllegalState,
    InvalidRequest,
    TopicAlreadyExists,
    UnknownTopicOrPartition,
)
from partstream.store.store import Store


class Session:
    """One client's connection to one namespace, from its start to its close."""

    def __init__(self, config: CommonConfig, owner: str) -> None:
        self._config = config
        self._owner = owner
        self._pid = os.getpid()
        self._store: Store | None = None
        self._topics: Topics | None = None
        self._groups: ConsumerGroups | None = None
        self._sweeper: Sweeper | None = None
        self.closed = False

    @property
    def store(self) -> Store:
        """The open store.

        Raises:
            IllegalState: the client was not started, was closed, or came through a fork.
        """
        self.check()
        if self._store is None:
            raise self._not_started()
        return self._store

    @property
    def topics(self) -> Topics:
        """The topics of the namespace. Raises as `store` does."""
        self.check()
        if self._topics is None:
            raise self._not_started()
        return self._topics

    @property
    def groups(self) -> ConsumerGroups:
        """The groups of the namespace. Raises as `store` does."""
        self.check()
        if self._groups is None:
            raise self._not_started()
        return self._groups

    @property
    def started(self) -> bool:
        """Whether it is connected and not closed."""
        return self._store is not None and not self.closed

    def check(self) -> None:
        """Refuse a client that is closed, or that another process made.

        Raises:
            ClosedClient, ForkedClient: as they say.
        """
        if self.closed:
            raise ClosedClient(f"this {self._owner} is closed")
        if self._pid != os.getpid():
            raise ForkedClient(
                f"this {self._owner} was made in process {self._pid} and cannot be used in process "
                f"{os.getpid()}: make a new one after the fork"
            )

    async def open(self) -> None:
        """Connect, and take part in the upkeep of the namespace; once is enough.

        Raises:
            ConfigError, StoreUnavailable, StoreAuthenticationFailed, StoreTooOld, NewerLayout.
        """
        self.check()
        if self._store is not None:
            return
        store = await Store.connect(**self._config.connection())
        self._topics = Topics(store, max_age_ms=self._config.metadata_max_age_ms)
        self._groups = ConsumerGroups(store, self._topics)
        self._sweeper = Sweeper(
            store,
            self._topics,
            interval_ms=self._config.log_retention_check_interval_ms,
            producer_id_expiration_ms=self._config.producer_id_expiration_ms,
            expire_offsets=partial(self._groups.expire_offsets, self._config.offsets_retention_ms),
        )
        self._sweeper.start()
        self._store = store

    async def close(self) -> None:
        """Disconnect; every later call of the client raises ClosedClient."""
        if not self.closed:
            self.closed = True
            await self.drop()

    async def drop(self) -> None:
        """Disconnect; unless it was closed it may be opened again."""
        sweeper, groups, topics, store = self._sweeper, self._groups, self._topics, self._store
        self._sweeper = self._groups = self._topics = self._store = None
        if sweeper is not None:
            await sweeper.close()
        if groups is not None:
            await groups.close()
        if topics is not None:
            topics.close()
        if store is not None:
            await store.close()

    def _not_started(self) -> IllegalState:
        return IllegalState(f"this {self._owner} was not started: use `async with`, or start()")


async def get_or_create(topics: Topics, name: str, config: AutoCreateConfig) -> Topic:
    """A topic, created if it is not there and `allow_auto_create_topics` allows it.

    Raises:
        UnknownTopicOrPartition: it does not exist and may not be created.
        InvalidTopic: Kafka would refuse the name.
    """
    try:
        return await topics.get(name)
    except UnknownTopicOrPartition:
        if not config.allow_auto_create_topics:
            raise
    try:
        return await topics.create(name, config.num_partitions)
    except (TopicAlreadyExists, InvalidRequest):
        return await topics.get(name, fresh=True)
