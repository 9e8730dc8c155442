"""Listeners: TLS, clients' certificates, several at a time, and how many may connect."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from pathlib import Path

import pytest
import trustme
from confluent_kafka import Consumer, Producer, TopicPartition

from partstream.errors import ConfigError
from tests.gateway.gateways import Client, create, gateway, request, response
from tests.gateway.greedy import fill, take_nothing
from tests.waiting import until


class Authority:
    """Signs certificates, and writes them where a gateway looks."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.folder = folder
        self.trust = folder / "ca.pem"
        self.keystore = folder / "gateway.pem"
        self.ca.cert_pem.write_to_path(self.trust)
        self.renew("127.0.0.1")

    def renew(self, *names: str) -> None:
        """Put another certificate in the place of the one there is, as a whole."""
        fresh = self.folder / "fresh.pem"
        self.ca.issue_cert("127.0.0.1", *names).private_key_and_cert_chain_pem.write_to_path(fresh)
        fresh.replace(self.keystore)

    def listener(self, **config: object) -> dict[str, object]:
        """The configs of an SSL listener."""
        return {
            "listen": "SSL://127.0.0.1:0",
            "ssl_keystore_location": str(self.keystore),
            **config,
        }

    def client(self, certificate: str | None = None) -> ssl.SSLContext:
        """What a client connects with."""
        context = ssl.create_default_context(cafile=self.trust)
        if certificate is not None:
            self.ca.issue_cert(certificate).configure_cert(context)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def connect(address: tuple[str, int], context: ssl.SSLContext) -> Client:
    return Client(*await asyncio.open_connection(*address, ssl=context))


async def test_a_client_over_tls(redis_url: str, namespace: str, authority: Authority) -> None:
    async with gateway(redis_url, namespace, **authority.listener()) as running:
        config = {
            "bootstrap.servers": f"127.0.0.1:{running.address[1]}",
            "security.protocol": "SSL",
            "ssl.ca.location": str(authority.trust),
            "group.id": "g",
        }

        def work() -> bytes | None:
            producer = Producer({key: config[key] for key in list(config)[:3]})
            producer.produce("t", b"v" * 100_000)
            assert producer.flush(20) == 0
            consumer = Consumer(config)
            consumer.assign([TopicPartition("t", 0, 0)])
            record = consumer.poll(20)
            consumer.close()
            assert record is not None
            value: bytes | None = record.value()
            return value

        assert await asyncio.to_thread(work) == b"v" * 100_000
        await until(lambda: not running._connections)


