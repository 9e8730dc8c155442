"""Values of topic configs as Kafka reads them from text: numbers, truth, lists."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from partstream.config.common import INT32_MAX, INT64_MAX


def _whole(text: object) -> object:
    """Kafka's parser takes no fractions and no underscores, unlike pydantic's."""
    if not isinstance(text, str) or not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError("expected a whole number")
    return int(text)


def _truth(text: object) -> object:
    """Kafka's parser takes these two words alone, in whatever case."""
    word = str(text).lower()
    if word not in {"true", "false"}:
        raise ValueError("expected 'true' or 'false'")
    return word == "true"


def _ratio(text: object) -> object:
    try:
        return float(str(text))
    except ValueError:
        raise ValueError("expected a number") from None


def items(text: str) -> list[str]:
    """What a list holds, without blanks and empty places."""
    return [item for item in map(str.strip, text.split(",")) if item]


def written(value: object) -> str:
    """A value as Kafka writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


Whole = Annotated[int, BeforeValidator(_whole)]
Int32 = Annotated[Whole, Field(le=INT32_MAX)]
Int64 = Annotated[Whole, Field(le=INT64_MAX)]
Bool = Annotated[bool, BeforeValidator(_truth)]
Ratio = Annotated[float, BeforeValidator(_ratio), Field(ge=0, le=1, allow_inf_nan=False)]
