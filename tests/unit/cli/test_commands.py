"""The root command: its commands are imported when they are asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click

from partstream.cli import app


def test_every_module_with_a_command_is_listed() -> None:
    context = click.Context(app.root)
    found = {name: app.root.get_command(context, name) for name in app.COMMANDS}
    assert {name: command.name for name, command in found.items() if command} == {
        name: name for name in app.COMMANDS
    }
    folder = Path(app.__file__).parent
    decorated = {
        path.stem.replace("_", "-")
        for path in folder.glob("*.py")
        if re.search(r"^@click\.(command|group)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert decorated - {"app"} == set(app.COMMANDS)


def test_the_gateway_starts_without_the_clients() -> None:
    code = (
        "import sys\n"
        "from partstream.cli import app, serve\n"
        "from partstream.gateway import process, workers\n"
        "print([name for name in sys.modules if name.startswith(('partstream.client', "
        "'partstream.sync', 'partstream.demo', 'rich'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
