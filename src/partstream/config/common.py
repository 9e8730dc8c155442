"""What every client is configured with, whatever it is for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from partstream.config.names import MAX_PARTITIONS, validate_namespace
from partstream.metrics.hooks import Reporter, observer_of

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1

Milliseconds = Annotated[int, Field(ge=0, le=INT32_MAX)]
"""A span of time, as in Kafka an int32 of milliseconds."""
PositiveMilliseconds = Annotated[int, Field(ge=1, le=INT32_MAX)]
Bytes = Annotated[int, Field(ge=0, le=INT32_MAX)]
"""A size, as in Kafka an int32."""


def _gzip_level(level: int) -> int:
    if level != -1 and not 1 <= level <= 9:
        raise ValueError("expected 1 to 9, or -1")
    return level


GZIP_LEVEL = AfterValidator(_gzip_level)
LZ4_LEVEL = Field(ge=1, le=17)
ZSTD_LEVEL = Field(ge=-131_072, le=22)
"""What bounds the levels of compression (KIP-390), of a producer as of a topic."""


def level_of(config: BaseModel, codec: str) -> int | None:
    """How hard a codec is to try by `config`; None: as it does by itself."""
    name = f"compression_{codec}_level"
    field = type(config).model_fields.get(name)
    level: int | None = getattr(config, name, None)
    return None if field is None or level == field.default else level


_LOGIN = (
    "username",
    "password_file",
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_check_hostname",
)
_STORE = ("url", "namespace", "client_id", "request_timeout_ms", "replica_lag_time_max_ms")


class CommonConfig(BaseModel):
    """Configs that the producer, the consumer and the admin client share."""

    model_config = ConfigDict(
        defer_build=True,
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    url: str | None = Field(default=None, repr=False)
    """Where Redis is: `redis://`, `rediss://`, `unix://`, `redis+cluster://h1:p,h2:p`,
    `redis+sentinel://h1:p,h2:p/name`, or `embedded:` for a private server.

    The first argument of every client. Left out, the environment variable `PARTSTREAM_URL` is read,
    and without that it is `redis://localhost:6379`.
    """

    namespace: str = "ps"
    """The prefix of every Redis key and channel; two namespaces in one Redis never meet.

    1 to 64 ASCII letters, digits, `.`, `_` or `-`.
    """

    client_id: str = "partstream"
    """A name for this client, shown in `CLIENT LIST` of Redis and in descriptions of groups."""

    username: str | None = None
    """The Redis ACL user. It goes before the one in the URL."""

    password: SecretStr | None = None
    """The Redis password. It goes before the one in the URL, and is never shown or logged."""

    password_file: str | None = None
    """A file that holds the Redis password; the end of its line does not count.

    It is read at every connection, so a password that changes there is used from the next one on.
    """

    ssl_ca_certs: str | None = None
    """A file of CA certificates (PEM) that the server's certificate is checked against.

    The system's own with `None`. Only used with TLS.
    """

    ssl_certfile: str | None = None
    """This client's certificate (PEM), where the server asks for one."""

    ssl_keyfile: str | None = None
    """The private key of `ssl_certfile` (PEM)."""

    ssl_check_hostname: bool = True
    """Whether the server's certificate must be made out to the host in the URL."""

    request_timeout_ms: PositiveMilliseconds = 30_000
    """How long one request to Redis may take, its retries and reconnects included."""

    retry_backoff_ms: Milliseconds = 100
    """How long to wait before the first retry; it doubles with every further one."""

    retry_backoff_max_ms: Milliseconds = 1_000
    """The longest wait between two retries."""

    replica_lag_time_max_ms: Annotated[int, Field(ge=1_000, le=INT32_MAX)] = 10_000
    """After how long without a word from it a replica no longer counts as in sync.

    Kafka has it on the broker, and 30 s; Redis's replicas report once a second.
    """

    log_retention_check_interval_ms: PositiveMilliseconds = 60_000
    """How often a client looks after retention, if no other client does.

    Kafka has it on the broker, where it is 5 minutes.
    """

    producer_id_expiration_ms: PositiveMilliseconds = 86_400_000
    """How long a partition remembers a producer that is silent, to recognise what it sends twice.

    Kafka has it on the broker; here it is that of the client that looks after retention.
    """

    offsets_retention_minutes: Annotated[int, Field(ge=1, le=INT32_MAX)] = 10_080
    """How long the offsets of a group without members are kept.

    Kafka has it on the broker; here it is that of the client that looks after retention.
    """

    metadata_max_age_ms: PositiveMilliseconds = 300_000
    """After how long topics are looked up anew even if no change was announced."""

    metric_reporters: tuple[Reporter, ...] = ()
    """What the client tells of its work to, for metrics; none by default.

    `partstream.metrics.prometheus.PrometheusMetrics` is one.
    """

    @property
    def offsets_retention_ms(self) -> int:
        """`offsets_retention_minutes` in milliseconds."""
        return self.offsets_retention_minutes * 60_000

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        """Python's True is 1, but `linger_ms=True` is a mistake."""
        field = cls.model_fields[info.field_name or ""]
        if isinstance(value, bool) and field.annotation is not bool:
            raise ValueError("expected neither True nor False")
        return value

    @field_validator("namespace")
    @classmethod
    def _namespace(cls, value: str) -> str:
        return validate_namespace(value)

    @model_validator(mode="after")
    def _key_has_certificate(self) -> CommonConfig:
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ValueError("ssl_keyfile is given, and so ssl_certfile must be, too")
        return self

    @model_validator(mode="after")
    def _one_password(self) -> CommonConfig:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password and password_file are both given: which is it?")
        return self

    def connection(self) -> dict[str, Any]:
        """What the store connects with, by its keywords; the password is in the clear here."""
        # Only what was set: a keyword for TLS makes no sense to a connection without it.
        options = {
            name: getattr(self, name)
            for name in _LOGIN
            if name in self.model_fields_set and getattr(self, name) is not None
        }
        if self.password is not None:
            options["password"] = self.password.get_secret_value()
        return {
            **{name: getattr(self, name) for name in _STORE},
            "options": options,
            "observer": observer_of(self.metric_reporters, self.client_id),
        }

    def _settle(self, **values: object) -> None:
        """Replace defaults that follow from other configs. Only for validators: they own self."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


class AutoCreateConfig(CommonConfig):
    """Configs of clients that may create the topics that they use."""

    allow_auto_create_topics: bool = True
    """Whether a topic that does not exist is created when it is first used by name."""

    num_partitions: int = Field(default=1, ge=1, le=MAX_PARTITIONS)
    """How many partitions a topic gets that is created on first use.

    Kafka has it on the broker; here the client that creates the topic decides.
    """
