"""`partstream serve`: one command is a broker; a signal ends it gently, a second one at once."""

from __future__ import annotations

import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition

from partstream.gateway.codec import Struct
from tests.gateway.gateways import request, response

METADATA = 3
SERVE = [str(Path(sys.executable).parent / "partstream"), "serve", "--listen", "127.0.0.1:0"]


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A gateway in a process of its own, and its address."""
    process = subprocess.Popen(
        [*SERVE, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"node \d+ serves Kafka on (\S+) as", line)
        assert found, (line, process.stderr and process.stderr.read())
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


def ask(address: str, key: int, version: int, **values: object) -> Struct:
    """Send a request and wait for its answer, without a client that would connect elsewhere."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request(key, version, values))
        with connection.makefile("rb") as answers:
            (length,) = struct.unpack(">i", answers.read(4))
            return response(key, version, answers.read(length))


def test_one_command_is_a_broker(redis_url: str, namespace: str) -> None:
    with serving("--url", redis_url, "--namespace", namespace) as (process, address):
        producer = Producer({"bootstrap.servers": address})
        producer.produce("t", b"v")
        assert producer.flush(10) == 0
        # Without commits: it would wait for the gateway to take the last one.
        consumer = Consumer(
            {"bootstrap.servers": address, "group.id": "g", "enable.auto.commit": False}
        )
        consumer.assign([TopicPartition("t", 0, 0)])
        record = consumer.poll(10)
        assert record is not None
        assert record.value() == b"v"
        # It waits for more while the gateway ends.
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout is not None
        assert process.stdout.read() == "Stopped.\n"
        consumer.close()


def test_configs_by_kafkas_names(redis_url: str, namespace: str) -> None:
    options = ("--url", redis_url, "--namespace", namespace, "-X", "num.partitions=5")
    with serving(*options, "--advertised", "127.0.0.1:1", "--node-id", "42") as (_, address):
        told = ask(address, METADATA, 9, topics=[{"name": "t"}], allow_auto_topic_creation=True)
        assert [(broker.node_id, broker.port) for broker in told.brokers] == [(42, 1)]
        assert len(told.topics[0].partitions) == 5


def test_what_is_refused_is_said_in_one_line() -> None:
    for options, said in (
        (["--listen", "nowhere"], "listen='nowhere': expected HOST:PORT"),
        (["-X", "num.partitons=5"], "did you mean 'num_partitions'"),
        (["-X", "num.partitions=0"], "num_partitions='0': expected at least 1"),
    ):
        done = subprocess.run(
            [*SERVE, *options], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 1
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_an_open_door_is_pointed_out(redis_url: str, namespace: str) -> None:
    options = ("--url", redis_url, "--namespace", namespace, "--listen", "0.0.0.0:0")
    with serving(*options, "--advertised", "127.0.0.1:0") as (process, _):
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
        assert "without authentication" in errors
