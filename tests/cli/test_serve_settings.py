"""Where `serve` has its configs from, and what it says of those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from partstream.cli.serve_settings import gather
from partstream.cli.settings import Settings
from partstream.config.gateway import GatewayConfig
from partstream.config.listeners import Listener
from partstream.config.without_meaning import WITHOUT_MEANING
from partstream.errors import ConfigError
from tests.differential.recordings import read


def given(*properties: tuple[str, str], **flags: object) -> GatewayConfig:
    return gather(Settings(properties=properties), flags, None, {})


def test_flags_go_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.properties"
    file.write_text(
        "# Kafka's names\n"
        "num.partitions=2\n"
        "message.max.bytes : 2000\n"
        "auto.create.topics.enable false\n"
        "listeners = PLAINTEXT://127.0.0.1:1,\\\n"
        "    OTHER://127.0.0.1:2\n"
        "listener.security.protocol.map=OTHER:PLAINTEXT\n"
        "max.connections=7\n",
        encoding="utf-8",
    )
    environment = {
        "PARTSTREAM_SERVE_NUM_PARTITIONS": "3",
        "PARTSTREAM_SERVE_MESSAGE_MAX_BYTES": "3000",
        "PARTSTREAM_SERVE_CONFIG": str(file),
        "PARTSTREAM_URL": "redis://not.here",
    }
    settings = Settings(properties=(("message.max.bytes", "4000"),))
    flags = {"node_id": 5, "workers": None}
    config = gather(settings, flags, file, environment)
    assert (config.num_partitions, config.message_max_bytes) == (3, 4000)
    assert (config.node_id, config.workers, config.max_connections) == (5, 1, 7)
    assert not config.auto_create_topics_enable
    assert [str(one) for one in config.listeners] == [
        "PLAINTEXT://127.0.0.1:1",
        "OTHER://127.0.0.1:2",
    ]
    assert gather(settings, {"listen": "[::1]:9"}, file, {}).listeners == (
        Listener("PLAINTEXT", "::1", 9),
    ), "the flag has another name than the line of the file"


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"num.partitions": "0"}, "num_partitions='0': expected at least 1"),
        ({"num.partitions": "many"}, "num_partitions='many': expected an integer"),
        ({"num.partitons": "1"}, "unknown gateway config 'num_partitons'; did you mean"),
        ({"log.retention.byts": "1"}, "did you mean 'log_retention_bytes'"),
        ({"log.retention.bytes": "-2"}, "log_retention_bytes='-2': expected at least -1"),
        ({"log.retention.minutes": "0"}, "log_retention_minutes='0': expected -1 or at least 1"),
        ({"log.segment.bytes": "9"}, "log_segment_bytes='9': expected at least 1024"),
        ({"log.cleanup.policy": "keep"}, "log_cleanup_policy='keep': expected 'delete', 'compact'"),
        ({"compression.gzip.level": "10"}, "compression_gzip_level=10: expected 1 to 9, or -1"),
        ({"compression.type": "brotli"}, "compression_type='brotli': expected 'producer'"),
        (
            {
                "log.cleaner.min.compaction.lag.ms": "9",
                "log.cleaner.max.compaction.lag.ms": "4",
            },
            "min.compaction.lag.ms (9) > max.compaction.lag.ms (4)",
        ),
        ({"group.consumer.assignors": "sticky"}, "group_consumer_assignors='sticky': expected"),
        (
            {
                "group.consumer.session.timeout.ms": "9000",
                "group.consumer.min.session.timeout.ms": "10000",
            },
            "group_consumer_session_timeout_ms=9000: expected",
        ),
        ({"authorizer.class.name": "a.B"}, "there is no authorization yet"),
        ({"ssl.keystore.password": "hush"}, "of which only the key has a password"),
        ({"listeners": "PLAINTEXT://:9092"}, "expected advertised, too"),
        (
            {
                "listeners": "PLAINTEXT://:9092",
                "advertised.listeners": "PLAINTEXT://0.0.0.0:9092",
            },
            "expected an address that clients can reach",
        ),
        ({"listeners": "C://:9093", "controller.listener.names": "C"}, "expected HOST:PORT"),
        ({"listeners": "SASL_SSL://127.0.0.1:1"}, "expected no SASL_SSL"),
        ({"listeners": "OTHER://127.0.0.1:1"}, "listener_security_protocol_map"),
        ({"listeners": "A://h:1,A://h:2", "listener.security.protocol.map": "A:SSL"}, "A is there"),
        ({"listener.security.protocol.map": "A=SSL"}, "expected NAME:PLAINTEXT or NAME:SSL"),
        ({"listeners": "0.0.0.0:9092"}, "listen='0.0.0.0:9092': expected advertised, too"),
        ({"advertised.listeners": "SSL://h:1"}, "expected one of PLAINTEXT, and SSL is none"),
        ({"listeners": "SSL://127.0.0.1:1"}, "expected ssl_keystore_location"),
        ({"ssl.keystore.type": "JKS"}, "ssl_keystore_type='JKS': expected 'PEM'"),
        ({"ssl.client.auth": "required"}, "expected a ssl_truststore_location"),
        ({"ssl.client.auth": "maybe"}, "ssl_client_auth='maybe': expected 'none'"),
        ({"ssl.enabled.protocols": "SSLv3"}, "expected TLSv1.2 or TLSv1.3"),
        ({"ssl.keystore.key": "x"}, "together with ssl_keystore_certificate_chain"),
        ({"admin.listen": "9090"}, "admin_listen='9090': expected HOST:PORT"),
        ({"broker.rack": "a|b"}, "broker_rack='a|b'"),
        ({"default.replication.factor": "0"}, "default_replication_factor='0': expected at least"),
        ({"max.connections.per.ip": "-1"}, "max_connections_per_ip='-1': expected at least 0"),
        ({"max.connections.per.ip": "0"}, "expected max_connections_per_ip_overrides, too"),
        ({"max.connections.per.ip.overrides": "h"}, "'h': expected HOST:N"),
        ({"max.connections.per.ip.overrides": "h:-1"}, "'h:-1': expected HOST:N"),
        ({"max.connections.per.ip.overrides": "a/b:1"}, "'a/b:1': expected HOST:N"),
        ({"max.connections.per.ip.overrides": "h:2147483648"}, "expected at most 2147483647"),
        ({"max.connections.per.ip.overrides": "h:1,h:2"}, "'h' is there twice"),
    ],
)
def test_what_is_wrong_is_named(properties: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        given(*properties.items())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


_SERVER_PROPERTIES = """
# What Apache Kafka 4 has in its config folder.
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,\
    SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
