"""The flights demo."""

from __future__ import annotations

import os

import click
from rich.console import Console

from partstream.cli.settings import connected, of
from partstream.demo.run import NAMESPACE, run_demo


@click.command(short_help="Replay flights, kill a consumer, prove all is well.")
@click.option(
    "--rate", type=click.FloatRange(1), default=2_000, show_default=True, help="Flights a second."
)
@connected
@click.pass_context
def demo(ctx: click.Context, rate: float) -> None:
    """Replay 27,004 real flights through a group of consumers, and kill one on the way.

    One process sends, three consumers of one group write down what they process; half way one is
    killed with SIGKILL, and another is started. At the end it is proved from what they wrote that
    every flight was processed, those of each aircraft in order. Without --url or PARTSTREAM_URL it
    starts a private server. It takes about 20 seconds.
    """
    settings = of(ctx)
    proved = run_demo(
        settings.url or os.environ.get("PARTSTREAM_URL") or None,
        namespace=settings.namespace or NAMESPACE,
        rate=rate,
        console=Console(),
    )
    ctx.exit(0 if proved else 1)
