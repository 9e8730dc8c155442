"""The access rules of the operations page: real clients work under exactly these, and no wider.

Each rule names the commands, keys and channels of one role. The tests run the role's client under
it, look that the server refused nothing, and that no command is allowed which nobody used.
"""

from __future__ import annotations

import asyncio
import logging
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from partstream import aio
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.process import ServerProcess
from partstream.embedded.server import EmbeddedServer
from partstream.errors import ConfigError, StoreAuthenticationFailed, StorePermissionDenied
from partstream.model import Severity, TopicPartition
from partstream.store.scripts import Script, every_script
from tests.gateway.gateways import address, gateway
from tests.servers.rules import PAGE, rule
from tests.waiting import until

SELDOM = {
    "asking": "while a slot moves",
    "client|kill": "after a connection was lost",
    "cluster|slots": "on a cluster",
    "cluster|nodes": "when doctor looks at a cluster",
    "sunsubscribe": "after a slot moved",
    "ping": "when a bell was silent for long",
    "wait": "with replicas",
}
"""Commands of the rules that a short test on one server does not need, and when they are."""

_EVERYBODY = {"store/barrier"}
_OF_ADMINS = {
    *("group/configure", "group/delete", "group/delete_offsets", "group/describe"),
    "group/expire_offsets",
}
SCRIPTS = {
    "orders-producer": {"log/append", "store/next"} | _EVERYBODY,
    "billing-consumer": {
        script.name for script in every_script() if script.name.startswith("group/")
    }
    - _OF_ADMINS
    | _EVERYBODY,
    "gateway": {script.name for script in every_script()} - {"store/probe"},
    "keeper": {script.name for script in every_script()} - {"store/probe", "store/next"},
}
"""Which scripts each user runs; what they may come to call, a short test need not see."""


def login(user: str) -> dict[str, Any]:
    return {"username": user, "password": "secret", "request_timeout_ms": 10_000}


def refused(server: ServerProcess) -> list[str]:
    """What the server refused to anybody, but for what the page says is refused."""
    entries = server.command("ACL", "LOG", 100)
    assert isinstance(entries, list)
    lines = [" ".join(str(word) for word in entry) for entry in entries if isinstance(entry, list)]
    # Who lives for longer than a moment asks for the sweep, and takes no part if it may not.
    said = ("client|setinfo", ":{meta}:sweep")
    return [line for line in lines if not any(word in line for word in said)]


def used(server: ServerProcess) -> set[str]:
    """The commands that were called since the statistics were reset, by scripts too."""
    stats = server.info("commandstats")
    return {
        name.removeprefix("cmdstat_").lower()
        for name, values in stats.items()
        if not values.startswith("calls=0")
    }


def called_by_scripts(user: str) -> set[str]:
    """The commands in the text of a user's scripts."""
    calls = re.compile(r"redis\.p?call\('([A-Z]+)'(?:, *'(SHARDNUMSUB)')?")
    return {
        "|".join(filter(None, words)).lower()
        for name in SCRIPTS[user]
        for words in calls.findall(Script(name).source)
    }


def allowed(user: str) -> set[str]:
    return {word[1:].lower() for word in rule(user) if word.startswith("+")}


async def produce(url: str) -> None:
    """What a producer does."""
    async with aio.Producer(
        url, **login("orders-producer"), allow_auto_create_topics=False, acks="all"
    ) as producer:
        for number in range(20):
            await producer.send("orders", b"%d" % number, key=b"%d" % number)
        await producer.flush()
        assert (await producer.partitions_for("orders")) is not None


