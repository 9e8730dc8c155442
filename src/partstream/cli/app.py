"""The root command: what all commands share, and what their errors become."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from partstream.cli.settings import Settings
from partstream.errors import PartstreamError

FAILED = 1
INTERRUPTED = 130
"""128 + SIGINT, as a shell reports a program that Ctrl-C has ended."""
BROKEN_PIPE = 141
"""128 + SIGPIPE: whoever read our output has closed it."""
TERMINATED = 143
"""128 + SIGTERM."""


COMMANDS = (
    "cluster", "completion", "consume", "demo", "doctor", "groups", "import-stream", "maintain",
    "produce", "serve", "server", "table", "topics",
)  # fmt: skip
"""Each in the module of its name."""


@contextmanager
def _one_form() -> Iterator[None]:
    """What click would say as `Error: why` is said as every other error: `partstream: why`."""
    try:
        yield
    except click.ClickException as error:
        shows_itself = (click.ClickException.show, click.UsageError.show)
        if type(error).show not in shows_itself:
            raise  # the help page, for want of arguments
        ctx = getattr(error, "ctx", None)
        if ctx is not None:
            click.echo(f"{ctx.get_usage()}\nTry '{ctx.command_path} --help' for help.\n", err=True)
        _say(error.format_message())
        raise click.exceptions.Exit(error.exit_code) from None


def _say(error: object) -> None:
    click.echo(f"partstream: {error}", err=True)


class Root(click.Group):
    """Imports a command when it is asked for, so that `serve` starts without what the others need;
    turns what commands raise into one line on stderr and an exit code.
    """

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """All of them, as help shows them."""
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One, or None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"partstream.cli.{name}"), name)
        return command

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the options in front of the command."""
        with _one_form():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            with _one_form():
                result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python would complain when it flushes what is left at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(BROKEN_PIPE)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except PartstreamError as error:
            if ctx.params.get("debug"):
                raise
            _say(error)
            ctx.exit(FAILED)
        return result


@click.group(
    "partstream",
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 143 terminated; "
    "of doctor, 3 there are warnings, 4 there are errors.",
)
@click.option("--url", metavar="URL", help="Where Redis is (default: PARTSTREAM_URL).")
@click.option("--namespace", metavar="NAME", help="The prefix of all keys (default: ps).")
@click.option("--debug", is_flag=True, help="Log what happens, and show tracebacks.")
@click.version_option(version("partstream"), prog_name="partstream")
@click.pass_context
def root(ctx: click.Context, url: str | None, namespace: str | None, debug: bool) -> None:
    """Partitioned topics and consumer groups, as Kafka has them, on Redis or Valkey."""
    ctx.obj = Settings(url, namespace)
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(name)s: %(message)s")
        logging.getLogger("asyncio").setLevel(logging.INFO)


def main() -> None:
    """Run `partstream` with the arguments of this process."""
    # An exception, so that producers flush and consumers leave their groups.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    root(prog_name="partstream")
