"""The blocking admin client: the same calls as the asyncio one, on a thread of its own."""

from __future__ import annotations

import os
import threading

import pytest

import partstream.sync.admin as sync
from partstream.errors import (
    ClosedClient,
    ForkedClient,
    StoreUnavailable,
    TopicAlreadyExists,
    UnknownTopicOrPartition,
)
from partstream.model import TopicPartition


def test_topics_and_groups(redis_url: str, namespace: str) -> None:
    with sync.Admin(redis_url, namespace=namespace) as admin:
        admin.create_topic("orders", partitions=2, config={"retention.ms": 5000})
        with pytest.raises(TopicAlreadyExists):
            admin.create_topic("orders")
        admin.alter_group_offsets("billing", {TopicPartition("orders", 1): 0})
        assert [group.group_id for group in admin.list_groups()] == ["billing"]
        assert admin.describe_group("billing").lags[0].lag == 0
        admin.delete_topic("orders")
        with pytest.raises(UnknownTopicOrPartition):
            admin.describe_topic("orders")


def test_closed(redis_url: str, namespace: str) -> None:
    admin = sync.Admin(redis_url, namespace=namespace)
    admin.close()
    admin.close()
    with pytest.raises(ClosedClient):
        admin.list_topics()


def test_nobody_there_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(StoreUnavailable):
        sync.Admin("redis://127.0.0.1:1")
    assert threading.active_count() == before


def test_not_through_a_fork(redis_url: str, namespace: str) -> None:
    with sync.Admin(redis_url, namespace=namespace) as admin:
        child = os.fork()
        if child == 0:
            try:
                admin.list_topics()
            except ForkedClient:
                os._exit(42)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
