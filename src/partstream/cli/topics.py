"""Topics: made, listed, described, changed, grown, emptied and deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from partstream.cli import times
from partstream.cli.confirm import confirm, yes_option
from partstream.cli.output import json_option, print_fields, print_json, print_table, size
from partstream.cli.progress import steps_shown
from partstream.cli.settings import connected, of, pair
from partstream.config.topic import PARTITIONER, TopicConfig
from partstream.errors import TopicAlreadyExists, UnknownTopicOrPartition
from partstream.model import Compacted, TopicDescription, TopicPartition
from partstream.partitioners import PARTITIONERS
from partstream.sync.admin import Admin

_CONFIG = "a topic config such as retention.ms=86400000"

config_option = click.option(
    "-c", "--config", "configs", multiple=True, metavar="NAME=VALUE",
    help=f"Set {_CONFIG}. Repeatable.",
)  # fmt: skip


@click.group(short_help="Topics: create, list, describe, alter, delete.")
def topics() -> None:
    """Create, list, describe, alter, grow and delete topics, and delete records."""


def _configs(texts: Iterable[str]) -> dict[str, Any]:
    return dict(pair(text, _CONFIG) for text in texts)


@topics.command("list", short_help="List topics, their records and bytes.")
@json_option
@connected
@click.pass_context
def list_command(ctx: click.Context, as_json: bool) -> None:
    """List all topics, with how many records and bytes they hold."""
    with Admin(**of(ctx).client()) as admin:
        found = list(admin.describe_topics().values())
    if as_json:
        print_json([_summary(topic) for topic in found])
        return
    print_table(
        ["TOPIC", "PARTITIONS", "RECORDS", "SIZE", "PARTITIONER"],
        [
            (each.name, len(each.partitions), each.records, size(each.size), each.partitioner)
            for each in found
        ],
        right={"PARTITIONS", "RECORDS", "SIZE"},
    )


def _summary(topic: TopicDescription) -> dict[str, Any]:
    return {
        "name": topic.name,
        "topic_id": topic.topic_id,
        "partitions": len(topic.partitions),
        "records": topic.records,
        "size": topic.size,
        "partitioner": topic.partitioner,
    }


@topics.command()
@click.argument("name")
@click.option("-p", "--partitions", type=int, default=1, show_default=True)
@config_option
@click.option(
    "--partitioner",
    type=click.Choice(list(PARTITIONERS)),
    help="The hash of keys, for ever; murmur2 is that of Java clients (default: murmur3).",
)
@click.option("--if-not-exists", is_flag=True, help="Do nothing if the topic is there.")
@connected
@click.pass_context
def create(
    ctx: click.Context,
    name: str,
    *,
    partitions: int,
    configs: tuple[str, ...],
    partitioner: str | None,
    if_not_exists: bool,
) -> None:
    """Create the topic NAME."""
    config = _configs(configs)
    if partitioner is not None:
        config[PARTITIONER] = partitioner
    with Admin(**of(ctx).client()) as admin:
        try:
            made = admin.create_topic(name, partitions, config)
        except TopicAlreadyExists:
            if not if_not_exists:
                raise
            click.echo(f"Topic {name} is there already.")
            return
    click.echo(f"Created topic {name} with {made.partitions} partitions.")


@topics.command(short_help="Clean a compacted topic now.")
@click.argument("name")
@json_option
@connected
@click.pass_context
def compact(ctx: click.Context, name: str, as_json: bool) -> None:
    """Clean the compacted topic NAME now, as clients do it by and by.

    Of every key the last record stays. The segment being written is left alone: it ends after
    segment.bytes or segment.ms. What another client cleans just then is waited for.
    """
    with Admin(**of(ctx).client()) as admin, steps_shown() as show:
        found = admin.compact_topic(name, on_progress=show)
    if as_json:
        print_json({number: row and row._asdict() for number, row in found.items()})
        return
    print_table(
        ["PARTITION", "CLEAN UP TO", "RECORDS", "KEPT", "BEFORE", "AFTER"],
        [_compacted(number, row) for number, row in found.items()],
        right={"PARTITION", "RECORDS", "KEPT", "BEFORE", "AFTER"},
    )


def _compacted(number: int, row: Compacted | None) -> tuple[object, ...]:
    if row is None:
        return (number, "nothing to clean", "", "", "", "")
    if row.by_another:
        return (number, f"{row.boundary} by another client", "", "", "", size(row.bytes_after))
    return (
        number,
        row.boundary,
        row.records_read,
        row.records_kept,
        size(row.bytes_before),
        size(row.bytes_after),
    )


@topics.command(short_help="Show configs and partitions.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
@connected
@click.pass_context
def describe(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Describe topics: configs, and where each partition is and what it holds."""
    with Admin(**of(ctx).client()) as admin:
        found = list(admin.describe_topics(names).values())
    if as_json:
        print_json(
            [{**asdict(topic), "records": topic.records, "size": topic.size} for topic in found]
        )
        return
    for topic in found:
        _print_topic(topic)


