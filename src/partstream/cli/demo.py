"""The flights demo."""

from __future__ import annotations

import click

from partstream.cli.settings import connected


@click.command()
@connected
@click.pass_context
def demo(ctx: click.Context) -> None:
    """Replay flights."""
