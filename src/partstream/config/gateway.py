"""The gateway's configs, under the names of Kafka's broker configs where Kafka has one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from partstream.config.common import (
    INT32_MAX,
    INT64_MAX,
    Bytes,
    CommonConfig,
    PositiveMilliseconds,
)
from partstream.config.names import MAX_PARTITIONS

MAX_PORT = 65_535


def host_and_port(text: str) -> tuple[str, int]:
    """`HOST:PORT` in two; an IPv6 address stands in brackets, as in a URL.

    Raises:
        ValueError: it is something else.
    """
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdigit() or int(port) > MAX_PORT:
        raise ValueError("expected HOST:PORT")
    return host, int(port)


class GatewayConfig(CommonConfig):
    """What `partstream serve` is configured with."""

    client_id: str = "partstream-gateway"
    """A name for this gateway, shown in `CLIENT LIST` of Redis."""

    request_timeout_ms: PositiveMilliseconds = 10_000
    """How long one request to Redis may take, its retries and reconnects included.

    Below the 30 s that Kafka's clients wait for an answer, so that they hear why there is none.
    """

    listen: str = "127.0.0.1:9092"
    """Where it listens, `HOST:PORT`; port 0 takes a free one. Loopback unless told otherwise.

    There is no authentication: whoever reaches the port may read, write and delete everything.
    """

    advertised: str | None = None
    """The address that clients are told, `HOST:PORT`. They must be able to reach it.

    Default: where it listens. Kafka calls it `advertised.listeners`.
    """

    node_id: Annotated[int, Field(ge=0, le=INT32_MAX)] | None = None
    """The gateway's id among all of the namespace.

    Default: the one that this advertised address had before, or else the smallest that is free.
    """

    broker_rack: Annotated[str, Field(min_length=1)] | None = None
    """The rack, zone or machine that the gateway is in; clients are told."""

    num_partitions: int = Field(default=1, ge=1, le=MAX_PARTITIONS)
    """How many partitions a topic gets if nothing else is asked for."""

    auto_create_topics_enable: bool = True
    """Whether a topic is created when a client asks for it that may create topics."""

    message_max_bytes: Bytes = 1_048_588
    """The `max.message.bytes` of topics that are created through the gateway without one."""

    fetch_max_bytes: int = Field(default=57_671_680, ge=1_024, le=INT32_MAX)
    """The most bytes of batches in one answer, whatever a client asks for."""

    socket_request_max_bytes: int = Field(default=104_857_600, ge=1_024, le=INT32_MAX)
    """The largest request. A client that sends a larger one is disconnected."""

    queued_max_request_bytes: int = Field(default=268_435_456, ge=1_048_576, le=INT64_MAX)
    """Bytes of requests that are held at a time, all connections together; then reading pauses.

    Kafka's default is no limit.
    """

    max_connections: int = Field(default=20_000, ge=1, le=INT32_MAX)
    """Connections at a time; further ones are closed at once. Kafka's default is no limit."""

    connections_max_idle_ms: PositiveMilliseconds = 600_000
    """After how long without a request a connection is closed."""

    group_consumer_session_timeout_ms: PositiveMilliseconds = 45_000
    """After how long without a heartbeat a member of a consumer group (KIP-848) is removed."""

    group_consumer_heartbeat_interval_ms: PositiveMilliseconds = 5_000
    """How often members of consumer groups (KIP-848) are told to send a heartbeat."""

    group_consumer_max_size: int = Field(default=INT32_MAX, ge=1, le=INT32_MAX)
    """The most members of a consumer group."""

    broker_heartbeat_interval_ms: PositiveMilliseconds = 1_000
    """How often a gateway tells the others that it lives. Kafka's default is 2,000."""

    broker_session_timeout_ms: PositiveMilliseconds = 4_000
    """After how long in silence a gateway is taken for dead, and clients are sent to the others.

    Kafka's default is 9,000.
    """

    @field_validator("listen", "advertised")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            host_and_port(value)
        return value

    @model_validator(mode="after")
    def _heartbeat_within_session(self) -> GatewayConfig:
        if self.broker_heartbeat_interval_ms >= self.broker_session_timeout_ms:
            raise ValueError(
                f"broker_heartbeat_interval_ms={self.broker_heartbeat_interval_ms}: expected less "
                f"than broker_session_timeout_ms={self.broker_session_timeout_ms}"
            )
        return self
