"""The clients' configs: Kafka's defaults, Kafka's rules between them, and errors that help."""

from __future__ import annotations

import inspect
import traceback
from typing import Any

import pytest

from partstream.config import AdminConfig, ConsumerConfig, ProducerConfig, load
from partstream.errors import ConfigError
from partstream.store.store import Store


def fault(model: Any, **values: object) -> str:
    with pytest.raises(ConfigError) as raised:
        load(model, values)
    return str(raised.value)


@pytest.mark.parametrize("model", [ProducerConfig, ConsumerConfig, AdminConfig])
def test_every_config_has_a_default(model: Any) -> None:
    config = load(model, {})
    assert config.url is None
    assert config.namespace == "ps"
    assert config.request_timeout_ms == 30_000


@pytest.mark.parametrize(
    ("given", "expected"),
    [(0, 0), (1, 1), ("0", 0), ("1", 1), ("all", "all"), (-1, "all"), ("-1", "all")],
)
def test_acks_takes_kafkas_spellings(given: object, expected: object) -> None:
    assert load(ProducerConfig, {"acks": given}).acks == expected


@pytest.mark.parametrize("acks", [2, "some", True, None, [1]])
def test_acks_refuses_others(acks: object) -> None:
    assert f"acks={acks!r}" in fault(ProducerConfig, acks=acks)


@pytest.mark.parametrize("other", [{"acks": 1}, {"retries": 0}])
def test_idempotence_gives_way_unless_asked_for(other: dict[str, Any]) -> None:
    assert load(ProducerConfig, {}).enable_idempotence
    assert not load(ProducerConfig, other).enable_idempotence
    message = fault(ProducerConfig, enable_idempotence=True, **other)
    assert "enable_idempotence" in message
    assert next(iter(other)) in message


def test_idempotence_allows_five_in_flight() -> None:
    name = "max_in_flight_requests_per_connection"
    assert load(ProducerConfig, {name: 5}).enable_idempotence
    assert f"{name}=6" in fault(ProducerConfig, **{name: 6})
    assert load(ProducerConfig, {name: 6, "enable_idempotence": False})


def test_delivery_timeout_covers_linger_and_request() -> None:
    assert "30005" in fault(ProducerConfig, delivery_timeout_ms=30_004)
    assert load(ProducerConfig, {"delivery_timeout_ms": 30_005})
    raised = load(ProducerConfig, {"request_timeout_ms": 200_000})
    assert raised.delivery_timeout_ms == 200_005


def test_heartbeat_stays_below_the_session() -> None:
    assert load(ConsumerConfig, {}).heartbeat_interval_ms == 5_000
    assert load(ConsumerConfig, {"session_timeout_ms": 900}).heartbeat_interval_ms == 300
    message = fault(ConsumerConfig, session_timeout_ms=900, heartbeat_interval_ms=900)
    assert "heartbeat_interval_ms=900" in message
    assert "session_timeout_ms=900" in message


def test_auto_commit_needs_a_group() -> None:
    assert load(ConsumerConfig, {"group_id": "g"}).enable_auto_commit
    assert not load(ConsumerConfig, {}).enable_auto_commit
    assert "group_id" in fault(ConsumerConfig, enable_auto_commit=True)
    assert "group_id=''" in fault(ConsumerConfig, group_id="")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"linger_ms": -1}, "linger_ms=-1: expected at least 0"),
        ({"linger_ms": 2**31}, "linger_ms=2147483648: expected at most 2147483647"),
        ({"linger_ms": 1.5}, "linger_ms=1.5: expected an integer"),
        ({"linger_ms": True}, "linger_ms=True: expected"),
        ({"compression_type": "br"}, "compression_type='br': expected 'none', 'gzip'"),
        ({"compression_gzip_level": 0}, "compression_gzip_level=0: expected 1 to 9, or -1"),
        ({"compression_gzip_level": 10}, "compression_gzip_level=10: expected 1 to 9, or -1"),
        ({"compression_lz4_level": 0}, "compression_lz4_level=0: expected at least 1"),
        ({"compression_lz4_level": 18}, "compression_lz4_level=18: expected at most 17"),
        ({"compression_zstd_level": 23}, "compression_zstd_level=23: expected at most 22"),
        ({"compression_zstd_level": -131_073}, "compression_zstd_level=-131073: expected at least"),
        ({"partitioner": 3}, "partitioner=3: expected a callable"),
        ({"namespace": "a b"}, "namespace='a b': expected 1 to 64"),
        ({"ssl_keyfile": "k.pem"}, "ssl_certfile"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(
    values: dict[str, object], expected: str
) -> None:
    assert expected in fault(ProducerConfig, **values)


def test_all_faults_come_in_one_error() -> None:
    message = fault(ProducerConfig, linger_ms=-1, batch_size="x")
    assert "linger_ms=-1" in message
    assert "batch_size='x'" in message


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("liner_ms", "linger_ms"),
        ("linger.ms", "linger_ms"),
        ("Batch_Size", "batch_size"),
        ("max_in_flight", "max_in_flight_requests_per_connection"),
    ],
)
def test_an_unknown_key_names_the_nearest(key: str, near: str) -> None:
    message = fault(ProducerConfig, **{key: 1})
    assert f"unknown producer config {key!r}; did you mean {near!r}?" in message


def test_an_unknown_key_like_no_other_names_none() -> None:
    assert fault(ConsumerConfig, zzz=1) == "unknown consumer config 'zzz'"


def test_a_key_of_kafkas_says_what_stands_in_its_place() -> None:
    assert "the URL" in fault(ProducerConfig, bootstrap_servers="localhost:9092")
    assert "no transactions yet" in fault(ProducerConfig, transactional_id="t")


def test_secrets_stay_out_of_messages_and_reprs() -> None:
    url = "redis://:hunter2@localhost"
    config = load(ProducerConfig, {"url": url, "password": "hunter2"})
    assert "hunter2" not in repr(config) + str(config)
    assert config.connection()["url"] == url
    assert config.connection()["options"] == {"password": "hunter2"}
    for values in ({"password": ["hunter2"]}, {"url": ["hunter2"]}, {"pasword": "hunter2"}):
        with pytest.raises(ConfigError) as raised:
            load(ProducerConfig, {**values, "linger_ms": -1})
        assert "hunter2" not in "".join(traceback.format_exception(raised.value))


def test_the_store_gets_its_keywords_and_only_the_options_that_were_set() -> None:
    connection = load(AdminConfig, {}).connection()
    assert connection["options"] == {}
    assert connection["namespace"] == "ps"
    known = inspect.signature(Store.connect).parameters
    assert set(connection) <= set(known)
    tls = load(AdminConfig, {"ssl_check_hostname": False, "username": "u", "ssl_ca_certs": None})
    assert tls.connection()["options"] == {"ssl_check_hostname": False, "username": "u"}


def test_a_config_cannot_be_changed() -> None:
    config = load(ProducerConfig, {})
    with pytest.raises(ValueError, match="frozen"):
        config.linger_ms = 3


def test_there_is_one_password() -> None:
    assert "both given" in fault(AdminConfig, password="a", password_file="b")
