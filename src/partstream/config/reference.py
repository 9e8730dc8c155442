"""Writes the configuration reference of the documentation from the config models.

`python -m partstream.config.reference docs/configuration.md` writes it; a test holds that the file
is up to date. What a field means is said once, in the docstring under it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import SecretStr

from partstream.config.admin import AdminConfig
from partstream.config.common import INT32_MAX, INT64_MAX, AutoCreateConfig, CommonConfig
from partstream.config.consumer import ConsumerConfig
from partstream.config.producer import ProducerConfig
from partstream.config.topic import TopicConfig
from partstream.config.topic_without_effect import WithoutEffect

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_INTRO = """# Configuration

Clients take their configs as keywords: `partstream.Producer(url, acks="all", linger_ms=5)`. The
names are Kafka's, with `_` for `.`; the defaults are Kafka's where nothing else is said; times are
in milliseconds, sizes in bytes. A key that is unknown, or a value that is out of bounds, raises
`ConfigError`, which names the key, the value and what was expected, and for an unknown key the
nearest known one.

Topics take their configs by Kafka's dotted names: `admin.create_topic("orders", partitions=12,
config={"retention.ms": 86_400_000})`. What is refused raises `InvalidConfig`.

This page is generated from the models in `partstream.config`.
"""

_SECTIONS: tuple[tuple[str, str, type[BaseModel], type[BaseModel] | None], ...] = (
    (
        "All clients",
        "The producer, the consumer and the admin client take these.",
        CommonConfig,
        None,
    ),
    (
        "Creation of topics on first use",
        "The producer and the consumer take these.",
        AutoCreateConfig,
        CommonConfig,
    ),
    ("Producer", "", ProducerConfig, AutoCreateConfig),
    ("Consumer", "", ConsumerConfig, AutoCreateConfig),
    ("Admin", "", AdminConfig, CommonConfig),
    ("Topics", "", TopicConfig, WithoutEffect),
    (
        "Topic configs without effect",
        "Applications set these on Kafka. They are checked as there, kept and shown, and change "
        "nothing.",
        WithoutEffect,
        None,
    ),
)

_CALLED: dict[Any, str] = {NoneType: "`None`", SecretStr: "`str`"}
_NAMED = {INT32_MAX: "2^31 - 1", INT64_MAX: "2^63 - 1"}
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_TIMES = ((86_400_000, "days"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"))


def render() -> str:
    """The whole page, as Markdown."""
    parts = [_INTRO]
    for title, intro, model, base in _SECTIONS:
        inherited = base.model_fields if base is not None else {}
        parts.append(f"\n## {title}\n" + (f"\n{intro}\n" if intro else ""))
        parts.extend(
            entry(name, field)
            for name, field in model.model_fields.items()
            if name not in inherited
        )
    return "".join(parts)


def entry(name: str, field: FieldInfo) -> str:
    facts = [_type(field.annotation), f"default {_default(name.replace('.', '_'), field)}"]
    bounds = _bounds(field)
    if bounds:
        facts.append(bounds)
    text = "\n".join(line.strip() for line in (field.description or "").splitlines())
    return f"\n### `{field.alias or name}`\n\n*{'; '.join(facts)}*\n\n{text.strip()}\n"


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _type(get_args(annotation)[0])
    if origin is Literal:
        return "one of " + ", ".join(f"`{_literal(value)}`" for value in get_args(annotation))
    if origin in {Union, UnionType}:
        return " or ".join(_type(option) for option in get_args(annotation))
    if origin is tuple:
        return "a list"
    if annotation in _CALLED:
        return _CALLED[annotation]
    return f"`{annotation.__name__}`" if isinstance(annotation, type) else "a callable"


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _default(name: str, field: FieldInfo) -> str:
    value = field.default
    if not isinstance(value, int) or isinstance(value, bool):
        return f"`{_literal(value)}`"
    text = f"`{value}`"
    if value in _NAMED:
        return f"{text} ({_NAMED[value]})"
    scale = _UNITS if not name.endswith("_ms") else _TIMES
    for size, unit in scale:
        if value >= size and value % size == 0:
            many = value // size
            return f"{text} ({many} {'day' if many == 1 and unit == 'days' else unit})"
    return text


def _bounds(field: FieldInfo) -> str:
    low = next((item.ge for item in field.metadata if isinstance(item, Ge)), None)
    high = next((item.le for item in field.metadata if isinstance(item, Le)), None)
    if low is None or high is None:
        return ""
    top = high if isinstance(high, int) else INT64_MAX
    return f"from {low} to {_NAMED.get(top, top)}"


def main(arguments: list[str]) -> int:
    """Write the page to the path given, or to standard output."""
    if arguments:
        Path(arguments[0]).write_text(render(), encoding="utf-8")
    else:
        sys.stdout.write(render())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
