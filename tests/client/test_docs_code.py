"""The Python of the quickstart does what it says, and that of the other pages can be read."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.gateway.gateways import gateway

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])

_BLOCK = re.compile(r"^( *)```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[str]:
    """The Python blocks of a page."""
    return [dedent(code) for _, code in _BLOCK.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_python(page: Path) -> None:
    for code in blocks(page):
        ast.parse(code)


def test_the_quickstart_runs(redis_url: str, namespace: str) -> None:
    admin, producer, consumer, iteration, asynchronous = blocks(ROOT / "docs" / "quickstart.md")
    assert "consumer:" in iteration  # goes on where the block before it ends
    outputs = [
        run(code, redis_url, namespace) for code in (admin, producer, consumer, asynchronous)
    ]
    topic, partition, offset = outputs[1].split()
    assert topic == "orders"
    assert 0 <= int(partition) < 6
    assert int(offset) >= 100  # a tenth of the records before it have its key
    assert len(outputs[2].splitlines()) == 1_001
    assert "RecordMetadata(topic='orders'" in outputs[3]
    assert outputs[3].rstrip().endswith("b'from asyncio'")


def run(code: str, url: str, namespace: str) -> str:
    """Run a block as a program of its own, as a reader would."""
    # In a namespace of the test: the default is the reader's, and may be in use on this server.
    program = re.sub(r"(Admin|Producer|Consumer)\(", rf'\1(namespace="{namespace}", ', code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program.replace("timeout=5.0", "timeout=2.0")],
        env={"PARTSTREAM_URL": url, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_client_of_the_gateway_runs(redis_url: str, namespace: str) -> None:
    (code,) = blocks(ROOT / "docs" / "gateway" / "running.md")
    async with gateway(redis_url, namespace) as running:
        own = code.replace("localhost:9092", f"{running.address[0]}:{running.address[1]}")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", own.replace("range(2)", "range(1)"), stdout=subprocess.PIPE
        )
        printed, _ = await process.communicate()
    assert printed == b"b'from Python'\n"
