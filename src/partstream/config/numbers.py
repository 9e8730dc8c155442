"""What counts as a number where somebody gives one."""

from __future__ import annotations

from typing import TypeGuard


def is_whole(given: object) -> TypeGuard[int]:
    """Whether it is a whole number. To Python True is one, but who gives it has made a mistake."""
    return isinstance(given, int) and not isinstance(given, bool)
