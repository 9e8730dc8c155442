"""Records of topics to stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import click

from partstream.cli import times
from partstream.cli.record_formats import (
    BadFormat,
    Formatter,
    compile_format,
    json_format,
    text_format,
)
from partstream.cli.settings import Settings, connected, of, properties
from partstream.model import PartitionDescription, Record, TopicPartition
from partstream.sync.admin import Admin
from partstream.sync.consumer import Consumer

_WAIT_S = 0.5
"""How long a poll waits; whether the end is reached is looked at when nothing came."""
_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Span:
    """What is to be read of a partition."""

    start: int
    end: int
    """The log's end when the command began."""


@click.command(short_help="Print records of topics.")
@click.argument("topics", nargs=-1, required=True, metavar="TOPIC...")
@click.option(
    "-o", "--from", "place", type=times.place, default="beginning", show_default=True,
    metavar="PLACE",
    help="beginning, end, an offset, -N (the last N records of each partition), a time such as "
    "2026-01-31T12:00, or how long ago, such as 2h.",
)  # fmt: skip
@click.option("-p", "--partition", "partitions", type=click.IntRange(0), multiple=True)
@click.option("-g", "--group", metavar="GROUP", help="Read as a member of a group, and commit.")
@click.option("-F", "--follow", is_flag=True, help="Wait for more; do not stop at the end.")
@click.option("-n", "--count", type=click.IntRange(1), help="Stop after so many records.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line.")
@click.option("-K", "--key-separator", metavar="TEXT", help="The key and this before the value.")
@click.option(
    "-f", "--format", "template", metavar="FORMAT",
    help=r"As kcat: %t topic, %p partition, %o offset, %k key, %s value, %T timestamp (ms), "
    r"%h headers, %K %S their lengths (-1: none), %%, \n \t \r \0 \xHH.",
)  # fmt: skip
@properties
@connected
@click.pass_context
def consume(
    ctx: click.Context,
    topics: tuple[str, ...],
    *,
    place: times.Place,
    partitions: tuple[int, ...],
    group: str | None,
    follow: bool,
    count: int | None,
    as_json: bool,
    key_separator: str | None,
    template: str | None,
) -> None:
    """Print records of TOPICs, up to the end that they have now.

    A group begins at its committed offset, or where there is none at --from, which then is
    beginning or end. It commits what was printed.
    """
    form = _formatter(as_json, template, key_separator)
    if group is not None and (partitions or place.kind not in ("beginning", "end")):
        raise click.UsageError("--group goes neither with --partition nor with a place inside")
    settings = of(ctx)
    spans = _spans(settings, topics, partitions, place)
    printer = Printer(sys.stdout.buffer, form, spans, follow=follow)
    config = settings.client(
        group_id=group,
        auto_offset_reset="latest" if place.kind == "end" else "earliest",
        enable_auto_commit=False,
        allow_auto_create_topics=False,
    )
    with Consumer(**config) as consumer:
        if group is not None:
            consumer.subscribe(topics)
        else:
            consumer.assign(list(spans))
            for name, span in spans.items():
                consumer.seek(name, span.start)
        while count is None or printer.printed < count:
            most = _AT_ONCE if count is None else min(_AT_ONCE, count - printer.printed)
            records = consumer.poll(max_records=most, timeout=_WAIT_S)
            printer.write(records)
            if group is not None and records:
                consumer.commit()
            if not records and not follow and printer.at_end(consumer):
                break


class Positions(Protocol):
    """What of a consumer says how far it is."""

    def assignment(self) -> frozenset[TopicPartition]:
        """Its partitions."""

    def position(self, partition: TopicPartition) -> int:
        """The offset of its next record."""


class Printer:
    """Writes records, and knows when it has them all."""

    def __init__(
        self,
        out: BinaryIO,
        form: Formatter,
        spans: dict[TopicPartition, Span],
        *,
        follow: bool,
    ) -> None:
        self._out = out
        self._form = form
        self._spans = spans
        self._follow = follow
        self.printed = 0

    def write(self, records: Sequence[Record]) -> None:
        """Write them; without `follow`, only what was there when the command began."""
        wanted = records if self._follow else [row for row in records if self._is_early(row)]
        if wanted:
            self._out.write(b"".join([self._form(record) for record in wanted]))
            self._out.flush()
            self.printed += len(wanted)

    def at_end(self, consumer: Positions) -> bool:
        """Whether nothing is left to come. A group's member without partitions still waits."""
        names = consumer.assignment()
        return bool(names) and all(
            consumer.position(name) >= self._spans[name].end
            for name in names
            if name in self._spans
        )

    def _is_early(self, record: Record) -> bool:
        span = self._spans.get(TopicPartition(record.topic, record.partition))
        return span is not None and record.offset < span.end


def _formatter(as_json: bool, template: str | None, key_separator: str | None) -> Formatter:
    if sum((as_json, template is not None, key_separator is not None)) > 1:
        raise click.UsageError("give one of --json, --format and --key-separator")
    if as_json:
        return json_format
    if template is None:
        return text_format(key_separator)
    try:
        return compile_format(template)
    except BadFormat as error:
        raise click.BadParameter(f"--format {template!r}: {error}") from None


def _spans(
    settings: Settings, topics: Sequence[str], numbers: Sequence[int], place: times.Place
) -> dict[TopicPartition, Span]:
    """Where to begin and to end in each partition."""
    with Admin(**settings.connection()) as admin:
        described = admin.describe_topics(topics)
        found = {
            TopicPartition(topic.name, row.partition): row
            for topic in described.values()
            for row in topic.partitions
            if not numbers or row.partition in numbers
        }
        for number in numbers:
            for topic in described.values():
                if (topic.name, number) not in found:
                    raise click.BadParameter(
                        f"topic {topic.name} has no partition {number}, it has "
                        f"{len(topic.partitions)}"
                    )
        times_found = {}
        if place.kind == "time":
            times_found = admin.list_offsets(dict.fromkeys(found, place.number))
    spans = {}
    for name, row in found.items():
        at = times_found.get(name)
        start = at.offset if at is not None else _start(row, place)
        spans[name] = Span(start, row.end_offset)
        if place.kind == "offset" and place.number > row.end_offset:
            click.echo(
                f"Offset {place.number} is beyond the end of {name.topic}-{name.partition}, "
                f"{row.end_offset}.",
                err=True,
            )
    return spans


def _start(row: PartitionDescription, place: times.Place) -> int:
    """The first offset to read; what the partition does not have becomes the nearest it has."""
    start = {
        "beginning": row.start_offset,
        "offset": place.number,
        "last": row.end_offset - place.number,
    }.get(place.kind, row.end_offset)
    return min(max(start, row.start_offset), row.end_offset)
