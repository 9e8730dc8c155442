"""Processes that serve: several behind one address, what signals do to them, their admin port."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from partstream.embedded.server import EmbeddedServer
from tests.cli.test_serve_command import SERVE, serving
from tests.gateway.test_listeners import Authority
from tests.waiting import wait_until

LINUX = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="connections are spread over processes by Linux"
)


def children(process: subprocess.Popen[str]) -> set[int]:
    """The workers of a gateway."""
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return {int(pid) for pid in tasks.read_text("ascii").split() if _serves(int(pid))}


def _serves(pid: int) -> bool:
    try:
        return b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@contextmanager
def free_ports(count: int) -> Iterator[int]:
    """The first of some ports in a row that are free, as far as can be told."""
    for base in range(20_000, 30_000, count):
        try:
            for port in range(base, base + count):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", port))
        except OSError:
            continue
        yield base
        return
    pytest.fail("there are no free ports")


def page(port: int, path: str) -> tuple[int, str]:
    """The status and the text of a page of the admin port."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@LINUX
def test_workers_are_one_broker(redis_url: str, namespace: str) -> None:
    options = ("--url", redis_url, "--namespace", namespace, "--workers", "2")
    with serving(*options) as (process, address):
        before = children(process)
        assert len(before) == 2
        told = AdminClient({"bootstrap.servers": address}).list_topics(timeout=20)
        assert [f"{one.host}:{one.port}" for one in told.brokers.values()] == [address]
        producers = [Producer({"bootstrap.servers": address}) for _ in range(8)]
        for producer in producers:
            producer.produce("t", b"v", partition=0)
            assert producer.flush(60) == 0
        gone = min(before)
        subprocess.run(["kill", "-9", str(gone)], check=True)
        wait_until(lambda: len(children(process) - {gone}) == 2, within=30)
        for producer in producers:
            producer.produce("t", b"v", partition=0)
            assert producer.flush(60) == 0
        consumer = Consumer({"bootstrap.servers": address, "group.id": "g"})
        consumer.assign([TopicPartition("t", 0, 0)])
        wait_until(lambda: consumer.poll(1) is not None, within=30)
        assert consumer.get_watermark_offsets(TopicPartition("t", 0), timeout=20) == (0, 16)
        consumer.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout is not None
        assert process.stdout.read() == "Stopped.\n"
        assert process.stderr is not None
        assert "has ended with -9; it is started again" in process.stderr.read()


@LINUX
def test_workers_end_with_whoever_started_them(redis_url: str, namespace: str) -> None:
    options = ("--url", redis_url, "--namespace", namespace, "--workers", "2")
    with serving(*options) as (process, _):
        workers = children(process)
        process.kill()
        process.wait()
        wait_until(lambda: not any(map(_serves, workers)), within=30)


@LINUX
def test_workers_that_cannot_start_say_so_once(redis_url: str, namespace: str) -> None:
    for options, said in (
        (["--url", "redis://127.0.0.1:1", "-X", "request.timeout.ms=500"], "127.0.0.1:1"),
        (["--url", redis_url, "-X", "broker.heartbeat.interval.ms=9000"], "expected less than"),
    ):
        done = subprocess.run(
            [*SERVE, "--workers", "2", *options],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


@LINUX
def test_an_address_that_another_gateway_has(redis_url: str, namespace: str) -> None:
    options = ("--url", redis_url, "--namespace", namespace)
    with serving(*options, "--workers", "2") as (_, address):
        done = subprocess.run(
            [SERVE[0], "serve", *options, "--listen", address, "--workers", "2"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert f"listen='{address}'" in done.stderr


@LINUX
def test_health_and_metrics_of_each_worker(fresh_server: EmbeddedServer) -> None:
    with free_ports(2) as port:
        options = ("--url", fresh_server.url, "--workers", "2", "--admin", f"127.0.0.1:{port}")
        with serving(*options, "-X", "request.timeout.ms=1000") as (_, address):
            admin = AdminClient({"bootstrap.servers": address})
            admin.list_topics(timeout=20)
            future = admin.list_consumer_groups(request_timeout=20)
            assert future.result() is not None
            texts = [page(one, "/metrics")[1] for one in (port, port + 1)]
            counts = [
                sum(map(float, re.findall(r'_requests_total{api="Metadata"} (\S+)', text)))
                for text in texts
            ]
            assert sum(counts) >= 1
            assert all('partstream_links{client_id="partstream-gateway"' in text for text in texts)
            assert page(port, "/healthz") == (200, "ok\n")
            assert page(port, "/readyz") == (200, "ready\n")
            assert page(port, "/")[0] == 404
            fresh_server.pause()
            wait_until(lambda: page(port, "/readyz")[0] == 503, within=30)
            assert page(port, "/healthz") == (200, "ok\n"), "a restart would not bring Redis back"
            fresh_server.resume()
            wait_until(lambda: page(port, "/readyz")[0] == 200, within=30)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=LINUX)])
