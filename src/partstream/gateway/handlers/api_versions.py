"""ApiVersions (18), versions 0-4: which APIs there are, and at which versions (KIP-35, KIP-511).

Of Kafka's features (KIP-584) only that is told which clients find here: consumer groups of KIP-848.
Transactions, share groups and streams groups have theirs as soon as they are served; there is no
log of metadata whose version could be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import INVALID_REQUEST, NONE

_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?")


_FEATURES = {"group.version": (0, 1)}
"""The least and the greatest level; the greatest is in effect."""
_EPOCH = 1
"""Grows when features in effect change, which they do by a new gateway only."""
_ZERO_LEVELS = 4
"""Before this version no client can read a least level of 0 (KAFKA-17011)."""


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """The table of APIs."""
    if call.version >= 3 and not (
        _SOFTWARE.fullmatch(request.client_software_name)
        and _SOFTWARE.fullmatch(request.client_software_version)
    ):
        return {"error_code": INVALID_REQUEST}
    return {
        "error_code": NONE,
        "api_keys": [
            {"api_key": api.key, "min_version": api.advertised, "max_version": api.most}
            for api in broker.apis.values()
        ],
        "supported_features": [
            {"name": name, "min_version": least, "max_version": most}
            for name, (least, most) in _FEATURES.items()
            if least or call.version >= _ZERO_LEVELS
        ],
        "finalized_features_epoch": _EPOCH,
        "finalized_features": [
            {"name": name, "max_version_level": most, "min_version_level": most}
            for name, (_, most) in _FEATURES.items()
        ],
    }
