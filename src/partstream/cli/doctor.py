"""What of the server's set-up can lose data."""

from __future__ import annotations

import textwrap
from dataclasses import asdict, replace

import click
from rich.console import Console

from partstream.cli.output import json_option, print_json
from partstream.cli.settings import Settings, connected, of
from partstream.errors import (
    NewerLayout,
    PartstreamError,
    StoreAuthenticationFailed,
    StorePermissionDenied,
    StoreTooOld,
    StoreUnavailable,
)
from partstream.model import Finding, Severity
from partstream.sync.admin import Admin

EXIT_CODES = {Severity.INFO: 0, Severity.WARNING: 3, Severity.ERROR: 4}
_STYLES = {Severity.INFO: "cyan", Severity.WARNING: "yellow", Severity.ERROR: "red"}
_REMEDIES: dict[type[PartstreamError], str] = {
    StoreAuthenticationFailed: "Give user and password in the URL: redis://user:password@host",
    StorePermissionDenied: "ACL SETUSER <user> ~<namespace>:* &<namespace>:* +@all -@dangerous "
    "-@admin +info",
    StoreTooOld: "Upgrade to Redis 7.0 or Valkey 7.2, or later",
    NewerLayout: "Upgrade partstream, or use another --namespace",
    StoreUnavailable: "Look whether the server runs, and whether --url or PARTSTREAM_URL is right",
}


@click.command(short_help="Find what loses data or stands in the way.")
@json_option
@connected
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Look at the servers and topics for what loses data or stands in the way.

    Exit code 0: nothing, or only what is worth knowing; 3: warnings; 4: errors.
    """
    findings = _examine(of(ctx))
    if as_json:
        print_json([_as_json(finding) for finding in findings])
    else:
        _print(_grouped(findings))
    worst = max((finding.severity for finding in findings), default=Severity.INFO)
    ctx.exit(EXIT_CODES[worst])


def _examine(settings: Settings) -> list[Finding]:
    try:
        with Admin(**settings.client(request_timeout_ms=10_000)) as admin:
            return admin.doctor()
    except tuple(_REMEDIES) as error:
        return [_unreachable(error, settings.namespace or "ps")]


def _unreachable(error: PartstreamError, namespace: str) -> Finding:
    remedy = next(text for kind, text in _REMEDIES.items() if isinstance(error, kind))
    return Finding(
        name="connection",
        severity=Severity.ERROR,
        where="connection",
        what=str(error),
        why="No client can work.",
        remedy=remedy.replace("<namespace>", namespace),
    )


def _as_json(finding: Finding) -> dict[str, object]:
    return {**asdict(finding), "severity": finding.severity.name.lower()}


def _grouped(findings: list[Finding]) -> list[Finding]:
    """One for all the nodes or topics that share it, in the order of the first of each."""
    places: dict[Finding, list[str]] = {}
    for finding in findings:
        places.setdefault(replace(finding, where=""), []).append(finding.where)
    return [replace(shared, where=", ".join(where)) for shared, where in places.items()]


def _print(findings: list[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not findings:
        console.print("Nothing to remark.")
    for finding in findings:
        style = _STYLES[finding.severity]
        console.print(f"{finding.severity.name.lower()}: ", style=style, end="")
        console.print(f"{finding.where}: {finding.what} ({finding.name})", markup=False)
        for name, text in (("why:", finding.why), ("remedy:", finding.remedy)):
            console.print(_indented(name, text, console), markup=False)
        console.print()


def _indented(name: str, text: str, console: Console) -> str:
    """In lines of the terminal's width; in a pipe it stays one line."""
    lines = textwrap.wrap(text, console.width - 11) if console.is_terminal else [text]
    return f"  {name:8}" + ("\n" + " " * 10).join(lines)