async def test_who_speaks_no_tls_is_named_and_holds_nothing_up(
    redis_url: str, namespace: str, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with gateway(redis_url, namespace, **authority.listener()) as running:
        async with await Client.connect(running) as plain:
            plain.send(request(18, 0, {}))
            assert await plain.frame() == b""
        silent = await asyncio.open_connection(*running.address)
        client = await connect(running.address, authority.client())
        async with client:
            assert (await client.ask(18, 0)).error_code == 0
        silent[1].close()
        await until(lambda: running.meter.problems["no TLS"] == 2)
        assert running.meter.connections["SSL"] <= 1
        await until(lambda: running.meter.connections["SSL"] == 0)
    problems = [record.getMessage() for record in caplog.records]
    assert len([line for line in problems if "no TLS handshake" in line]) == 2, problems


async def test_a_client_over_tls_that_takes_nothing(
    redis_url: str, namespace: str, authority: Authority
) -> None:
    listeners = authority.listener(listen="PLAINTEXT://127.0.0.1:0,SSL://127.0.0.1:0")
    async with gateway(redis_url, namespace, connections_max_idle_ms=500, **listeners) as running:
        await fill(running, 12)
        secure = running._listening[1].address
        async with await connect(secure, authority.client()) as client:
            await take_nothing(running, client)
            await until(lambda: not running._connections)
        assert running.meter.problems["idle"] == 1
        assert running.unsent_bytes == 0


async def test_a_client_whose_machine_is_gone_is_noticed(redis_url: str, namespace: str) -> None:
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        await client.ask(18, 0)
        (connection,) = running._connections
        assert connection._transport is not None
        accepted = connection._transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("asked", ["none", "requested", "required"])
async def test_certificates_of_clients(
    redis_url: str, namespace: str, authority: Authority, asked: str, tmp_path: Path
) -> None:
    trust = {"ssl_truststore_location": str(authority.trust), "ssl_client_auth": asked}
    (tmp_path / "stranger").mkdir()
    stranger = Authority(tmp_path / "stranger")
    async with gateway(redis_url, namespace, **authority.listener(**trust)) as running:

        async def answered(certificate: str | None, signer: Authority) -> bool:
            context = ssl.create_default_context(cadata=authority.ca.cert_pem.bytes().decode())
            if certificate is not None:
                signer.ca.issue_cert(certificate).configure_cert(context)
            try:
                client = await connect(running.address, context)
            except OSError:
                return False
            async with client:
                client.send(request(18, 0, {}))
                return await client.frame() != b""

        assert await answered("client.example", authority)
        assert await answered(None, authority) == (asked != "required")
        # TLS 1.3: the client hears only afterwards that it is not known.
        assert await answered("client.example", stranger) == (asked == "none")


@pytest.mark.parametrize("by", ["itself", "SIGHUP"])
async def test_certificates_are_renewed_without_a_restart(
    redis_url: str, namespace: str, authority: Authority, by: str
) -> None:
    interval = 100 if by == "itself" else 3_600_000
    config = authority.listener(ssl_reload_interval_ms=interval)

    async def shown() -> set[str]:
        client = await connect(running.address, authority.client())
        async with client:
            told = client.writer.get_extra_info("peercert")["subjectAltName"]
            return {name for kind, name in told if kind == "DNS"}

    async def renewed() -> bool:
        return await shown() == {"new.example"}

    async with (
        gateway(redis_url, namespace, **config) as running,
        await connect(running.address, authority.client()) as before,
    ):
        assert await shown() == set()
        authority.renew("new.example")
        if by == "SIGHUP":
            running.reload()
        await until(renewed)
        assert (await before.ask(18, 0)).error_code == 0, "who was there goes on"
        # What cannot be used is not.
        authority.keystore.write_text("no certificate", encoding="ascii")
        running.reload()
        assert await renewed()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda one: one.keystore.unlink(), "there is no file"),
        (lambda one: one.keystore.write_text("x"), "expected PEM files with a certificate"),
        (lambda one: one.ca.cert_pem.write_to_path(one.keystore), "ssl_keystore_location="),
    ],
)
async def test_a_keystore_that_is_none_is_named(
    redis_url: str, namespace: str, authority: Authority, spoil: object, said: str
) -> None:
    assert callable(spoil)
    spoil(authority)
    with pytest.raises(ConfigError, match=said):
        async with gateway(redis_url, namespace, **authority.listener()):
            pass


async def test_certificates_given_as_text_and_a_key_in_a_file_of_its_own(
    redis_url: str, namespace: str, authority: Authority
) -> None:
    issued = authority.ca.issue_cert("127.0.0.1")
    chain = "".join(one.bytes().decode() for one in issued.cert_chain_pems)
    key = authority.folder / "key.pem"
    issued.private_key_pem.write_to_path(key)
    (authority.folder / "chain.pem").write_text(chain, encoding="ascii")
    for config in (
        {"ssl_keystore_certificate_chain": chain, "ssl_keystore_key": key.read_text("ascii")},
        {
            "ssl_keystore_location": str(authority.folder / "chain.pem"),
            "ssl_keystore_key_location": str(key),
        },
    ):
        async with gateway(redis_url, namespace, listen="SSL://127.0.0.1:0", **config) as running:
            client = await connect(running.address, authority.client())
            async with client:
                assert (await client.ask(18, 0)).error_code == 0


async def test_each_listener_tells_its_own_address(
    redis_url: str, namespace: str, authority: Authority
) -> None:
    two = {
        "listen": "INTERNAL://127.0.0.1:0,SSL://127.0.0.1:0",
        "listener_security_protocol_map": "INTERNAL:PLAINTEXT",
        "advertised": "SSL://gateway.example:9093",
        "ssl_keystore_location": str(authority.keystore),
    }
    async with (
        gateway(redis_url, namespace, **two) as running,
        gateway(redis_url, namespace, broker_rack="r", broker_heartbeat_interval_ms=50) as plain,
    ):
        await until(lambda: len(plain.broker.registry.nodes) == 2)
        await running.broker.registry._register()
        secure = running._listening[1].address
        async with (
            await Client.connect(running) as inside,
            await connect(secure, authority.client()) as outside,
            await Client.connect(plain) as other,
        ):
            await create(inside, "t", partitions=8)
            for client, port in ((inside, running.address[1]), (outside, 9093)):
                told = await client.ask(3, 9, topics=[{"name": "t"}])
                assert [(one.node_id, one.port) for one in told.brokers] == [(1, port)]
                assert told.controller_id == 1
                assert {row.leader_id for row in told.topics[0].partitions} == {1}
                assert (await client.ask(60, 0)).brokers[0].port == port
                assert (await client.ask(10, 0, key="g")).port == port
            told = await other.ask(3, 9, topics=[])
            assert [(one.node_id, one.rack) for one in told.brokers] == [(2, "r")]


