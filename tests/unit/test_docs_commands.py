"""Every command in the documentation is one that the command line takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from partstream.cli.app import root

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")])

_BLOCK = re.compile(r"^ *```(?:console|bash|sh)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_REDIRECTION = re.compile(r" (?:<|>>?) \S+")


def commands(page: Path) -> Iterator[str]:
    """The `partstream` commands in the console blocks of a page."""
    for block in _BLOCK.findall(page.read_text(encoding="utf-8").replace("\\\n", " ")):
        for line in block.splitlines():
            for part in line.strip().removeprefix("$ ").split("|"):
                words = part.strip()
                if words.startswith("partstream "):
                    yield words.split(" #")[0]


FOUND = [(page.name, command) for page in PAGES for command in commands(page)]


def test_there_are_commands_to_check() -> None:
    assert len(FOUND) >= 10


def leaves(command: click.Command) -> Iterator[click.Command]:
    """The commands that do something, of a tree of them."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from leaves(child)
    else:
        yield command


@pytest.mark.parametrize(("page", "command"), FOUND)
def test_the_command_parses(
    page: str, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = shlex.split(_REDIRECTION.sub("", command))[1:]
    monkeypatch.chdir(tmp_path)
    for word in words:
        if word.endswith((".txt", ".jsonl")):
            Path(word).touch()
    ran: list[dict[str, Any]] = []
    for leaf in leaves(root):
        monkeypatch.setattr(leaf, "callback", lambda **options: ran.append(options))
    result = CliRunner().invoke(root, words)
    assert result.exit_code == 0, f"{page}: {command}\n{result.output}"
    assert len(ran) == 1
