"""Moving slots between primaries, step by step and at once."""

from __future__ import annotations

import pytest

from partstream.embedded.cluster import EmbeddedCluster
from partstream.embedded.reshard import SlotMove, keys_in_slot, move_slots, slot_of
from partstream.embedded.resp import CommandRefused

pytestmark = [pytest.mark.every_server, pytest.mark.faults]


def test_a_slot_moves_with_its_keys(fresh_cluster: EmbeddedCluster) -> None:
    slot = slot_of(fresh_cluster.nodes[0], "{here}")
    source = fresh_cluster.owner_of(slot)
    target = next(node for node in fresh_cluster.primaries() if node is not source)
    for number in range(250):
        source.command("SET", f"{{here}}{number}", number)

    move = SlotMove(fresh_cluster, slot, target)
    move.begin()
    with pytest.raises(CommandRefused, match=r"^ASK"):
        source.command("GET", "{here}absent")
    assert move.move_keys(limit=120) == 120
    assert (keys_in_slot(source, slot), keys_in_slot(target, slot)) == (130, 120)
    assert move.move_keys() == 130
    move.finish()
    fresh_cluster.wait_settled()

    assert fresh_cluster.owner_of(slot) is target
    assert target.command("GET", "{here}249") == b"249"
    with pytest.raises(CommandRefused, match=r"^MOVED"):
        source.command("GET", "{here}249")

    move_slots(fresh_cluster, [slot, slot], source)
    assert fresh_cluster.owner_of(slot) is source
    assert keys_in_slot(source, slot) == 250
