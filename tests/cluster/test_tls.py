"""TLS with an authority of its own and certificates for clients: who gets in, who is told why."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from partstream import aio
from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.sentinel import EmbeddedSentinel
from partstream.embedded.server import EmbeddedServer
from partstream.errors import ConfigError, StoreUnavailable
from tests.servers.authority import Authority
from tests.servers.targets import Target
from tests.waiting import until


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def binary(request: pytest.FixtureRequest, target: Target, authority: Authority) -> Path:
    """The server of this run if it was built with TLS, else Debian's."""
    assert target.binary is not None
    found = [str(target.binary.path)]
    found += [path for path in map(shutil.which, ("redis-server", "valkey-server")) if path]
    for path in found:
        try:
            with EmbeddedServer(binary=path, tls=authority.server("127.0.0.1")):
                return Path(path)
        except StoreUnavailable:
            continue
    pytest.skip("no server here was built with TLS")


@pytest.fixture
def server(binary: Path, authority: Authority) -> Iterator[EmbeddedServer]:
    """A server whose only port speaks TLS, to those who show a certificate."""
    with EmbeddedServer(binary=binary, tls=authority.server("127.0.0.1", "localhost")) as running:
        yield running


async def roundtrip(url: str, **config: Any) -> None:
    """Produce, be woken by the doorbell, commit: every kind of connection that clients open."""
    async with (
        aio.Producer(url, **config, acks="all") as producer,
        aio.Consumer(url, **config, group_id="g", auto_offset_reset="earliest") as consumer,
        aio.Admin(url, **config) as admin,
    ):
        await admin.create_topic("t", 3)
        await consumer.subscribe(["t"])
        assert await consumer.poll(timeout=0.3) == []
        await (await producer.send("t", b"v"))
        assert [record.value for record in await consumer.poll(timeout=5.0)] == [b"v"]
        await consumer.commit()
        assert (await admin.describe_cluster()).nodes


async def refusal(url: str, **config: Any) -> str:
    """What a client is told that does not get in."""
    with pytest.raises(StoreUnavailable) as caught:
        await aio.Admin(url, **{"request_timeout_ms": 3_000, **config}).start()
    return str(caught.value)


async def test_a_client_with_a_certificate_gets_in(
    server: EmbeddedServer, authority: Authority
) -> None:
    assert server.url.startswith("rediss://")
    await roundtrip(server.url, **authority.client())


async def test_the_files_may_stand_in_the_url(server: EmbeddedServer, authority: Authority) -> None:
    files = {name: text for name, text in authority.client().items() if name.startswith("ssl_")}
    await roundtrip(f"{server.url}?{urlencode(files)}")


async def test_an_unknown_authority_is_refused(
    server: EmbeddedServer, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "theirs")
    told = await refusal(server.url, **authority.client() | {"ssl_ca_certs": str(other.file)})
    assert "certificate verify failed" in told
    assert f"{server.host}:{server.port}" in told


async def test_the_system_does_not_know_the_authority_either(server: EmbeddedServer) -> None:
    assert "certificate verify failed" in await refusal(server.url)


async def test_without_a_certificate_the_server_hangs_up(
    server: EmbeddedServer, authority: Authority
) -> None:
    told = await refusal(server.url, ssl_ca_certs=str(authority.file))
    assert "ssl_certfile" in told or "certificate required" in told.lower()


async def test_a_file_that_is_not_there_is_named(
    server: EmbeddedServer, authority: Authority
) -> None:
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        with pytest.raises(ConfigError, match=f"{name} '/nowhere.pem'"):
            await aio.Admin(server.url, **authority.client() | {name: "/nowhere.pem"}).start()


async def test_a_client_without_tls_is_told_so(server: EmbeddedServer) -> None:
    plain = server.url.replace("rediss:", "redis:")
    assert "rediss://" in await refusal(plain)


async def test_a_server_without_tls_is_told_so(fresh_server: EmbeddedServer) -> None:
    secure = fresh_server.url.replace("redis:", "rediss:")
    assert "redis://" in await refusal(secure)


