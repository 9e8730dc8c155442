"""maintain, server, completion, and what all commands share."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from partstream.cli.app import root
from partstream.embedded import resp
from tests.cli.conftest import COMMAND, Cli


def test_maintain(cli: Cli) -> None:
    cli.run("topics", "create", "orders", "-c", "retention.ms=1000")
    cli.run("produce", "orders", "--timestamp", "2020-01-01", stdin="a\n")
    assert cli.json("maintain")["segments"] == 1
    assert cli.json("topics", "list")[0]["records"] == 0
    assert "segments" in cli.out("maintain")


def test_options_may_stand_before_or_behind(cli: Cli) -> None:
    cli.run("topics", "create", "orders")
    words = ["topics", "list", "--url", cli.url, "--namespace", cli.namespace]
    result = CliRunner().invoke(root, ["--url", "redis://127.0.0.1:1", *words])
    assert "orders" in result.stdout


def test_url_from_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTSTREAM_URL", cli.url)
    result = CliRunner().invoke(root, ["--namespace", cli.namespace, "topics", "list", "--json"])
    assert result.stdout == "[]\n"


@pytest.mark.parametrize(
    ("url", "text"),
    [("redis://127.0.0.1:1", "127.0.0.1:1"), ("http://127.0.0.1", "redis://")],
)
def test_a_url_that_leads_nowhere(url: str, text: str) -> None:
    result = CliRunner().invoke(root, ["--url", url, "topics", "list"])
    assert result.exit_code == 1
    assert text in result.stderr
    assert result.stderr.startswith("partstream: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "usage", "why"),
    [
        (("--bogus",), "partstream [OPTIONS]", "No such option"),
        (("nope",), "partstream [OPTIONS]", "No such command 'nope'"),
        (("topics", "create"), "partstream topics create", "Missing argument 'NAME'"),
        (("produce", "t", "--json", "-K:"), "partstream produce", "--json does not go with"),
        (("completion", "nosh"), "partstream completion", "Invalid value"),
    ],
)
def test_wrong_usage_is_said_in_the_same_form(words: tuple[str, ...], usage: str, why: str) -> None:
    result = CliRunner().invoke(root, words)
    assert (result.exit_code, result.stdout) == (2, "")
    said = result.stderr.splitlines()
    assert said[0].startswith(f"Usage: {usage}")
    assert said[1].endswith("--help' for help.")
    assert said[2:-1] == [""]
    assert said[-1].startswith(f"partstream: {why}")


@pytest.mark.parametrize("words", [(), ("topics",)])
def test_without_arguments_there_is_help(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(root, words)
    assert result.output.startswith("Usage: partstream")
    assert "Commands:" in result.output
    assert "partstream:" not in result.output


def test_debug_shows_the_traceback() -> None:
    run = subprocess.run(
        [*COMMAND, "--debug", "--url", "redis://127.0.0.1:1", "topics", "list"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert run.returncode == 1
    assert "Traceback" in run.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    text = CliRunner().invoke(root, ["completion", shell]).stdout
    assert "_PARTSTREAM_COMPLETE" in text


def test_completion_completes() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "from partstream.cli import main; main()"],
        env={"COMP_WORDS": "partstream top", "COMP_CWORD": "1",
             "_PARTSTREAM_COMPLETE": "bash_complete", "PATH": ""},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert run.stdout == "plain,topics\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_is_valid_bash() -> None:
    script = CliRunner().invoke(root, ["completion", "bash"]).stdout
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=30)


def commands(group: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    children = getattr(group, "commands", {})
    return [path, *(row for name in children for row in commands(children[name], (*path, name)))]


@pytest.mark.parametrize("words", commands(root), ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(root, [*words, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")
    # Click cuts what is too long for a line of a list off.
    assert not re.search(r"[a-z,.]\.\.\.$", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("ends_with", [signal.SIGTERM, signal.SIGINT])
def test_server(tmp_path: Path, ends_with: signal.Signals) -> None:
    words = [*COMMAND, "server", "--data", str(tmp_path / "data")]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = next(filter(None, (re.search(r"URL=(\S+)", line) for line in process.stdout)))
        url = found[1]
        result = CliRunner().invoke(root, ["--url", url, "topics", "create", "orders"])
        assert result.exit_code == 0, result.output
        process.send_signal(ends_with)
        out, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
        assert out.endswith("Stopped.\n")
    host, port = url.removeprefix("redis://").split(":")
    with pytest.raises(OSError, match="refused"):
        resp.call((host, int(port)), "PING")
    assert (tmp_path / "data").is_dir()


def test_server_on_a_port_that_is_taken(cli: Cli) -> None:
    port = cli.url.rsplit(":", 1)[1]
    result = CliRunner().invoke(root, ["server", "--port", port])
    assert result.exit_code == 1
    assert port in result.stderr


def test_version() -> None:
    assert re.search(r"\d+\.\d+", CliRunner().invoke(root, ["--version"]).stdout)
