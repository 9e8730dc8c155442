"""Where a gateway listens: Kafka's `listeners`, `[NAME://]HOST:PORT` with commas between them."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PORT = 65_535
PLAINTEXT, SSL = "PLAINTEXT", "SSL"
EVERYWHERE = "0.0.0.0"
_NOT_YET = ("SASL_PLAINTEXT", "SASL_SSL")


@dataclass(frozen=True, slots=True)
class Listener:
    """One address, and what is spoken there."""

    name: str
    host: str
    port: int
    protocol: str = PLAINTEXT
    """`PLAINTEXT` or `SSL`."""

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.protocol == SSL

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.name}://{host}:{self.port}"


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


def without(text: str, names: frozenset[str]) -> str:
    """A list without the listeners of these names."""
    parts = text.split(",")
    return ",".join(
        part for part in parts if part.strip().rpartition("://")[0].upper() not in names
    )


def parse_listeners(text: str, protocols: dict[str, str] | None = None) -> tuple[Listener, ...]:
    """All listeners of a list; one without a name is called PLAINTEXT.

    Args:
        text: `[NAME://]HOST:PORT`, with commas between several.
        protocols: what is spoken on a listener of a name, if the name itself does not say it.

    Raises:
        ValueError: it is something else; the text says what was expected.
    """
    found: dict[str, Listener] = {}
    for part in text.split(","):
        name, scheme, address = part.strip().rpartition("://")
        name = name.upper() if scheme else PLAINTEXT
        protocol = (protocols or {}).get(name, name)
        if protocol in _NOT_YET:
            raise ValueError(f"expected no {protocol}: there is no authentication yet")
        if protocol not in (PLAINTEXT, SSL):
            raise ValueError(
                f"expected PLAINTEXT:// or SSL:// instead of {name}://, or what it speaks in "
                "listener_security_protocol_map"
            )
        if name in found:
            raise ValueError(f"expected each name once, and {name} is there twice")
        # As in Kafka, where no host is named all addresses of the machine are meant.
        host = EVERYWHERE if scheme and address.startswith(":") else ""
        found[name] = Listener(name, *host_and_port(host + address), protocol)
    return tuple(found.values())


def parse_protocols(text: str) -> dict[str, str]:
    """Kafka's `listener.security.protocol.map`: `NAME:PROTOCOL`, with commas between several.

    Raises:
        ValueError: it is something else.
    """
    found = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, colon, protocol = part.upper().partition(":")
        if not (colon and name) or protocol not in (PLAINTEXT, SSL, *_NOT_YET):
            raise ValueError("expected NAME:PLAINTEXT or NAME:SSL, with commas between several")
        found[name] = protocol
    return found


def addresses_told(
    advertised: str | None, listeners: tuple[Listener, ...], protocols: dict[str, str]
) -> dict[str, tuple[str, int] | None]:
    """For each listener the address that clients are told; None: the one it listens on.

    Raises:
        ValueError: an advertised listener is none of those that there are.
    """
    told: dict[str, tuple[str, int] | None] = {listener.name: None for listener in listeners}
    if advertised is None:
        return told
    if "://" not in advertised and len(listeners) == 1:
        return {listeners[0].name: host_and_port(advertised)}
    for one in parse_listeners(advertised, protocols):
        if one.host == EVERYWHERE:
            raise ValueError("expected an address that clients can reach")
        if one.name not in told:
            raise ValueError(f"expected one of {', '.join(told)}, and {one.name} is none")
        told[one.name] = (one.host, one.port)
    return told
