"""Consumer groups (KIP-848): heartbeats, assignments, offsets, and what an admin asks of groups.

The rules are in `partstream.groups`, the state is in Redis; here one is applied to the other.
"""

from partstream.engine.groups.consumer_groups import ConsumerGroups
from partstream.engine.groups.coordinator import Heartbeat

__all__ = ["ConsumerGroups", "Heartbeat"]
