"""What callers can name: everything that the clients hand out is exported."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import get_args, get_type_hints

import pytest

import partstream
from partstream import aio
from partstream.config.producer import ProducerConfig


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
