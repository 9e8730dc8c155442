"""DescribeConfigs (32), versions 1-4: configs of topics, of this gateway and of groups (KIP-133,
KIP-569)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from partstream.errors import InvalidRequest, PartstreamError, UnknownTopicOrPartition
from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.configs import (
    BROKER,
    GROUP,
    TOPIC,
    Shown,
    broker_configs,
    find_topic,
    group_configs,
    topic_configs,
)
from partstream.gateway.faults import NONE, code_of


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """The configs of every resource that was asked for."""
    return {"results": [await _resource(broker, request, asked) for asked in request.resources]}


async def _resource(broker: Broker, request: Struct, asked: Struct) -> Mapping[str, Any]:
    row = {"resource_type": asked.resource_type, "resource_name": asked.resource_name}
    try:
        shown = await _shown(broker, asked)
    except UnknownTopicOrPartition as error:
        return {**row, "error_code": error.code, "error_message": ""}
    except PartstreamError as error:
        return {**row, "error_code": code_of(error), "error_message": str(error)}
    # An empty list of keys means all of them, as null does.
    keys = set(asked.configuration_keys or ())
    return {
        **row,
        "error_code": NONE,
        "error_message": "",
        "configs": [_config(request, one) for one in shown if not keys or one.name in keys],
    }


async def _shown(broker: Broker, asked: Struct) -> Iterator[Shown]:
    name = asked.resource_name
    if asked.resource_type == TOPIC:
        return topic_configs(await find_topic(broker, name))
    if asked.resource_type == GROUP:
        if not name:
            raise InvalidRequest("Default group resources are not allowed.")
        return group_configs(broker.config, await broker.groups.configs.get(name))
    if asked.resource_type != BROKER:
        raise InvalidRequest(f"Unsupported resource type: {asked.resource_type}")
    node_id = broker.registry.me.id
    if not name:
        return iter(())  # the defaults of the whole cluster: each gateway has its own
    if name != str(node_id):
        raise InvalidRequest(
            f"Unexpected broker id, expected {node_id} or empty string, but received {name}"
        )
    return broker_configs(broker)


def _config(request: Struct, shown: Shown) -> Mapping[str, Any]:
    synonyms = shown.synonyms if request.include_synonyms else ()
    return {
        "name": shown.name,
        "value": shown.value,
        "read_only": shown.read_only,
        "config_source": shown.source,
        "is_sensitive": shown.sensitive,
        "synonyms": [
            {"name": name, "value": value, "source": source} for name, value, source in synonyms
        ],
        "config_type": shown.kind,
        "documentation": shown.documentation if request.include_documentation else None,
    }
