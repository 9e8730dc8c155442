"""Makes a config of keywords, and one readable error of whatever is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from partstream.config.names import did_you_mean
from partstream.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)

_SECRET = frozenset({"url", "username", "password", "ssl_keystore_key", "ssl_key_password"})
"""Their values never stand in a message: a URL often holds a password."""

_ELSEWHERE = {
    "bootstrap_servers": "the URL of Redis is the first argument",
    "transactional_id": "there are no transactions yet",
    "partition_assignment_strategy": "the group assigns on the server: group_remote_assignor",
    "group_protocol": "groups always speak the consumer protocol (KIP-848)",
    "security_protocol": "TLS is chosen by the URL: rediss://",
    "sasl_mechanism": "Redis has ACL users: username and password",
    "sasl_jaas_config": "Redis has ACL users: username and password",
    "sasl_plain_username": "Redis has ACL users: username",
    "sasl_plain_password": "Redis has ACL users: password",
    "ssl_cafile": "it is called ssl_ca_certs",
    "interceptor_classes": "there are no interceptors",
    "log_dirs": "records are in Redis: url",
    "log_dir": "records are in Redis: url",
    "process_roles": "a gateway has none: all state is in Redis",
    "zookeeper_connect": "all state is in Redis: url",
    "controller_quorum_voters": "there are no controllers: all state is in Redis",
    "controller_quorum_bootstrap_servers": "there are no controllers: all state is in Redis",
    "inter_broker_listener_name": "gateways do not talk to one another",
    "authorizer_class_name": "there is no authorization yet: whoever may connect may do everything",
    "create_topic_policy_class_name": "there are no policies: Java classes cannot be run here",
    "alter_config_policy_class_name": "there are no policies: Java classes cannot be run here",
    "ssl_engine_factory_class": "Java classes cannot be run here",
    "ssl_keystore_password": "stores are PEM, of which only the key has a password: "
    "ssl_key_password",
    "ssl_truststore_password": "stores are PEM, and have no password",
}
"""Keys of Kafka that partstream does not have, and what stands in their place."""


def load(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Validate keywords against a config model.

    Raises:
        ConfigError: one for all faults; it names each key, its value and what was expected, and
            for an unknown key the nearest known one.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        faults = error.errors(include_url=False)
    # Raised out here: a ValidationError as context would print values that may be secret.
    raise ConfigError("; ".join(_explain(fault, model) for fault in faults))


def _explain(fault: ErrorDetails, model: type[BaseModel]) -> str:
    key = str(fault["loc"][0]) if fault["loc"] else ""
    if fault["type"] == "extra_forbidden":
        return _unknown(key, model)
    expected = expectation(fault)
    if not key or expected.startswith(f"{key}="):
        return expected
    if key in _SECRET:
        return f"{key}: {expected}"
    return f"{key}={fault['input']!r}: {expected}"


def _unknown(key: str, model: type[BaseModel]) -> str:
    plain = key.replace(".", "_")
    owner = model.__name__.removesuffix("Config").lower()
    if plain in _ELSEWHERE:
        return f"unknown {owner} config {key!r}: {_ELSEWHERE[plain]}"
    return f"unknown {owner} config {key!r}{did_you_mean(key, model.model_fields)}"


_WORDS = (
    ("Value error, ", ""),
    ("Input should be a valid integer", "expected an integer"),
    ("Input should be a valid string", "expected a string"),
    ("Input should be a valid boolean", "expected True or False"),
    ("Input should be callable", "expected a callable"),
    ("Input should be greater than or equal to", "expected at least"),
    ("Input should be less than or equal to", "expected at most"),
    ("Input should be", "expected"),
    ("String should have", "expected"),
)
"""How pydantic begins its messages, and how ours begin."""


def expectation(fault: ErrorDetails) -> str:
    """What was expected of a value, in words that fit behind `key=value: `."""
    message = fault["msg"]
    for theirs, ours in _WORDS:
        if message.startswith(theirs):
            return ours + message.removeprefix(theirs)
    return message