async def test_so_many_connections_from_one_address(redis_url: str, namespace: str) -> None:
    async with (
        gateway(redis_url, namespace, max_connections_per_ip=1) as running,
        await Client.connect(running) as one,
    ):
        assert (await one.ask(18, 0)).error_code == 0
        async with await Client.connect(running) as two:
            two.send(request(18, 0, {}))
            assert await two.frame() == b""
        assert running.meter.problems["too many"] == 1
        one.writer.close()
        await until(lambda: not running._connections)
        async with await Client.connect(running) as three:
            assert (await three.ask(18, 0)).error_code == 0


async def test_other_limits_for_single_addresses(redis_url: str, namespace: str) -> None:
    limits = {"max_connections_per_ip": 0, "max_connections_per_ip_overrides": "localhost:2"}
    async with gateway(redis_url, namespace, **limits) as running:
        let_in = [await Client.connect(running) for _ in range(2)]
        for client in let_in:
            assert (await client.ask(18, 0)).error_code == 0
        async with await Client.connect(running) as third:
            assert await third.frame() == b""
        for client in let_in:
            client.writer.close()
        await until(lambda: not running._connections)


async def test_a_host_that_cannot_be_looked_up(redis_url: str, namespace: str) -> None:
    limits = {"max_connections_per_ip_overrides": "a..b:2"}
    with pytest.raises(ConfigError, match=r"'a\.\.b'"):
        async with gateway(redis_url, namespace, **limits):
            pass


async def test_connections_are_counted_before_their_handshake(
    redis_url: str, namespace: str, authority: Authority
) -> None:
    async with gateway(redis_url, namespace, **authority.listener(max_connections=1)) as running:
        _, silent = await asyncio.open_connection(*running.address)
        await until(lambda: running.meter.connections["SSL"] == 1)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await connect(running.address, authority.client())
        silent.close()
        await until(lambda: running.meter.connections["SSL"] == 0)
        async with await connect(running.address, authority.client()) as client:
            assert (await client.ask(18, 0)).error_code == 0


async def test_a_request_that_nobody_makes_room_for(redis_url: str, namespace: str) -> None:
    """Beginnings of requests fill the room: one of those who sent them goes, the others stay."""
    limits = {"queued_max_request_bytes": 1 << 20, "socket_request_max_bytes": 1 << 20}
    async with gateway(redis_url, namespace, **limits) as running:
        begun = (1 << 20).to_bytes(4, "big") + bytes(700_000)
        async with await Client.connect(running) as one, await Client.connect(running) as two:
            one.send(begun)
            await until(lambda: running.held_bytes == len(begun))
            two.send(begun)
            assert await two.frame() == b""
            await until(lambda: running.held_bytes == len(begun))
            async with await Client.connect(running) as three:
                assert (await three.ask(18, 0)).error_code == 0
        await until(lambda: running.held_bytes == 0)


async def test_answers_arrive_although_more_was_sent(redis_url: str, namespace: str) -> None:
    """Whoever hangs up with unread bytes resets the connection, and answers are lost with it."""
    async with gateway(redis_url, namespace) as running, await Client.connect(running) as client:
        client.send(request(18, 0, {}) * 20)
        await until(lambda: running.meter.apis.get(18) and running.meter.apis[18].requests == 20)
        draining = asyncio.create_task(running.drain())
        await until(running.broker.draining.is_set)
        client.send(request(18, 0, {}) * 1_000)
        for _ in range(20):
            assert response(18, 0, await client.frame()).error_code == 0
        while await client.frame():
            pass
        client.writer.close()
        await draining


async def test_one_line_for_each_request(
    redis_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "partstream.gateway")
    async with gateway(redis_url, namespace) as running:
        async with await Client.connect(running) as client:
            await client.ask(3, 9, topics=[{"name": "t-" + "x" * 300}])
        await until(lambda: not running._connections)
    lines = [record.getMessage() for record in caplog.records]
    assert any("connected to PLAINTEXT" in line for line in lines)
    assert any("test: Metadata v9" in line and "errors [17]" in line for line in lines), lines
    assert any(line.endswith(": disconnected") for line in lines)
