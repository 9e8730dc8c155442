"""What callers can name: everything that the clients hand out is exported, and what the asyncio
clients can do the blocking ones can, too.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import get_args, get_type_hints

import pytest

import partstream
from partstream import aio
from partstream.config.producer import ProducerConfig

FOR_PARTS_OF_THE_CLIENT = {
    "Consumer": {"opened", "close_after"},
    "Producer": {"store", "find", "refresh", "sealed", "settled", "lost"},
}
"""Methods that have no underscore, for they are called from other modules, but not by users."""


def test_what_on_log_loss_is_called_with() -> None:
    option = get_type_hints(ProducerConfig)["on_log_loss"]
    assert get_args(option)[0] == Callable[[partstream.LogLoss], object]
    assert aio.LogLoss is partstream.LogLoss


@pytest.mark.parametrize("module", [partstream, aio])
def test_every_exported_name_is_there(module: ModuleType) -> None:
    names = module.__all__
    assert "LogLoss" in names
    assert [name for name in names if not hasattr(module, name)] == []
    assert sorted(names) == list(names)


@pytest.mark.parametrize("name", ["Admin", "Consumer", "Producer", "Table"])
def test_a_blocking_client_can_do_what_the_asyncio_one_can(name: str) -> None:
    ours, theirs = getattr(partstream, name), getattr(aio, name)
    inside = FOR_PARTS_OF_THE_CLIENT.get(name, set())
    assert inside <= _public(theirs)
    assert _public(theirs) - _public(ours) == {"start", *inside}
    for method in _public(theirs) & _public(ours):
        one, other = getattr(ours, method), getattr(theirs, method)
        assert one.__doc__, method
        assert _parameters(one) == _parameters(other), method


def _public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


def _parameters(method: Callable[..., object]) -> list[tuple[str, object, object]]:
    return [
        (one.name, one.kind, one.default) for one in inspect.signature(method).parameters.values()
    ]