async def test_the_name_must_be_in_the_certificate(binary: Path, authority: Authority) -> None:
    tls = authority.server("redis.example.org")
    with EmbeddedServer(binary=binary, tls=tls) as server:
        told = await refusal(server.url, **authority.client())
        assert "127.0.0.1" in told
        assert "certificate" in told
        await roundtrip(server.url, **authority.client(), ssl_check_hostname=False)


@pytest.mark.cluster
async def test_every_node_of_a_cluster(binary: Path, authority: Authority) -> None:
    tls = authority.server("127.0.0.1")
    with EmbeddedCluster(binary=binary, tls=tls) as cluster:
        assert cluster.url.startswith("rediss+cluster://")
        await roundtrip(cluster.url, **authority.client())
        await roundtrip_after_failover(cluster, authority)


async def roundtrip_after_failover(cluster: EmbeddedCluster, authority: Authority) -> None:
    """MOVED names an address: it is dialled with TLS, too."""
    async with aio.Producer(cluster.url, **authority.client(), acks="all") as producer:
        for partition in range(3):
            await (await producer.send("t", b"before", partition=partition))
        await asyncio.to_thread(cluster.failover, 3)
        for partition in range(3):
            await (await producer.send("t", b"after", partition=partition))


@pytest.mark.cluster
@pytest.mark.deadline(90)
async def test_sentinels_with_tls(binary: Path, authority: Authority) -> None:
    with EmbeddedSentinel(binary=binary, tls=authority.server("127.0.0.1")) as running:
        assert running.url.startswith("rediss+sentinel://")
        await roundtrip(running.url, **authority.client())
        async with aio.Producer(running.url, **authority.client(), acks="all") as producer:
            await (await producer.send("t", b"before"))
            old = running.primary()
            old.kill()
            await (await producer.send("t", b"after"))


@pytest.mark.faults
async def test_new_certificates_and_a_new_password_under_way(
    server: EmbeddedServer, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """Files are read anew at every reconnect: a certificate that was replaced on disk is used."""
    caplog.set_level(logging.INFO, "partstream")
    config = authority.client()
    async with aio.Producer(server.url, **config) as producer:
        await (await producer.send("t", b"before"))
        successor = Authority(Path(config["ssl_ca_certs"]).parent)  # the same files, new contents
        tls = successor.server("127.0.0.1")
        successor.client()
        for name, path in (("cert", tls.certificate), ("key", tls.key), ("ca-cert", tls.ca)):
            server.command("CONFIG", "SET", f"tls-{name}-file", str(path))
        server.command("CLIENT", "KILL", "TYPE", "normal")
        await (await producer.send("t", b"after"))
        await until(lambda: any("reconnected" in line for line in caplog.messages))


async def test_a_named_authority_is_the_only_one(
    server: EmbeddedServer, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not one more beside those that the system trusts."""
    config = authority.client()
    monkeypatch.setenv("SSL_CERT_FILE", config["ssl_ca_certs"])  # the system trusts our server
    async with aio.Admin(server.url, **{**config, "ssl_ca_certs": None}) as admin:
        assert await admin.list_topics() == []
    other = Authority(tmp_path / "other")
    with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        async with aio.Admin(server.url, **{**config, "ssl_ca_certs": str(other.file)}):
            pass


async def test_connections_share_what_was_read_from_the_files(
    server: EmbeddedServer, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ssl.SSLContext] = []
    create = ssl.create_default_context

    def count(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        made.append(create(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", count)
    async with aio.Producer(server.url, **authority.client()) as producer:
        await (await producer.send("t", b"one"))
        server.command("CLIENT", "KILL", "TYPE", "normal")
        await (await producer.send("t", b"two"))
        assert len(made) == 1
        authority.client()
        server.command("CLIENT", "KILL", "TYPE", "normal")
        await (await producer.send("t", b"three"))
        assert len(made) == 2
