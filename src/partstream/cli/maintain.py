"""Upkeep on demand, for systems where no client lives long."""

from __future__ import annotations

from dataclasses import asdict

import click

from partstream.cli.output import json_option, print_fields, print_json
from partstream.cli.settings import connected, of
from partstream.sync.admin import Admin


@click.command(short_help="Do the upkeep once: retention and the like.")
@json_option
@connected
@click.pass_context
def maintain(ctx: click.Context, as_json: bool) -> None:
    """Do once what live clients do every minute: drop what is too old, finish what crashed.

    For cron, where clients come and go. It does no harm beside clients that do the same.
    """
    with Admin(**of(ctx).client()) as admin:
        done = asdict(admin.maintain())
    if as_json:
        print_json(done)
    else:
        print_fields({name.replace("_", " "): count for name, count in done.items()})
