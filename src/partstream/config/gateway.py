"""The gateway's configs, under the names of Kafka's broker configs where Kafka has one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, field_validator, model_validator

from partstream.config.common import (
    INT32_MAX,
    INT64_MAX,
    Bytes,
    Milliseconds,
    PositiveMilliseconds,
)
from partstream.config.connection_limits import parse_limits
from partstream.config.gateway_tls import ListenerTlsConfig
from partstream.config.gateway_topics import TopicDefaultsConfig
from partstream.config.group import GroupLimits, Span
from partstream.config.listeners import (
    SSL,
    Listener,
    addresses_told,
    host_and_port,
    parse_listeners,
    parse_protocols,
    without,
)
from partstream.config.names import MAX_PARTITIONS
from partstream.config.texts import items


class GatewayConfig(TopicDefaultsConfig, ListenerTlsConfig):
    """What `partstream serve` is configured with."""

    client_id: str = "partstream-gateway"
    """A name for this gateway, shown in `CLIENT LIST` of Redis."""

    request_timeout_ms: PositiveMilliseconds = 10_000
    """How long one request to Redis may take, its retries and reconnects included.

    Below the 30 s that Kafka's clients wait for an answer, so that they hear why there is none.
    """

    listen: str = Field(
        default="127.0.0.1:9092", validation_alias=AliasChoices("listen", "listeners")
    )
    """Where it listens: `HOST:PORT`, or as Kafka's `listeners`, which is another name for it:
    `PLAINTEXT://HOST:PORT,SSL://HOST:PORT`. Port 0 takes a free one.

    `PLAINTEXT://:PORT` is every address of the machine.

    Loopback unless told otherwise: there is no authentication, so whoever reaches the port may
    read, write and delete everything, except on `SSL://` with `ssl_client_auth=required`.
    """

    advertised: str | None = Field(
        default=None, validation_alias=AliasChoices("advertised", "advertised_listeners")
    )
    """The address that clients are told: `HOST:PORT`, or as Kafka's `advertised.listeners`, which
    is another name for it, with one for each listener. They must be able to reach it.

    Default: where it listens.
    """

    listener_security_protocol_map: str = (
        "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
    )
    """What is spoken on listeners that are called neither PLAINTEXT nor SSL:
    `INTERNAL:PLAINTEXT,EXTERNAL:SSL`."""

    controller_listener_names: str = ""
    """Listeners of these names are for Kafka's controllers, which there are none of here: they are
    left out of `listen` and `advertised`."""

    workers: int = Field(default=1, ge=1, le=1_024)
    """How many processes serve behind the address. To clients they are one broker. Linux only."""

    admin_listen: str | None = None
    """Where `/healthz`, `/readyz` and `/metrics` are answered by HTTP, `HOST:PORT`.

    Default: nowhere. They need the extra `partstream[metrics]`.

    Workers answer each on a port of its own: this one, and those that follow.
    """

    drain_timeout_ms: PositiveMilliseconds = 10_000
    """How long requests under way may take when the gateway ends (SIGTERM)."""

    node_id: Annotated[int, Field(ge=0, le=INT32_MAX)] | None = Field(
        default=None, validation_alias=AliasChoices("node_id", "broker_id")
    )
    """The gateway's id among all of the namespace. `broker.id` is another name for it.

    Default: the one that this advertised address had before, or else the smallest that is free.
    """

    broker_rack: Annotated[str, Field(min_length=1, pattern=r"^[^|]+$")] | None = None
    """The rack, zone or machine that the gateway is in; clients are told."""

    num_partitions: int = Field(default=1, ge=1, le=MAX_PARTITIONS)
    """How many partitions a topic gets if nothing else is asked for."""

    default_replication_factor: int = Field(default=3, ge=1, le=1_024)
    """How many gateways are shown as the replicas of a partition, if there are as many. Any of them
    serves it. How many copies Redis keeps is up to Redis. Kafka's default is 1.
    """

    auto_create_topics_enable: bool = True
    """Whether a topic is created when a client asks for it that may create topics."""

    delete_topic_enable: bool = True
    """Whether clients may delete topics."""

    offset_metadata_max_bytes: Bytes = 4_096
    """The most bytes of metadata that may be committed with an offset."""

    fetch_max_bytes: int = Field(default=57_671_680, ge=1_024, le=INT32_MAX)
    """The most bytes of batches in one answer, whatever a client asks for."""

    socket_request_max_bytes: int = Field(default=104_857_600, ge=1_024, le=INT32_MAX)
    """The largest request. A client that sends a larger one is disconnected."""

    queued_max_request_bytes: int = Field(default=268_435_456, ge=1_048_576, le=INT64_MAX)
    """Bytes of requests that are held at a time, all connections together; then reading pauses.

    Kafka's default is no limit.
    """

    queued_max_response_bytes: int = Field(default=134_217_728, ge=1_048_576, le=INT64_MAX)
    """Bytes of answers that are held at a time because their clients have not taken them, all
    connections together. As it is used up a Fetch gets fewer records, and waits where there is no
    room at all. Clients that take nothing for five seconds are disconnected while others wait.

    Kafka has no such config: its answers to a Fetch are on its disk.
    """

    max_connections: int = Field(default=20_000, ge=1, le=INT32_MAX)
    """Connections at a time; further ones are closed at once. Kafka's default is no limit."""

    max_connections_per_ip: int = Field(default=INT32_MAX, ge=0, le=INT32_MAX)
    """Connections at a time from one address; further ones are closed at once.

    0, where there are overrides: from no other address than those.
    """

    max_connections_per_ip_overrides: str = ""
    """Other limits for single hosts, by name or address: `HOST:N,HOST:N`. Names are looked up when
    the gateway starts."""

    connections_max_idle_ms: PositiveMilliseconds = 600_000
    """After how long without a request a connection is closed."""

    group_consumer_session_timeout_ms: PositiveMilliseconds = 45_000
    """After how long without a heartbeat a member of a consumer group (KIP-848) is removed."""

    group_consumer_heartbeat_interval_ms: PositiveMilliseconds = 5_000
    """How often members of consumer groups (KIP-848) are told to send a heartbeat."""

    group_consumer_min_session_timeout_ms: PositiveMilliseconds = 45_000
    """The least that the timeout may be; less if that is `group.consumer.session.timeout.ms`."""

    group_consumer_max_session_timeout_ms: PositiveMilliseconds = 60_000
    """The most that it may be; more if that is `group.consumer.session.timeout.ms`."""

    group_consumer_min_heartbeat_interval_ms: PositiveMilliseconds = 5_000
    """The least that the interval may be; less if that is
    `group.consumer.heartbeat.interval.ms`."""

    group_consumer_max_heartbeat_interval_ms: PositiveMilliseconds = 15_000
    """The most that it may be; more if that is `group.consumer.heartbeat.interval.ms`."""

    group_consumer_assignment_interval_ms: Milliseconds = 0
    """How long after an assignment of a consumer group (KIP-848) the next one is made at the
    earliest. 0: as soon as there is reason to. Kafka's default is 1,000.

    The library's own consumers, which may make it as well, wait for nothing: set it for the group
    itself (`consumer.assignment.interval.ms`) if some are in it.
    """

    group_consumer_min_assignment_interval_ms: Milliseconds = 0
    """The least that the interval may be."""

    group_consumer_max_assignment_interval_ms: Milliseconds = 15_000
    """The most that it may be; more if that is `group.consumer.assignment.interval.ms`."""

    group_consumer_assignors: str = "uniform,range"
    """The assignors that members of consumer groups (KIP-848) may ask for. The first is that of
    members that ask for none."""

    group_consumer_max_size: int = Field(default=INT32_MAX, ge=1, le=INT32_MAX)
    """The most members of a consumer group (KIP-848)."""

    group_consumer_migration_policy: Literal[
        "disabled", "bidirectional", "upgrade", "downgrade"
    ] = "bidirectional"
    """Which groups with members change their protocol. `upgrade`: a classic group becomes a
    consumer group (KIP-848) when a member of that kind joins. `downgrade`: a consumer group becomes
    a classic one when only classic members are left. `bidirectional`: both. `disabled`: neither.

    All gateways, and the library's own consumers, which are `bidirectional`, decide by themselves.
    """

    group_min_session_timeout_ms: PositiveMilliseconds = 6_000
    """The shortest session timeout that members of classic groups may ask for."""

    group_max_session_timeout_ms: PositiveMilliseconds = 1_800_000
    """The longest one."""

    group_initial_rebalance_delay_ms: Milliseconds = 3_000
    """How long the first rebalance of an empty classic group waits for more members to come."""

    group_max_size: int = Field(default=INT32_MAX, ge=1, le=INT32_MAX)
    """The most members of a classic group."""

    broker_heartbeat_interval_ms: PositiveMilliseconds = 1_000
    """How often a gateway tells the others that it lives. Kafka's default is 2,000."""

    broker_session_timeout_ms: PositiveMilliseconds = 4_000
    """After how long in silence a gateway is taken for dead, and clients are sent to the others.

    Kafka's default is 9,000.
    """

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """`listen`, taken apart."""
        return parse_listeners(
            without(self.listen, self._controllers),
            parse_protocols(self.listener_security_protocol_map),
        )

    @property
    def told(self) -> dict[str, tuple[str, int] | None]:
        """`advertised` for each listener by its name; None: where it listens."""
        protocols = parse_protocols(self.listener_security_protocol_map)
        told = None if self.advertised is None else without(self.advertised, self._controllers)
        return addresses_told(told or None, self.listeners, protocols)

    @property
    def group_limits(self) -> GroupLimits:
        """What may be set for single groups, and what holds where it is not."""

        def span(what: str) -> Span:
            bounds = ("", "min_", "max_")
            return Span(*(getattr(self, f"group_consumer_{bound}{what}") for bound in bounds))

        return GroupLimits(*map(span, GroupLimits._fields))

    @property
    def assignors(self) -> tuple[str, ...]:
        """`group_consumer_assignors`, taken apart."""
        return tuple(items(self.group_consumer_assignors))

    @property
    def _controllers(self) -> frozenset[str]:
        return frozenset(name.upper() for name in items(self.controller_listener_names))

    @property
    def connections_per_host(self) -> dict[str, int]:
        """`max_connections_per_ip_overrides`, taken apart."""
        return parse_limits(self.max_connections_per_ip_overrides)

    @field_validator("max_connections_per_ip_overrides")
    @classmethod
    def _limits(cls, value: str) -> str:
        parse_limits(value)
        return value

    @model_validator(mode="after")
    def _somebody_may_connect(self) -> GatewayConfig:
        if not self.max_connections_per_ip and not self.connections_per_host:
            raise ValueError(
                "max_connections_per_ip=0: expected max_connections_per_ip_overrides, too: nobody "
                "could connect"
            )
        return self

    @field_validator("admin_listen")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            host_and_port(value)
        return value

    @field_validator("listener_security_protocol_map")
    @classmethod
    def _protocol_map(cls, value: str) -> str:
        parse_protocols(value)
        return value

    @model_validator(mode="after")
    def _reachable(self) -> GatewayConfig:
        try:
            listeners = self.listeners
        except ValueError as error:
            raise ValueError(f"listen={self.listen!r}: {error}") from None
        try:
            told = self.told
        except ValueError as error:
            raise ValueError(f"advertised={self.advertised!r}: {error}") from None
        for listener in listeners:
            if listener.host in ("0.0.0.0", "::") and told[listener.name] is None:
                raise ValueError(
                    f"listen={self.listen!r}: expected advertised, too: clients are to be told an "
                    "address that they can reach"
                )
        if any(one.protocol == SSL for one in listeners) and not (
            self.ssl_keystore_location or self.ssl_keystore_certificate_chain
        ):
            raise ValueError(
                f"listen={self.listen!r}: expected ssl_keystore_location for an SSL listener"
            )
        return self

    @field_validator("group_consumer_assignors")
    @classmethod
    def _assignors(cls, value: str) -> str:
        named = items(value)
        if not named or len(set(named)) < len(named) or not {"uniform", "range"}.issuperset(named):
            raise ValueError("expected 'uniform', 'range' or both, with a comma between them")
        return value

    @model_validator(mode="after")
    def _within_bounds(self) -> GatewayConfig:
        for what in GroupLimits._fields:
            name = f"group_consumer_{what}"
            least, most = f"group_consumer_min_{what}", f"group_consumer_max_{what}"
            value = getattr(self, name)
            # A bound that was not given gives way to a value that was.
            if least not in self.model_fields_set:
                self._settle(**{least: min(getattr(self, least), value)})
            if most not in self.model_fields_set:
                self._settle(**{most: max(getattr(self, most), value)})
            if not getattr(self, least) <= value <= getattr(self, most):
                raise ValueError(
                    f"{name}={value}: expected {least}={getattr(self, least)} to "
                    f"{most}={getattr(self, most)}"
                )
        return self

    @model_validator(mode="after")
    def _heartbeat_within_session(self) -> GatewayConfig:
        if self.broker_heartbeat_interval_ms >= self.broker_session_timeout_ms:
            raise ValueError(
                f"broker_heartbeat_interval_ms={self.broker_heartbeat_interval_ms}: expected less "
                f"than broker_session_timeout_ms={self.broker_session_timeout_ms}"
            )
        return self
