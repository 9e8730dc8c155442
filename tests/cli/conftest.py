"""Commands, run against the shared server in a namespace of the test's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner, Result

from partstream.cli.app import root

COMMAND = (sys.executable, "-c", "from partstream.cli import main; main()")


@dataclass(frozen=True, slots=True)
class Cli:
    """`partstream` with its URL and namespace set."""

    url: str
    namespace: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that runs it."""
        return {**os.environ, "PARTSTREAM_URL": self.url, "PYTHONUNBUFFERED": "1"}

    def run(self, *words: str, stdin: str | bytes | None = None, code: int = 0) -> Result:
        """Run a command in this process, and check its exit code."""
        arguments = ["--url", self.url, "--namespace", self.namespace, *words]
        result = CliRunner().invoke(root, arguments, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def out(self, *words: str, stdin: str | bytes | None = None) -> str:
        """What a command that succeeds prints on stdout."""
        return self.run(*words, stdin=stdin).stdout

    def json(self, *words: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self.out(*words, "--json"))

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command as a process of its own."""
        arguments = [*COMMAND, "--namespace", self.namespace, *words]
        return subprocess.Popen(
            arguments, env=self.environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **options,
        )  # fmt: skip


@pytest.fixture
def cli(redis_url: str, namespace: str) -> Cli:
    """The command line."""
    return Cli(redis_url, namespace)
