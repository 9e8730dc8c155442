"""A private server in the foreground, for trying things out from two terminals."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import click

from partstream.embedded.server import EmbeddedServer

_LOOK_S = 0.2


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Default: a free one.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the data in this folder (an append-only file). Default: in memory only.",
)
@click.pass_context
def server(ctx: click.Context, port: int, data: Path | None) -> None:
    """Run a private Redis or Valkey server until Ctrl-C.

    It listens on 127.0.0.1 only. Its binary is that of the extra `partstream[embedded]`, or
    valkey-server or redis-server on the PATH.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with EmbeddedServer(data, port=port) as running:
        click.echo(f"{running.binary.label}, {'in ' + str(data) if data else 'in memory'}")
        click.echo("In another terminal:\n")
        click.echo(f"  export PARTSTREAM_URL={running.url}\n")
        click.echo("Ctrl-C stops it.")
        sys.stdout.flush()
        while not stop.wait(_LOOK_S):
            if not running.running:
                click.echo(f"partstream: the server has ended; see {running.log}", err=True)
                ctx.exit(1)
    click.echo("Stopped.")
