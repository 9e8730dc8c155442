"""The access rules that the operations page gives for each role: tests run under exactly these."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def rule(user: str) -> list[str]:
    """The words of `ACL SETUSER <user> ...` on the page, which breaks it into lines."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^ACL SETUSER {user} [^`]*", text, re.MULTILINE)
    assert found is not None, f"the page has no rule for {user}"
    return found[0].split()
