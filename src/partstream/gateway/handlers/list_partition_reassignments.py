"""ListPartitionReassignments (46), version 0: there are none, ever (KIP-455).

Where the copies of a partition are is a matter of Redis's own replicas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from partstream.gateway.broker import Broker, Call
from partstream.gateway.codec import Struct
from partstream.gateway.faults import NONE


async def handle(broker: Broker, call: Call, request: Struct) -> Mapping[str, Any]:
    """No partition is on its way."""
    return {"error_code": NONE, "topics": []}