"""


def test_a_file_of_kafka_can_be_used_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "server.properties"
    file.write_text(_SERVER_PROPERTIES, encoding="utf-8")
    warnings: list[str] = []
    environment = {"PARTSTREAM_SERVE_NUM_IO_THREADS": "4"}
    config = gather(Settings(), {}, file, environment, warnings.append)
    assert config.listeners == (Listener("PLAINTEXT", "0.0.0.0", 9092),)
    assert config.told == {"PLAINTEXT": ("localhost", 9092)}
    assert config.topic_defaults == {"retention.ms": "604800000", "segment.bytes": "1073741824"}
    (warning,) = warnings
    assert "log.dirs" in warning
    assert warning.count("num.io.threads") == 1
    assert "log.retention.hours" not in warning


def test_old_and_new_names_of_the_node() -> None:
    assert given(("broker.id", "7")).node_id == 7
    assert given(("broker.id", "7"), node_id=None).node_id == 7


def test_what_kafka_knows_is_served_ignored_or_refused() -> None:
    """Of all that Kafka 4.3 has, nothing is a name that nobody knows."""
    known = read("configs")["types_of_broker_configs"]["4"][0]
    served = {"listeners", "advertised.listeners", "broker.id"}
    served |= {name.replace("_", ".") for name in GatewayConfig.model_fields}
    rest = known.keys() - served - WITHOUT_MEANING
    assert rest <= {
        *("alter.config.policy.class.name", "authorizer.class.name"),
        *("create.topic.policy.class.name", "ssl.engine.factory.class", "ssl.keystore.password"),
        *("ssl.truststore.password",),
    }
    for name in rest:
        with pytest.raises(ConfigError) as caught:
            given((name, "x"))
        assert "did you mean" not in str(caught.value)
    assert WITHOUT_MEANING & served == {"metric.reporters"}, "there, they are no Java classes"


@pytest.mark.parametrize(
    ("properties", "topics"),
    [
        ({}, {}),
        ({"log.retention.hours": "2", "log.retention.minutes": "3"}, {"retention.ms": "180000"}),
        ({"log.retention.minutes": "3", "log.retention.ms": "5"}, {"retention.ms": "5"}),
        ({"log.retention.hours": "-1"}, {"retention.ms": "-1"}),
        ({"log.roll.hours": "1"}, {"segment.ms": "3600000"}),
        ({"log.cleanup.policy": "compact, delete"}, {"cleanup.policy": "compact,delete"}),
        (
            {"log.cleaner.min.cleanable.ratio": "0.25", "compression.type": "zstd"},
            {"min.cleanable.dirty.ratio": "0.25", "compression.type": "zstd"},
        ),
        ({"message.max.bytes": "1048588"}, {"max.message.bytes": "1048588"}),
    ],
)
def test_defaults_of_topics(properties: dict[str, str], topics: dict[str, str]) -> None:
    assert given(*properties.items()).topic_defaults == topics


def test_bounds_give_way_to_a_timeout_that_is_given() -> None:
    config = given(
        ("group.consumer.session.timeout.ms", "90000"),
        ("group.consumer.heartbeat.interval.ms", "1000"),
    )
    assert config.group_consumer_max_session_timeout_ms == 90_000
    assert config.group_consumer_min_session_timeout_ms == 45_000
    assert config.group_consumer_min_heartbeat_interval_ms == 1_000


def test_a_secret_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        given(("ssl.keystore.key", "hush"), ("num.partitions", "0"))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("num.partitions", "line 1: 'num.partitions': expected NAME=VALUE"),
        ("\n a=1\na=2", "line 3: 'a': expected once"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "gateway.properties"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        gather(Settings(), {}, file, {})
    assert f"{file}, {said}" in str(caught.value)
    with pytest.raises(ConfigError, match="No such file"):
        gather(Settings(), {}, tmp_path / "none", {})
