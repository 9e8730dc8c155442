"""The gateway: Kafka clients in any language, on Redis."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from partstream.cli import serve_settings, settings
from partstream.errors import ConfigError

if TYPE_CHECKING:
    from partstream.config.gateway import GatewayConfig
    from partstream.gateway.server import Gateway


@click.command()
@settings.connected
@settings.properties
@click.option(
    "--config",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar=serve_settings.FILE,
    help="A file of NAME=VALUE lines, as Kafka's server.properties.",
)
@click.option("--listen", metavar="HOST:PORT", help="Default: 127.0.0.1:9092.")
@click.option(
    "--advertised",
    metavar="HOST:PORT",
    help="The address that clients are told. Default: where it listens.",
)
@click.option("--node-id", type=int, help="Default: found by itself, and kept.")
@click.option("--workers", type=int, metavar="N", help="Processes behind the address. Default: 1.")
@click.option(
    "--admin",
    "admin_listen",
    metavar="HOST:PORT",
    help="Where health and metrics are. Default: off.",
)
@click.pass_context
def serve(ctx: click.Context, /, file: Path | None, **flags: object) -> None:
    """Serve the Kafka protocol to any Kafka client, until Ctrl-C.

    Every gateway serves all topics and groups of the namespace; start as many as you like. With
    `--url embedded:` a private server is started too, and one command is a whole broker.

    Configs have Kafka's names. They come from flags and -X, then from the environment
    (PARTSTREAM_SERVE_NUM_PARTITIONS is num.partitions), then from the file.
    """
    config = serve_settings.gather(settings.of(ctx), flags, file, os.environ, _warn)
    try:
        from partstream.gateway import process, workers  # noqa: PLC0415 (an extra brings it)
    except ImportError as error:
        raise ConfigError(
            f"the gateway needs the extra `pip install 'partstream[gateway]'` ({error})"
        ) from error
    if config.workers == 1:

        def started(gateway: Gateway) -> None:
            _greet(config, gateway.says)

        code = process.run(config, started)
    else:
        code = workers.Workers(
            config, lambda said: _greet(config, f"{said}, {config.workers} workers")
        ).run()
    click.echo("Stopped.")
    ctx.exit(code)


def _warn(text: str) -> None:
    click.echo(f"partstream: {text}", err=True)


def _greet(config: GatewayConfig, said: str) -> None:
    click.echo(f"partstream: {said}")
    sys.stdout.flush()
    for listener in config.listeners:
        if _is_loopback(listener.host):
            continue
        if not (listener.is_secure and config.ssl_client_auth == "required"):
            _warn(
                f"{listener} is open to the network without authentication: "
                "whoever reaches the port may read and write everything"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
