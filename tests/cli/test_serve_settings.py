"""Where `serve` has its configs from, and what it says of those that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from partstream.cli.serve_settings import gather
from partstream.cli.settings import Settings
from partstream.config.gateway import GatewayConfig
from partstream.config.listeners import Listener
from partstream.errors import ConfigError


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
        ({"log.dirs": "/var"}, "'log_dirs': records are in Redis"),
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
