"""URLs: what each of them leads to, and what is said of those that lead nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from partstream.errors import ConfigError
from partstream.store.dial import Dialer
from partstream.store.target import DEFAULT_URL, Address, Kind, parse_target, resolve_url


@pytest.mark.parametrize(
    ("url", "kind", "addresses", "options"),
    [
        ("redis://localhost", Kind.SINGLE, ["localhost:6379"], {"tls": False}),
        ("redis://h:7000/3", Kind.SINGLE, ["h:7000"], {"tls": False, "db": 3}),
        ("redis://h?db=3", Kind.SINGLE, ["h:6379"], {"tls": False, "db": 3}),
        ("redis://:pw@h", Kind.SINGLE, ["h:6379"], {"tls": False, "password": "pw"}),
        (
            "rediss://me:p%40w@h:7000",
            Kind.SINGLE,
            ["h:7000"],
            {"tls": True, "username": "me", "password": "p@w"},
        ),
        ("redis://[::1]:7000", Kind.SINGLE, ["[::1]:7000"], {"tls": False}),
        ("unix:///run/redis.sock?db=2", Kind.SINGLE, ["unix:///run/redis.sock"], {"db": 2}),
        ("redis+cluster://a:1,b:2,c", Kind.CLUSTER, ["a:1", "b:2", "c:6379"], {"tls": False}),
        ("rediss+cluster://:pw@a:1,b", Kind.CLUSTER, ["a:1", "b:6379"], {"password": "pw"}),
        ("redis+sentinel://a,b:2/main", Kind.SENTINEL, ["a:26379", "b:2"], {"tls": False}),
        ("redis+sentinel://u:p@a/main/5", Kind.SENTINEL, ["a:26379"], {"db": 5, "username": "u"}),
        ("redis+sentinel://[::1]:9/main", Kind.SENTINEL, ["[::1]:9"], {}),
    ],
)
def test_where_urls_lead(
    url: str, kind: Kind, addresses: list[str], options: dict[str, Any]
) -> None:
    target = parse_target(url)
    assert target.kind is kind
    assert [str(address) for address in target.addresses] == addresses
    assert target.options.items() >= options.items()
    assert target.master_name == ("main" if kind is Kind.SENTINEL else "")
    Dialer(target.options, client_id="me", timeout=1.0)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://h", "expected one of redis://"),
        ("h:6379", "expected one of redis://"),
        ("", "expected one of redis://"),
        ("redis+ring://h", "expected one of redis://"),
        ("unix+cluster:///s", "expected"),
        ("redis://", "expected host:port"),
        ("redis://:6379", "expected host:port"),
        ("redis+cluster://a,,b", "expected host:port"),
        ("redis://h:port", "port"),
        ("redis://h:70000", "[Pp]ort"),
        ("redis://h/three", "database 'three'"),
        ("redis://h/1/2", "database '1/2'"),
        ("unix://", "path of a socket"),
        ("redis+cluster://a/1", "no database but 0"),
        ("redis+sentinel://a", "expected the primary's name"),
        ("redis+sentinel://a/", "expected the primary's name"),
    ],
)
def test_urls_that_lead_nowhere(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_target(url)


def test_passwords_are_not_shown() -> None:
    target = parse_target("redis://me:secret@h:1/2")
    assert target.display == "redis://me:***@h:1/2"
    assert "secret" not in repr(target)
    for url in ("http://me:secret@h", "redis://me:secret@h/x", "redis+sentinel://me:secret@h"):
        with pytest.raises(ConfigError) as caught:
            parse_target(url)
        assert "secret" not in str(caught.value)


def test_what_is_given_wins_over_the_url() -> None:
    target = parse_target("redis://a:b@h", {"password": "c", "username": None})
    assert (target.options["username"], target.options["password"]) == ("a", "c")


def test_an_option_that_nobody_knows() -> None:
    target = parse_target("redis://h?colour=blue")
    with pytest.raises(ConfigError, match="colour"):
        Dialer(target.options, client_id="me", timeout=1.0)


def test_the_password_of_the_sentinels_stays_with_them() -> None:
    target = parse_target("redis+sentinel://h/main?sentinel_password=x")
    Dialer(target.options, client_id="me", timeout=1.0)
    assert target.options["sentinel_password"] == "x"


def test_where_the_url_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARTSTREAM_URL", raising=False)
    assert resolve_url(None) == DEFAULT_URL
    monkeypatch.setenv("PARTSTREAM_URL", "redis://env")
    assert resolve_url(None) == "redis://env"
    assert resolve_url("redis://arg") == "redis://arg"


def test_addresses_as_people_write_them() -> None:
    assert str(Address("h", 1)) == "h:1"
    assert str(Address("::1", 1)) == "[::1]:1"
    assert str(Address("/run/s", 0)) == "unix:///run/s"
