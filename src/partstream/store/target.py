"""Where a URL leads: the servers it names, how to log in to them, and what kind they are."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from redis.asyncio.connection import parse_url

from partstream.errors import ConfigError

DEFAULT_URL = "redis://localhost:6379"
SCHEMES = (
    "redis://, rediss://, unix://, redis+cluster://, rediss+cluster://, "
    "redis+sentinel://, rediss+sentinel://, embedded:"
)


class Kind(Enum):
    """What answers at a URL."""

    SINGLE = "single"
    """One server, which may turn out to be a node of a cluster."""
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where one server listens: host and port, or the path of a Unix socket."""

    host: str
    port: int
    """0 for a Unix socket, whose path is the host."""

    def __str__(self) -> str:
        if not self.port:
            return f"unix://{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed URL. `options` are redis-py's connection keywords (credentials, TLS, db)."""

    kind: Kind
    addresses: tuple[Address, ...]
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    master_name: str = ""
    """The name that the sentinels know the primary by."""
    display: str = ""
    """The URL without its password, for messages."""


def resolve_url(url: str | None) -> str:
    """The URL given, or PARTSTREAM_URL, or redis://localhost:6379."""
    return url or os.environ.get("PARTSTREAM_URL") or DEFAULT_URL


def parse_target(url: str, overrides: dict[str, Any] | None = None) -> Target:
    """Take a URL apart; `overrides` (username, password, ssl_...) win over what it says.

    Raises:
        ConfigError: the URL has an unknown scheme, a bad port or database, or names no server.
    """
    parts = urlsplit(url)
    scheme, _, kind_name = parts.scheme.partition("+")
    if scheme not in {"redis", "rediss", "unix"} or kind_name not in {"", "cluster", "sentinel"}:
        raise ConfigError(f"url {_display(parts)!r}: expected one of {SCHEMES}")
    try:
        hosts = _hosts(parts, 26379 if kind_name == "sentinel" else 6379)
        options: dict[str, Any] = dict(parse_url(_plain(parts, scheme, kind_name, hosts)))
    except ValueError as error:
        raise ConfigError(f"url {_display(parts)!r}: {error}") from error
    for name in ("host", "port", "path", "connection_class"):
        options.pop(name, None)
    options["tls"] = scheme == "rediss"
    options.update({key: value for key, value in (overrides or {}).items() if value is not None})
    kind = Kind(kind_name or "single")
    if kind is Kind.CLUSTER and options.get("db"):
        raise ConfigError(f"url {_display(parts)!r}: a Redis Cluster has no database but 0")
    return Target(
        kind=kind,
        addresses=tuple(hosts),
        options=options,
        master_name=_master_name(parts) if kind is Kind.SENTINEL else "",
        display=_display(parts),
    )


def _hosts(parts: SplitResult, default_port: int) -> list[Address]:
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError("expected the path of a socket")
        return [Address(parts.path, 0)]
    netloc = parts.netloc.rpartition("@")[2]
    addresses = []
    for part in netloc.split(","):
        one = urlsplit(f"//{part}")
        if not one.hostname:
            raise ValueError("expected host:port")
        addresses.append(Address(one.hostname, one.port or default_port))
    return addresses


def _plain(parts: SplitResult, scheme: str, kind: str, hosts: list[Address]) -> str:
    """The URL as redis-py reads it: one host, and no master name where the database stands."""
    if scheme == "unix":
        return urlunsplit(parts)
    login = parts.netloc.rpartition("@")[0]
    netloc = (f"{login}@" if login else "") + str(hosts[0])
    path = (
        "/" + "/".join(parts.path.strip("/").split("/")[1:]) if kind == "sentinel" else parts.path
    )
    if path.strip("/") and not path.strip("/").isdigit():
        raise ValueError(f"database {path.strip('/')!r}: expected a number")
    return urlunsplit((scheme, netloc, path.rstrip("/"), parts.query, ""))


def _master_name(parts: SplitResult) -> str:
    name = parts.path.strip("/").split("/")[0]
    if not name:
        raise ConfigError(
            f"url {_display(parts)!r}: expected the primary's name, as in "
            "redis+sentinel://host:26379/mymaster"
        )
    return name


def _display(parts: SplitResult) -> str:
    login, at, hosts = parts.netloc.rpartition("@")
    user = login.partition(":")[0]
    netloc = f"{user}:***@{hosts}" if at else hosts
    return urlunsplit((parts.scheme, netloc, parts.path, "", ""))
