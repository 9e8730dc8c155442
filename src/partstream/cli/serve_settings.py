"""Where `serve` takes its configs from: flags, then the environment, then a file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from partstream.cli.settings import Settings
from partstream.config import load
from partstream.config.gateway import GatewayConfig
from partstream.config.properties import parse_properties
from partstream.config.without_meaning import WITHOUT_MEANING
from partstream.errors import ConfigError

_logger = logging.getLogger(__name__)

PREFIX = "PARTSTREAM_SERVE_"
"""What environment variables begin with: PARTSTREAM_SERVE_NUM_PARTITIONS is num.partitions."""
FILE = f"{PREFIX}CONFIG"
"""The environment variable that names the file."""


def gather(
    settings: Settings,
    flags: Mapping[str, object],
    file: Path | None,
    environment: Mapping[str, str],
    warn: Callable[[str], None] = _logger.warning,
) -> GatewayConfig:
    """The config, each value from the first that gives it: flags, environment, file.

    What Kafka's brokers know and what means nothing here is passed over: an existing
    server.properties can be used as it is.

    Args:
        settings: the URL, the namespace and `-X`, as all commands take them.
        flags: what was given on the command line; None: it was not.
        file: a file of `name=value` lines.
        environment: of this process.
        warn: told, in one line, what was passed over.

    Raises:
        ConfigError: it names each key, its value and what was expected.
    """
    values: dict[str, object] = {}
    sources = (
        _file(file),
        {
            name.removeprefix(PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(PREFIX) and name != FILE
        },
        {name: value for name, value in flags.items() if value is not None},
        {
            name: value
            for name, value in settings.connection().items()
            if name in ("url", "namespace") and value is not None
        },
        {_plain(name): value for name, value in settings.properties},
    )
    for source in sources:
        for name, value in source.items():
            values[_OTHER_NAMES.get(name, name)] = value
    ignored = sorted(name for name in WITHOUT_MEANING if values.pop(_plain(name), None) is not None)
    if ignored:
        warn(f"these configs of Kafka mean nothing here, and are ignored: {', '.join(ignored)}")
    return load(GatewayConfig, values)


def _plain(name: str) -> str:
    return name.replace(".", "_")


_OTHER_NAMES = {
    "listeners": "listen",
    "advertised_listeners": "advertised",
    "broker_id": "node_id",
}
"""So that one of them on the command line takes the place of the other in the file."""


def _file(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse_properties(text, str(path))
