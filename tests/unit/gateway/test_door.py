"""Who may connect: so many in all, so many from one address, and other numbers for some."""

from __future__ import annotations

import pytest

from partstream.config.connection_limits import parse_limits
from partstream.gateway.door import Door, addresses_of
from partstream.gateway.meter import Meter


def _door(most: int = 10, most_per_ip: int = 10) -> Door:
    return Door(most=most, most_per_ip=most_per_ip, meter=Meter())


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", {}),
        ("h:1", {"h": 1}),
        (" a.b-c_d : 100 , 10.0.0.1:0,", {"a.b-c_d": 100, "10.0.0.1": 0}),
        ("::1:5,[fe80::1%eth0]:6", {"::1": 5, "fe80::1%eth0": 6}),
    ],
)
def test_limits_of_hosts(text: str, limits: dict[str, int]) -> None:
    assert parse_limits(text) == limits


async def test_names_and_addresses() -> None:
    assert await addresses_of({}) == {}
    assert await addresses_of({"127.0.0.1": 1, "::1": 2, "::ffff:10.0.0.1": 3}) == {
        "127.0.0.1": 1,
        "::1": 2,
        "10.0.0.1": 3,
    }
    assert "127.0.0.1" in await addresses_of({"localhost": 1})


def test_an_address_has_its_own_limit_or_that_of_all() -> None:
    door = _door(most_per_ip=1)
    door.limits = {"10.0.0.1": 2, "10.0.0.2": 0}
    assert [door.enter("10.0.0.1", "A") for _ in range(3)] == [True, True, False]
    assert not door.enter("10.0.0.2", "A")
    assert [door.enter("10.0.0.3", "A") for _ in range(2)] == [True, False]
    door.leave("10.0.0.1", "A")
    assert door.enter("10.0.0.1", "A")
    assert door.count == 3


def test_there_is_a_limit_for_all_together() -> None:
    door = _door(most=1)
    door.limits = {"10.0.0.1": 5}
    assert door.enter("10.0.0.2", "A")
    assert not door.enter("10.0.0.1", "A")


def test_an_address_of_ipv4_is_the_same_one_on_a_socket_of_ipv6() -> None:
    door = _door(most_per_ip=1)
    assert door.enter("::ffff:10.0.0.1", "A")
    assert not door.enter("10.0.0.1", "A")
    assert door.enter("::ffff:a00:2", "A"), "as no system writes it"
    door.leave("::ffff:10.0.0.1", "A")
    assert door.enter("10.0.0.1", "A")