async def consume(url: str, *, ring: aio.Producer) -> None:
    """What a consumer does, the doorbell included."""
    async with aio.Consumer(
        url,
        **login("billing-consumer"),
        group_id="billing",
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
    ) as consumer:
        await consumer.subscribe(["orders"])
        seen: list[bytes | None] = []
        while len(seen) < 20:
            seen += [record.value for record in await consumer.poll(timeout=5.0)]
        await consumer.commit()
        assert await consumer.poll(timeout=0.3) == []
        await (await ring.send("orders", b"rung"))
        # It sleeps by now, and would look by itself only after longer than this.
        assert [record.value for record in await consumer.poll(timeout=2.0)] == [b"rung"]
        await consumer.commit()
        partitions = list(consumer.assignment())
        assert await consumer.end_offsets(partitions)
        assert await consumer.offsets_for_times(dict.fromkeys(partitions, 0))
        assert await consumer.committed(partitions[0]) is not None
        consumer.seek_to_beginning(*partitions)
        assert await consumer.poll(timeout=5.0)
        await consumer.subscribe(pattern="^ord")
        assert await consumer.poll(timeout=5.0)


async def administer(url: str) -> None:
    """What an admin does."""
    async with aio.Admin(url, **login("keeper")) as admin:
        await admin.create_topic("made", 2)
        await admin.create_partitions("made", 3)
        await admin.alter_config("made", {"retention.ms": 1_000_000})
        await admin.describe_topic("orders")
        assert (await admin.describe_group("billing")).lags
        await admin.list_groups()
        assert await admin.list_offsets({TopicPartition("orders", 0): 0})
        await admin.delete_records({TopicPartition("orders", 0): 1})
        await admin.maintain()
        await admin.delete_group("billing")
        await admin.delete_topic("made")
        names = {each.name for each in await admin.doctor() if each.severity > Severity.INFO}
        assert not {name for name in names if "refused" in name}


async def prepare(url: str) -> None:
    async with aio.Admin(url) as admin:
        for topic in ("orders", "salaries"):
            await admin.create_topic(topic, 3)


@pytest.mark.every_server
async def test_each_rule_is_enough_and_no_more(fresh_server: EmbeddedServer) -> None:
    server, url = fresh_server, fresh_server.url
    await prepare(url)
    for user in ("orders-producer", "billing-consumer", "keeper"):
        server.command(*rule(user))
    async with aio.Producer(url) as ring:
        await ring.partitions_for("orders")
        for user, work in (
            ("orders-producer", produce),
            ("billing-consumer", partial(consume, ring=ring)),
            ("keeper", administer),
        ):
            server.command("CONFIG", "RESETSTAT")
            await work(url)
            assert refused(server) == []
            assert called_by_scripts(user) <= allowed(user)
            needed = used(server) | called_by_scripts(user) | SELDOM.keys()
            # Who rings is counted with the consumer, and may hide one of its needless commands.
            assert allowed(user) <= needed


async def test_the_rules_are_enough_on_a_cluster(fresh_cluster: EmbeddedCluster) -> None:
    url = fresh_cluster.url
    await prepare(url)
    for node in fresh_cluster.nodes:
        for user in ("orders-producer", "billing-consumer", "keeper"):
            node.command(*rule(user))
    async with aio.Producer(url) as ring:
        await produce(url)
        await consume(url, ring=ring)
        await administer(url)
    assert [line for node in fresh_cluster.nodes for line in refused(node)] == []


async def test_the_rule_of_a_gateway_is_enough(fresh_server: EmbeddedServer) -> None:

    def work(bootstrap: str) -> list[bytes | None]:
        producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
        for number in range(20):
            producer.produce("orders", b"%d" % number)
        assert producer.flush(20) == 0
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "billing",
                "group.protocol": "consumer",
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe(["orders"])
        records = consumer.consume(20, 20)
        consumer.commit(asynchronous=False)
        consumer.close()
        return [record.value() for record in records]

    fresh_server.command(*rule("gateway"))
    async with gateway(fresh_server.url, "ps", **login("gateway")) as running:
        values = await asyncio.to_thread(work, address(running))
    assert values == [b"%d" % number for number in range(20)]
    assert refused(fresh_server) == []
    assert called_by_scripts("gateway") <= allowed("gateway")


