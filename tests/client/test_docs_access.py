"""The ACL user of the operations page can do everything, and the doorbells ring for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from partstream import aio
from partstream.embedded.server import EmbeddedServer
from partstream.model import Severity

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


@pytest.mark.every_server
async def test_the_documented_user_is_enough(fresh_server: EmbeddedServer) -> None:
    rule = re.search(r"^ACL SETUSER .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rule is not None
    fresh_server.command(*rule[0].split())
    url, login = fresh_server.url, {"username": "app", "password": "secret"}
    async with (
        aio.Admin(url, **login) as admin,
        aio.Producer(url, **login) as producer,
        aio.Consumer(url, **login, group_id="g", auto_offset_reset="earliest") as consumer,
    ):
        await admin.create_topic("t", 2)
        await admin.alter_config("t", {"retention.ms": 1_000_000})
        await consumer.subscribe(["t"])
        assert await consumer.poll(timeout=0.5) == []
        await (await producer.send("t", b"v"))
        # The consumer sleeps by now, and would look by itself only after seconds.
        assert [record.value for record in await consumer.poll(timeout=2.0)] == [b"v"]
        await consumer.commit()
        assert (await admin.describe_group("g")).lags
        await admin.maintain()
        refused = [finding for finding in await admin.doctor() if "refused" in finding.name]
        assert [finding.name for finding in refused] == ["config-refused"]
        assert refused[0].severity is Severity.INFO
        await consumer.unsubscribe()
        await admin.delete_group("g")
        await admin.delete_topic("t")
