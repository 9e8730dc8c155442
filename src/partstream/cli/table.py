"""The last value of every key of a topic."""

from __future__ import annotations

import os
import sys

import click

from partstream.cli.output import json_option, print_json
from partstream.cli.record_formats import json_of
from partstream.cli.settings import connected, of
from partstream.sync.table import Table

_MISSING = 1


@click.command(short_help="Print the last value of every key.")
@click.argument("topic")
@click.argument("key", required=False)
@json_option
@connected
@click.pass_context
def table(ctx: click.Context, topic: str, key: str | None, as_json: bool) -> None:
    """Print the last value of every key of TOPIC, as key, tab and value; or that of KEY alone.

    Keys that were deleted (by a record without a value) are not there. Exits with 1 if KEY is not.
    With --json a list of keys and values, as `consume --json` has them.
    """
    with Table(topic, **of(ctx).client()) as found:
        values: dict[bytes, bytes] = found.copy()
    if key is not None:
        name = os.fsencode(key)  # any bytes
        if name not in values:
            click.echo(f"partstream: topic {topic} has no key {key}", err=True)
            ctx.exit(_MISSING)
        values = {name: values[name]}
    if as_json:
        print_json(
            [
                {"key": json_of(name), "value": json_of(value)}
                for name, value in sorted(values.items())
            ]
        )
        return
    out = sys.stdout.buffer
    for name, value in sorted(values.items()):
        out.write(value + b"\n" if key is not None else name + b"\t" + value + b"\n")
    out.flush()
