"""Completion for shells."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SETUP = """\
Print what makes a shell complete `partstream` commands.

\b
bash:  partstream completion bash >> ~/.bashrc
zsh:   partstream completion zsh >> ~/.zshrc
fish:  partstream completion fish > ~/.config/fish/completions/partstream.fish
"""


@click.command(help=_SETUP, short_help="Make a shell complete these commands.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script of one shell."""
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "partstream", "_PARTSTREAM_COMPLETE").source())
