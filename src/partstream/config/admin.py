"""The admin client's configs."""

from __future__ import annotations

from partstream.config.common import CommonConfig, PositiveMilliseconds


class AdminConfig(CommonConfig):
    """What `Admin` is configured with."""

    default_api_timeout_ms: PositiveMilliseconds = 60_000
    """How long one call may take, all its requests together."""
