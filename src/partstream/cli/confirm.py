"""Asking before something is lost."""

from __future__ import annotations

import sys

import click

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask, also on a terminal.")


def confirm(question: str, yes: bool) -> None:
    """Ask whoever sits at a terminal; a script has thought about it."""
    if not yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)
