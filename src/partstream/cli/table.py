"""The last value of every key of a topic."""

from __future__ import annotations

import sys

import click

from partstream.cli.output import json_option, print_json
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
    """
    with Table(topic, **of(ctx).client()) as found:
        values: dict[bytes, bytes] = dict(found)
    if key is not None:
        value = values.get(key.encode())
        if value is None:
            click.echo(f"partstream: topic {topic} has no key {key}", err=True)
            ctx.exit(_MISSING)
        values = {key.encode(): value}
    if as_json:
        print_json(
            {
                name.decode(errors="replace"): value.decode(errors="replace")
                for name, value in sorted(values.items())
            }
        )
        return
    out = sys.stdout.buffer
    for name, value in sorted(values.items()):
        out.write(value + b"\n" if key is not None else name + b"\t" + value + b"\n")
    out.flush()
