"""The documentation leaves nothing out: every decision is listed, every example too."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = DOCS.parent / "examples"


def test_every_decision_is_listed() -> None:
    index = (DOCS / "adr" / "index.md").read_text(encoding="utf-8")
    missing = [page.name for page in DOCS.glob("adr/0*.md") if f"({page.name})" not in index]
    assert missing == []


def test_every_example_is_listed() -> None:
    index = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    names = [path.name for path in EXAMPLES.glob("[a-z]*") if path.suffix in {".py", ""}]
    assert names
    assert [name for name in names if f"({name}" not in index] == []


def test_every_folder_of_tests_is_listed_once() -> None:
    text = (DOCS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `tests/")]
    listed = [name for row in rows for name in re.findall(r"`tests/(\w+)/`", row)]
    folders = {path.parent for path in (DOCS.parent / "tests").glob("*/*.py")}
    assert sorted(listed) == sorted(folder.name for folder in folders)


def test_code_in_tables_stays_on_one_line() -> None:
    """A command that is broken into two lines is no longer read, or copied, as one."""
    sheet = "stylesheets/tables.css"
    assert f"  - {sheet}\n" in (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    assert "white-space: nowrap" in (DOCS / sheet).read_text(encoding="utf-8")
