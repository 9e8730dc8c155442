"""What is asked of Kafka and of the gateway alike, a module an API."""

from __future__ import annotations

import importlib
import pkgutil

from tests.differential.scenario import SCENARIOS, Scenario


def every() -> list[Scenario]:
    """All scenarios, in the order of their modules."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return list(SCENARIOS)
