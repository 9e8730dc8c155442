"""An existing plain Redis stream into a topic."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

import click

from partstream.cli.output import json_option, print_json
from partstream.cli.progress import progress_bar
from partstream.cli.settings import connected, of, properties
from partstream.client.importing import PAGE, Imported, Mapping, StreamImport
from partstream.client.producer import Producer
from partstream.config.topic import DAY_MS


@click.command("import-stream", short_help="Import a plain Redis stream into a topic.")
@click.argument("stream")
@click.argument("topic")
@click.option(
    "--fields-as", type=click.Choice(["json", "headers"]), default="json", show_default=True,
    help="An entry's fields: one JSON object as the value, or headers.",
)  # fmt: skip
@click.option("--key-field", metavar="FIELD", help="The field that is the record's key.")
@click.option(
    "--value-field", metavar="FIELD", help="With headers: the field that is the record's value."
)
@click.option(
    "--timestamps", type=click.Choice(["id", "now"]), default="id", show_default=True,
    help="The time in the entry's ID, or that of the import.",
)  # fmt: skip
@click.option("--page", type=click.IntRange(1), default=PAGE, show_default=True)
@click.option("--restart", is_flag=True, help="From the first entry, whatever was imported before.")
@json_option
@properties
@connected
@click.pass_context
def import_stream(
    ctx: click.Context,
    stream: str,
    topic: str,
    *,
    fields_as: Literal["json", "headers"],
    key_field: str | None,
    value_field: str | None,
    timestamps: Literal["id", "now"],
    page: int,
    restart: bool,
    as_json: bool,
) -> None:
    """Import the entries of the Redis stream STREAM into TOPIC, in their order.

    Run it again, and it goes on after the last entry that was imported: how far it has come is
    kept in the namespace. Every entry is imported at least once: a crash may send up to a page of
    them again, which consumers can tell by the header redis-stream-id. The stream stays as it is.
    """
    if value_field is not None and fields_as != "headers":
        raise click.UsageError("--value-field goes with --fields-as headers")
    mapping = Mapping(fields_as, key_field, value_field, timestamps)
    config = of(ctx).client()

    async def run() -> tuple[Imported, Imported]:
        async with Producer(**config) as producer:
            importing = StreamImport(producer, stream, topic, mapping)
            before, entries = await importing.prepare(restart=restart)
            if timestamps == "id":
                await _warn(producer, importing, before, topic)
            with progress_bar(stream, max(entries, before.entries), in_bytes=False) as advance:
                advance(before.entries)
                return before, await importing.run(before, page=page, on_page=advance)

    before, after = asyncio.run(run())
    count = after.entries - before.entries
    if as_json:
        print_json({"imported": count, "total": after.entries, "last_id": after.last_id})
    else:
        click.echo(f"{count} entries imported, {after.entries} in all; the last is {after.last_id}")


async def _warn(producer: Producer, importing: StreamImport, done: Imported, topic: str) -> None:
    """Say so if records will be dropped as soon as they are there, since they are old."""
    oldest = await importing.oldest_ms(done)
    retention_ms = (await producer.refresh(topic)).config.retention_ms
    if oldest is not None and 0 <= retention_ms < time.time() * 1000 - oldest:
        click.echo(
            f"partstream: the oldest entries are older than retention.ms of {topic} "
            f"({retention_ms / DAY_MS:g} days) and will be dropped soon; to keep them: "
            f"--timestamps now, or topics alter {topic} -c retention.ms=-1",
            err=True,
        )
