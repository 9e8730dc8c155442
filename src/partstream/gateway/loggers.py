"""The loggers of a gateway, as admin clients may ask to change them: to them it has none."""

from __future__ import annotations

from collections.abc import Iterable

from partstream.errors import InvalidConfig, InvalidRequest
from partstream.gateway.altering import APPEND, SUBTRACT


def check_loggers(
    name: str, node_id: int, operations: Iterable[tuple[str, int, str | None]]
) -> None:
    """Refuse every change (IncrementalAlterConfigs); none at all is fine.

    Raises:
        InvalidRequest: they are another broker's, or this cannot be done to any logger.
        InvalidConfig: there is no such logger.
    """
    if name != str(node_id):
        raise InvalidRequest(f"Unexpected broker id, expected {node_id} but received {name!r}")
    for logger, operation, _ in operations:
        if operation in (APPEND, SUBTRACT):
            raise InvalidRequest("The level of a logger is not a list")
        raise InvalidConfig(f"Logger {logger} does not exist!")
