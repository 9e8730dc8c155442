"""ApiVersions (18), versions 0-4: which APIs there are, and at which versions (KIP-35, KIP-511)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import INVALID_REQUEST, NONE

_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?")


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
    }
