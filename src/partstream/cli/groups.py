"""Groups: listed, described, set to other offsets, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from partstream.cli import times
from partstream.cli.confirm import confirm, yes_option
from partstream.cli.output import json_option, print_fields, print_json, print_table
from partstream.cli.settings import connected, of
from partstream.config.common import INT64_MAX
from partstream.model import GroupDescription, OffsetChange, ResetSpec, TopicPartition
from partstream.sync.admin import Admin


@click.group(short_help="Groups: list, describe, reset offsets, delete.")
def groups() -> None:
    """List and describe consumer groups, reset their offsets, delete them."""


@groups.command("list")
@json_option
@connected
@click.pass_context
def list_command(ctx: click.Context, as_json: bool) -> None:
    """List all groups."""
    with Admin(**of(ctx).client()) as admin:
        found = admin.list_groups()
    rows = [
        {"group_id": row.group_id, "type": row.type, "state": row.state.name.lower()}
        for row in found
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(["GROUP", "TYPE", "STATE"], [tuple(row.values()) for row in rows])


@groups.command(short_help="Show members, who owns what, and lag.")
@click.argument("group_ids", nargs=-1, required=True, metavar="GROUP...")
@json_option
@connected
@click.pass_context
def describe(ctx: click.Context, group_ids: tuple[str, ...], as_json: bool) -> None:
    """Describe groups: members, who owns what, and how far behind they are."""
    with Admin(**of(ctx).client()) as admin:
        found = [admin.describe_group(group_id) for group_id in group_ids]
    if as_json:
        print_json([_as_json(group) for group in found])
        return
    for group in found:
        _print_group(group)


def _as_json(group: GroupDescription) -> dict[str, Any]:
    owners = _owners(group)
    return {
        **asdict(group),
        "state": group.state.name.lower(),
        "members": [
            {
                **asdict(member),
                "assignment": [at._asdict() for at in member.assignment],
                "target_assignment": [at._asdict() for at in member.target_assignment],
            }
            for member in group.members
        ],
        "lags": [
            {
                **lag.partition._asdict(),
                "committed": lag.committed._asdict() if lag.committed else None,
                "start_offset": lag.start_offset,
                "end_offset": lag.end_offset,
                "lag": lag.lag,
                "member_id": owners.get(lag.partition),
            }
            for lag in group.lags
        ],
        "lag": sum(lag.lag or 0 for lag in group.lags),
    }


def _owners(group: GroupDescription) -> dict[TopicPartition, str]:
    return {at: member.member_id for member in group.members for at in member.assignment}


def _print_group(group: GroupDescription) -> None:
    print_fields(
        {
            "group": group.group_id,
            "type": group.type,
            "state": group.state.name.lower(),
            "epoch": group.epoch,
            "assignor": group.assignor,
            "members": len(group.members),
            "lag": sum(lag.lag or 0 for lag in group.lags),
            **group.configs,
        }
    )
    if group.members:
        click.echo()
        print_table(
            ["MEMBER", "TYPE", "CLIENT", "HOST", "EPOCH", "SUBSCRIBED", "OWNS", "IS TO OWN"],
            [
                (
                    member.instance_id or member.member_id,
                    member.type,
                    member.client_id,
                    member.host,
                    member.epoch,
                    ",".join(member.subscribed_topics) or member.subscribed_regex,
                    _names(member.assignment),
                    _names(member.target_assignment),
                )
                for member in group.members
            ],
            right={"EPOCH"},
        )
    if group.lags:
        owners = _owners(group)
        click.echo()
        print_table(
            ["PARTITION", "COMMITTED", "END", "LAG", "MEMBER"],
            [
                (
                    f"{lag.partition.topic}-{lag.partition.partition}",
                    lag.committed.offset if lag.committed else None,
                    lag.end_offset,
                    lag.lag,
                    owners.get(lag.partition),
                )
                for lag in group.lags
            ],
            right={"COMMITTED", "END", "LAG"},
        )
    click.echo()


def _names(partitions: Sequence[TopicPartition]) -> str:
    """`orders 0,3; audit 1`."""
    by_topic: dict[str, list[str]] = {}
    for topic, partition in partitions:
        by_topic.setdefault(topic, []).append(str(partition))
    return "; ".join(f"{topic} {','.join(numbers)}" for topic, numbers in by_topic.items())


@groups.command("reset-offsets", short_help="Set offsets elsewhere (--execute).")
@click.argument("group_id", metavar="GROUP")
@click.option("--to-earliest", is_flag=True, help="To the first record that is left.")
@click.option("--to-latest", is_flag=True, help="To the end.")
@click.option("--to-offset", type=click.IntRange(0, INT64_MAX), metavar="OFFSET")
@click.option("--to-time", type=times.time, help="To the first record at or after a time.")
@click.option("--shift-by", type=int, metavar="N", help="N records forward, or back if negative.")
@click.option(
    "--topic", "topics", multiple=True, metavar="TOPIC[:P,P...]",
    help="A topic, or some of its partitions. Repeatable. Default: all with a committed offset.",
)  # fmt: skip
@click.option("--execute", is_flag=True, help="Do it. Without, only show what would change.")
@click.option("--dry-run", is_flag=True, help="Only show what would change (the default).")
@json_option
@connected
@click.pass_context
def reset_offsets(
    ctx: click.Context,
    group_id: str,
    *,
    to_earliest: bool,
    to_latest: bool,
    to_offset: int | None,
    to_time: datetime | None,
    shift_by: int | None,
    topics: tuple[str, ...],
    execute: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Set the offsets of GROUP elsewhere; shows what would change, unless --execute is given.

    The group must have no members. Offsets that a partition does not have become its nearest one.
    """
    if execute and dry_run:
        raise click.UsageError("give --execute or --dry-run, not both")
    targets: list[ResetSpec] = [
        target
        for target in (
            "earliest" if to_earliest else None,
            "latest" if to_latest else None,
            to_offset,
            to_time,
        )
        if target is not None
    ]
    if len(targets) + (shift_by is not None) != 1:
        raise click.UsageError(
            "give one of --to-earliest, --to-latest, --to-offset, --to-time and --shift-by"
        )
    whole, some = _scope(topics)
    with Admin(**of(ctx).client()) as admin:
        if not topics:
            admin.describe_group(group_id)  # one that does not exist has nothing to reset: say so
        changes = admin.reset_offsets(
            group_id,
            targets[0] if targets else None,
            shift_by=shift_by,
            topics=whole if topics else None,
            partitions=some if topics else None,
            dry_run=not execute,
        )
    _print_changes(changes, as_json)
    if not changes:
        click.echo("Nothing to reset: the group has committed no offsets; name --topic.", err=True)
    elif not execute:
        click.echo("Nothing was changed. Add --execute to do it.", err=True)


