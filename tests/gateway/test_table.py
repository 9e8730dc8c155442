"""The table says what Kafka says; the documentation and the messages say what the table says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kio.index import load_request_schema, load_response_schema
from kio.schema.index import api_key_map

from partstream.gateway import compatibility
from partstream.gateway.absent import ABSENT
from partstream.gateway.table import BY_KEY, TABLE, Api
from scripts import messages

KAFKA = Path(__file__).parent / "kafka_4_3_apis.json"
"""What Apache Kafka 4.3 answered to ApiVersions: API -> least and greatest version."""
PAGE = Path(__file__).parents[2] / "docs" / "gateway" / "compatibility.md"


@pytest.mark.parametrize("api", TABLE, ids=lambda api: api.name)
def test_versions_are_those_of_kafka(api: Api) -> None:
    kafka = json.loads(KAFKA.read_text(encoding="utf-8"))
    assert [api.advertised, api.most] == kafka[str(api.key)]


@pytest.mark.parametrize("api", TABLE, ids=lambda api: api.name)
def test_flexible_versions_are_those_of_kafka(api: Api) -> None:
    for version in range(api.least, api.most + 1):
        for load in (load_request_schema, load_response_schema):
            assert load(api.key, version).__flexible__ == (version >= api.flexible)


def test_every_api_stands_once_and_has_one_handler() -> None:
    assert len(BY_KEY) == len(TABLE)
    assert [api.key for api in TABLE] == sorted(BY_KEY)
    assert all((api.handle is None) != (api.raw is None) for api in TABLE)


def test_each_api_of_kafka_is_served_or_has_its_reason() -> None:
    kafka = {int(key) for key in json.loads(KAFKA.read_text(encoding="utf-8"))}
    assert kafka | api_key_map.keys() == BY_KEY.keys() | ABSENT.keys()
    assert not BY_KEY.keys() & ABSENT.keys(), "what is served has no reason not to be"
    names = {key: api.name for key, api in BY_KEY.items()}
    names.update((key, name) for key, (name, _) in ABSENT.items())
    assert {key: name.lower() for key, name in names.items()} == {
        key: name.replace("_", "") for key, name in api_key_map.items()
    }


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == compatibility.page(), (
        "run: python -m partstream.gateway.compatibility docs/gateway/compatibility.md"
    )


def test_the_messages_are_up_to_date() -> None:
    files = {file.name: file.read_text(encoding="utf-8") for file in messages.FOLDER.iterdir()}
    assert files == messages.every_file(), "run: python -m scripts.messages"
