"""What benchmarks measured, as rows that go into a JSON file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = "Mapping[str, Any]"


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Of a benchmark's own words, `--json FILE` among them."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="where the rows go, too")
    return made


def write(file: Path | None, rows: Sequence[Row]) -> None:
    """Write rows down, if it was asked for."""
    if file is not None:
        file.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def read(file: Path) -> list[Row]:
    """What was written; nothing if the benchmark wrote nothing."""
    rows: list[Row] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return rows