async def test_nobody_does_what_is_the_others_business(fresh_server: EmbeddedServer) -> None:
    url = fresh_server.url
    await prepare(url)
    for user in ("orders-producer", "billing-consumer"):
        fresh_server.command(*rule(user))
    no_topics = {"allow_auto_create_topics": False}

    async with aio.Producer(url, **login("orders-producer"), **no_topics) as producer:
        with pytest.raises(StorePermissionDenied):
            await (await producer.send("salaries", b"v"))
    writer = aio.Producer(url, **login("billing-consumer"), **no_topics, enable_idempotence=False)
    async with writer as producer:
        with pytest.raises(StorePermissionDenied):
            await (await producer.send("orders", b"v"))
    for user, group, topic in (
        ("orders-producer", "billing", "orders"),
        ("billing-consumer", "payroll", "orders"),
        ("billing-consumer", "billing", "salaries"),
    ):
        async with aio.Consumer(url, **login(user), group_id=group, **no_topics) as consumer:
            await consumer.subscribe([topic])
            with pytest.raises(StorePermissionDenied):
                await consumer.poll(timeout=5.0)
    for user in ("orders-producer", "billing-consumer"):
        async with aio.Admin(url, **login(user)) as admin:
            with pytest.raises(StorePermissionDenied):
                await admin.delete_topic("orders")


async def test_who_may_not_sweep_leaves_it_to_others(
    fresh_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "partstream")
    url = fresh_server.url
    await prepare(url)
    # This one may take the lease, but not touch every topic.
    fresh_server.command(
        *("ACL", "SETUSER", "orders-producer", "on", ">secret", "+@all", "&*"),
        *("~ps:{meta}:*", "~ps:{*}:orders:*", "~ps:{*}:barrier"),
    )
    config = {"log_retention_check_interval_ms": 20}
    async with aio.Producer(url, **login("orders-producer"), **config):
        await until(lambda: any("no part in the retention" in text for text in caplog.messages))
        await until(lambda: fresh_server.command("EXISTS", "ps:{meta}:sweep") == 0)
    assert sum("no part in the retention" in text for text in caplog.messages) == 1


def test_the_page_shows_each_rule_once() -> None:
    assert len(re.findall(r"^ACL SETUSER ", PAGE.read_text(encoding="utf-8"), re.MULTILINE)) == 5


@pytest.mark.faults
async def test_a_password_changes_under_way(fresh_server: EmbeddedServer, tmp_path: Path) -> None:
    server, file = fresh_server, tmp_path / "password"
    server.command("ACL", "SETUSER", "app", "on", ">old", "~*", "&*", "+@all")
    file.write_text("old\n")
    login = {"username": "app", "password_file": str(file), "request_timeout_ms": 10_000}
    async with aio.Producer(server.url, **login) as producer:
        await (await producer.send("t", b"before"))
        server.command("ACL", "SETUSER", "app", ">new")
        file.write_text("new\n")
        server.command("ACL", "SETUSER", "app", "<old")
        killed = server.command("CLIENT", "KILL", "USER", "app")
        assert isinstance(killed, int)
        assert killed >= 1
        await (await producer.send("t", b"after"))


async def test_a_password_file_that_is_not_there_is_named(fresh_server: EmbeddedServer) -> None:
    with pytest.raises(ConfigError, match="password_file 'none': there is no such file"):
        async with aio.Producer(fresh_server.url, password_file="none"):
            pass


async def test_the_password_file_wins_over_the_url(
    fresh_server: EmbeddedServer, tmp_path: Path
) -> None:
    fresh_server.command("ACL", "SETUSER", "app", "on", ">new", "~*", "&*", "+@all")
    (tmp_path / "password").write_text("new")
    url = fresh_server.url.replace("redis://", "redis://app:old@")
    with pytest.raises(StoreAuthenticationFailed):
        async with aio.Admin(url):
            pass
    async with aio.Admin(url, password_file=str(tmp_path / "password")) as admin:
        assert await admin.list_topics() == []
