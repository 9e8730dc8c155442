"""The command line, `partstream`: one module per group of commands."""

from partstream.cli.app import main

__all__ = ["main"]
