"""Reads files of `name=value` lines, as Kafka's server.properties. No I/O here."""

from __future__ import annotations

from partstream.errors import ConfigError


def parse_properties(text: str, where: str) -> dict[str, str]:
    """The names and values of a file, each name with `_` for `.`.

    A line that begins with `#` or `!` is a comment, one that ends in a backslash goes on in the
    next, and `:` or a space does for `=`, as in Java.

    Args:
        text: what the file says.
        where: its name, for what is raised.

    Raises:
        ConfigError: a line has no value, or a name is there twice.
    """
    found: dict[str, str] = {}
    for number, line in _lines(text):
        ends = [at for at in map(line.find, "=: \t") if at >= 0]
        if not ends:
            raise ConfigError(f"{where}, line {number}: {line!r}: expected NAME=VALUE")
        name, value = line[: min(ends)], line[min(ends) :].lstrip(" \t")
        if value[:1] in ("=", ":"):
            value = value[1:].lstrip(" \t")
        name = name.replace(".", "_")
        if name in found:
            raise ConfigError(f"{where}, line {number}: {name!r}: expected once, it is there twice")
        found[name] = value.rstrip()
    return found


def _lines(text: str) -> list[tuple[int, str]]:
    """Lines that say something, with their numbers; those that go on are put together."""
    found: list[tuple[int, str]] = []
    begun: tuple[int, str] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.lstrip()
        if begun is None and (not line or line[0] in "#!"):
            continue
        first, so_far = begun or (number, "")
        goes_on = line.endswith("\\") and not line.endswith("\\\\")
        so_far += line[:-1] if goes_on else line
        begun = (first, so_far) if goes_on else None
        if begun is None:
            found.append((first, so_far))
    if begun is not None:
        found.append(begun)
    return found
