"""The configuration page of the documentation says what the models say."""

from __future__ import annotations

from pathlib import Path

import pytest

from partstream.config import (
    ConsumerConfig,
    ProducerConfig,
    TopicConfig,
    gateway_reference,
    reference,
)
from partstream.config.common import CommonConfig
from partstream.config.gateway import GatewayConfig

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.render(), (
        "run: python -m partstream.config.reference docs/configuration.md"
    )


@pytest.mark.parametrize("model", [ProducerConfig, ConsumerConfig, TopicConfig])
def test_every_field_is_explained(model: type[ProducerConfig]) -> None:
    page = reference.render()
    for name, field in model.model_fields.items():
        assert field.description, f"{name} has no docstring"
        assert f"### `{field.alias or name}`" in page


def test_facts_of_an_entry() -> None:
    page = reference.render()
    assert "### `batch_size`\n\n*`int`; default `65536` (64 KiB); from 0 to 2^31 - 1*" in page
    assert "### `retention.ms`\n\n*`int`; default `604800000` (7 days); from -1 to" in page
    assert '### `acks`\n\n*one of `0`, `1`, `"all"`; default `"all"`*' in page


def test_the_page_of_the_gateway_is_up_to_date() -> None:
    page = PAGE.parent / "gateway" / "configuration.md"
    assert page.read_text(encoding="utf-8") == gateway_reference.render(), (
        "run: python -m partstream.config.gateway_reference docs/gateway/configuration.md"
    )


def test_every_field_of_the_gateway_is_explained() -> None:
    page = gateway_reference.render()
    for name in GatewayConfig.model_fields.keys() - CommonConfig.model_fields.keys():
        assert GatewayConfig.model_fields[name].description, f"{name} has no docstring"
        assert f"### `{name.replace('_', '.')}`" in page