def _scope(texts: Sequence[str]) -> tuple[list[str], list[TopicPartition]]:
    """Whole topics, and single partitions."""
    whole: list[str] = []
    some: list[TopicPartition] = []
    for text in texts:
        topic, colon, numbers = text.partition(":")
        if not colon:
            whole.append(topic)
            continue
        parts = numbers.split(",")
        if not all(part.isdecimal() for part in parts):
            raise click.BadParameter(f"{text!r}: expected TOPIC or TOPIC:0,1")
        some += [TopicPartition(topic, int(part)) for part in parts]
    return whole, some


def _print_changes(changes: Sequence[OffsetChange], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {**change.partition._asdict(), "before": change.before, "after": change.after}
                for change in changes
            ]
        )
    elif changes:
        print_table(
            ["PARTITION", "BEFORE", "AFTER"],
            [(f"{at.topic}-{at.partition}", before, after) for at, before, after in changes],
            right={"BEFORE", "AFTER"},
        )


@groups.command(short_help="Delete groups without members.")
@click.argument("group_ids", nargs=-1, required=True, metavar="GROUP...")
@yes_option
@connected
@click.pass_context
def delete(ctx: click.Context, group_ids: tuple[str, ...], yes: bool) -> None:
    """Delete groups that have no members, and the offsets they have committed."""
    confirm(f"Delete {', '.join(group_ids)} with all committed offsets?", yes)
    with Admin(**of(ctx).client()) as admin:
        for group_id in group_ids:
            admin.delete_group(group_id)
            click.echo(f"Deleted group {group_id}.")
