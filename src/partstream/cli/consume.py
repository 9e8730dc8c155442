"""Records of topics to stdout."""

from __future__ import annotations

import click

from partstream.cli.settings import connected


@click.command()
@connected
@click.pass_context
def consume(ctx: click.Context) -> None:
    """Consume."""
