"""Lua scripts by name: `Script("log/append")` is `lua/log/append.lua`.

A line `--@include includes/<name>.lua` stands for the text of that file. Scripts are loaded into a
server when a link to it opens, and called by their SHA-1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha1
from importlib.resources import files

_LUA = files("partstream.store") / "lua"
_INCLUDE = re.compile(r"^--@include (\S+)$", re.MULTILINE)


def _text(path: str) -> str:
    return _LUA.joinpath(*path.split("/")).read_text(encoding="utf-8")


@cache
def _source(name: str) -> str:
    return _INCLUDE.sub(lambda match: _text(match.group(1)), _text(name + ".lua"))


@dataclass(frozen=True, slots=True)
class Script:
    """One script: its name, its source with the includes in place, and its SHA-1."""

    name: str
    source: str = field(init=False, repr=False, compare=False)
    sha: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        source = _source(self.name)
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "sha", sha1(source.encode()).hexdigest())


@cache
def every_script() -> tuple[Script, ...]:
    """All scripts there are, includes left out."""
    return tuple(
        Script(f"{folder.name}/{file.name.removesuffix('.lua')}")
        for folder in sorted(_LUA.iterdir(), key=lambda entry: entry.name)
        if folder.is_dir() and folder.name != "includes"
        for file in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if file.name.endswith(".lua")
    )
