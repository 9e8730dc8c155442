"""The gateway: Kafka clients in any language, on Redis."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from typing import TYPE_CHECKING, Any

import click

from partstream.cli import settings
from partstream.config import load
from partstream.config.gateway import GatewayConfig
from partstream.config.listeners import host_and_port
from partstream.errors import ConfigError

if TYPE_CHECKING:
    from partstream.gateway.server import Gateway


@click.command()
@settings.connected
@settings.properties
@click.option("--listen", metavar="HOST:PORT", help="Default: 127.0.0.1:9092.")
@click.option(
    "--advertised",
    metavar="HOST:PORT",
    help="The address that clients are told. Default: where it listens.",
)
@click.option("--node-id", type=int, help="Default: found by itself, and kept.")
@click.pass_context
def serve(
    ctx: click.Context, listen: str | None, advertised: str | None, node_id: int | None
) -> None:
    """Serve the Kafka protocol to any Kafka client, until Ctrl-C.

    Every gateway serves all topics and groups of the namespace; start as many as you like. With
    `--url embedded:` a private server is started too, and one command is a whole broker.
    """
    try:
        from partstream.gateway.server import Gateway  # noqa: PLC0415 (an extra brings it)
    except ImportError as error:
        raise ConfigError(
            f"the gateway needs the extra `pip install 'partstream[gateway]'` ({error})"
        ) from error
    given = {"listen": listen, "advertised": advertised, "node_id": node_id}
    options = {name: value for name, value in given.items() if value is not None}
    config = load(GatewayConfig, _numbers(settings.of(ctx).client(**options)))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(Gateway(config)))


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _loop_factory() -> Any:
    """uvloop where it is installed: a third faster here; else Python's own."""
    try:
        import uvloop  # noqa: PLC0415 (it is optional)
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()
    stop, now = asyncio.Event(), asyncio.Event()

    def asked() -> None:
        (now if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    await gateway.start()
    host, port = gateway.address
    me = gateway.broker.registry.me
    click.echo(f"partstream: node {me.id} serves Kafka on {host}:{port} as {me.host}:{me.port}")
    if not _is_loopback(host_and_port(gateway.config.listen)[0]):
        click.echo(
            "partstream: open to the network without authentication: "
            "whoever reaches the port may read and write everything",
            err=True,
        )
    await stop.wait()
    draining = asyncio.create_task(gateway.drain())
    second = asyncio.create_task(now.wait())
    await asyncio.wait((draining, second), return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        draining.cancel()
        await gateway.close()
    second.cancel()
    click.echo("Stopped.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