def test_a_second_signal_ends_at_once(fresh_server: EmbeddedServer, workers: int) -> None:
    options = ("--url", fresh_server.url, "--workers", str(workers))
    with serving(*options, "-X", "drain.timeout.ms=60000") as (process, address):
        producer = Producer({"bootstrap.servers": address})
        producer.produce("t", b"v")
        assert producer.flush(60) == 0
        # What is under way now cannot be answered: draining would wait for it.
        fresh_server.pause()
        producer.produce("t", b"v")
        producer.poll(1)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        fresh_server.resume()
        producer.purge()


def test_draining_ends_although_redis_does_not_answer(fresh_server: EmbeddedServer) -> None:
    with serving("--url", fresh_server.url, "-X", "drain.timeout.ms=1000") as (process, address):
        producer = Producer({"bootstrap.servers": address})
        producer.produce("t", b"v")
        assert producer.flush(60) == 0
        fresh_server.pause()
        producer.produce("t", b"v")
        producer.poll(1)
        process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        assert process.wait(60) == 0
        took = time.monotonic() - begun
        fresh_server.resume()
        producer.purge()
        assert took < 9, "it did not wait for request.timeout.ms"


@LINUX
def test_sighup_renews_the_certificates_of_every_worker(
    redis_url: str, namespace: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    options = ("--url", redis_url, "--namespace", namespace, "--workers", "2")
    keystore = f"ssl.keystore.location={authority.keystore}"
    slow = "ssl.reload.interval.ms=3600000"
    listen = ("--listen", "SSL://127.0.0.1:0")
    with serving(*options, *listen, "-X", keystore, "-X", slow) as (process, address):

        def shown() -> bool:
            host, _, port = address.rpartition(":")
            with (
                socket.create_connection((host, int(port)), timeout=10) as plain,
                authority.client().wrap_socket(plain, server_hostname=host) as secure,
            ):
                told = secure.getpeercert() or {}
            return ("DNS", "new.example") in told["subjectAltName"]

        assert not any(shown() for _ in range(8))
        authority.renew("new.example")
        process.send_signal(signal.SIGHUP)
        # Each connection goes to one of the workers, by chance.
        wait_until(lambda: all(shown() for _ in range(16)), within=30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_clients_move_on_to_another_gateway(
    redis_url: str, namespace: str, number: signal.Signals
) -> None:
    """One of two goes while records are produced: none is lost, and none is there twice."""
    options = ("--url", redis_url, "--namespace", namespace)
    with serving(*options) as (one, first), serving(*options) as (_, second):
        failed: list[object] = []
        acknowledged: list[tuple[int, int]] = []

        def delivered(error: object, message: object) -> None:
            if error is not None:
                failed.append(error)
            else:
                acknowledged.append((message.partition(), message.offset()))  # type: ignore[attr-defined]  # confluent_kafka has no types

        producer = Producer(
            {
                "bootstrap.servers": f"{first},{second}",
                "enable.idempotence": True,
                "linger.ms": 1,
                "log_level": 0,
            }
        )
        admin = AdminClient({"bootstrap.servers": second, "log_level": 0})
        wait_until(lambda: len(admin.list_topics(timeout=20).brokers) == 2, within=20)
        sent = 0

        def send(count: int) -> None:
            nonlocal sent
            for _ in range(count):
                producer.produce("t", str(sent).encode(), on_delivery=delivered)
                sent += 1
                producer.poll(0.001)

        send(300)
        assert producer.flush(60) == 0
        one.send_signal(number)
        while one.poll() is None:
            send(20)
        assert one.returncode == (0 if number == signal.SIGTERM else -number)
        send(300)
        assert producer.flush(60) == 0
        assert not failed
        assert len(set(acknowledged)) == sent
        consumer = Consumer({"bootstrap.servers": second, "group.id": "g", "log_level": 0})
        _, end = consumer.get_watermark_offsets(TopicPartition("t", 0), timeout=20)
        consumer.close()
        assert end == sent, json.dumps({"lost or twice": sent - end})