def _print_topic(topic: TopicDescription) -> None:
    defaults = TopicConfig().as_strings()
    changed = {name: text for name, text in topic.config.items() if text != defaults[name]}
    print_fields(
        {
            "topic": topic.name,
            "id": topic.topic_id,
            "partitions": len(topic.partitions),
            "records": topic.records,
            "size": size(topic.size),
            "partitioner": topic.partitioner,
            "configs": ", ".join(f"{name}={text}" for name, text in changed.items())
            or "all at their defaults",
        }
    )
    click.echo()
    print_table(
        ["PARTITION", "NODE", "SLOT", "EPOCH", "START", "END", "SIZE", "KEY"],
        [
            (row.partition, row.node, row.slot, row.leader_epoch, row.start_offset, row.end_offset,
             size(row.size), row.key)
            for row in topic.partitions
        ],
        right={"PARTITION", "SLOT", "EPOCH", "START", "END", "SIZE"},
    )  # fmt: skip


@topics.command(short_help="Change configs, or show them all.")
@click.argument("name")
@config_option
@click.option(
    "--delete-config", "deleted", multiple=True, metavar="NAME",
    help="Put a config back to its default. Repeatable.",
)  # fmt: skip
@json_option
@connected
@click.pass_context
def alter(
    ctx: click.Context,
    name: str,
    *,
    configs: tuple[str, ...],
    deleted: tuple[str, ...],
    as_json: bool,
) -> None:
    """Change configs of the topic NAME; without options, show them all."""
    changes: dict[str, object | None] = {**_configs(configs), **dict.fromkeys(deleted)}
    with Admin(**of(ctx).client()) as admin:
        after = admin.alter_config(name, changes) if changes else admin.describe_config(name)
    if as_json:
        print_json(after)
    elif changes:
        for config in changes:
            click.echo(f"{config}={after[config]}")
    else:
        print_fields(after)


@topics.command()
@click.argument("name")
@click.option("-p", "--partitions", type=int, required=True, help="How many there are to be.")
@connected
@click.pass_context
def grow(ctx: click.Context, name: str, partitions: int) -> None:
    """Add partitions to the topic NAME. Keys move to other partitions by it."""
    with Admin(**of(ctx).client()) as admin:
        grown = admin.create_partitions(name, partitions)
    click.echo(f"Topic {name} has {grown.partitions} partitions now.")


@topics.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--if-exists", is_flag=True, help="Do nothing for topics that are not there.")
@yes_option
@connected
@click.pass_context
def delete(ctx: click.Context, names: tuple[str, ...], if_exists: bool, yes: bool) -> None:
    """Delete topics with all their records."""
    confirm(f"Delete {', '.join(names)} with all records?", yes)
    with Admin(**of(ctx).client()) as admin:
        for name in names:
            try:
                admin.delete_topic(name)
            except UnknownTopicOrPartition:
                if not if_exists:
                    raise
                click.echo(f"There is no topic {name}.")
            else:
                click.echo(f"Deleted topic {name}.")


@topics.command("delete-records")
@click.argument("name")
@click.option(
    "--before-offset", "before", multiple=True, metavar="PARTITION:OFFSET",
    help="Delete what is below the offset (`end`: everything). Repeatable.",
)  # fmt: skip
@click.option("--before-time", type=times.time, help="In all partitions, what is older.")
@click.option("--all", "everything", is_flag=True, help="All records of all partitions.")
@yes_option
@json_option
@connected
@click.pass_context
def delete_records(
    ctx: click.Context,
    name: str,
    *,
    before: tuple[str, ...],
    before_time: datetime | None,
    everything: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete the oldest records of the topic NAME."""
    if sum((bool(before), before_time is not None, everything)) != 1:
        raise click.UsageError("give one of --before-offset, --before-time and --all")
    confirm(f"Delete records of {name}?", yes)
    with Admin(**of(ctx).client()) as admin:
        partitions = [
            TopicPartition(name, row.partition) for row in admin.describe_topic(name).partitions
        ]
        if before:
            offsets = dict(_before(name, text) for text in before)
        elif before_time is not None:
            found = admin.list_offsets(dict.fromkeys(partitions, before_time))
            offsets = {at: -1 if place is None else place.offset for at, place in found.items()}
        else:
            offsets = dict.fromkeys(partitions, -1)
        left = admin.delete_records(offsets)
    rows = [{"partition": at.partition, "start_offset": start} for at, start in left.items()]
    if as_json:
        print_json(rows)
    else:
        print_table(["PARTITION", "FIRST OFFSET LEFT"], [tuple(row.values()) for row in rows])


def _before(topic: str, text: str) -> tuple[TopicPartition, int]:
    partition, _, offset = text.partition(":")
    if not partition.isdecimal() or not (offset.isdecimal() or offset == "end"):
        raise click.BadParameter(f"{text!r}: expected PARTITION:OFFSET, as in 0:1200 or 0:end")
    return TopicPartition(topic, int(partition)), -1 if offset == "end" else int(offset)
