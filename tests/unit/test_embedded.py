"""A private server: it starts, serves, stops, and never outlives its parent."""

from __future__ import annotations

import pytest

from partstream.embedded.server import EmbeddedServer


@pytest.mark.every_server
def test_it_answers_on_its_port(fresh_server: EmbeddedServer) -> None:
    assert fresh_server.command("SET", "a", "1") == b"OK"
    assert fresh_server.info()["process_id"] == str(fresh_server.pid)
    assert fresh_server.info()["tcp_port"] == str(fresh_server.port)


async def test_async_works(redis_url: str, namespace: str) -> None:
    assert redis_url
    assert namespace
