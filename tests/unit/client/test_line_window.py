"""What waits for replicas is confirmed out of order; the log remembers five batches."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

from partstream.errors import NotEnoughReplicasAfterAppend
from tests.unit.client.partition_model import PartitionModel
from tests.unit.client.test_line import Sender


class Replicated(PartitionModel):
    """A primary with a replica that confirms what it is told to, in that order."""

    def __init__(self) -> None:
        super().__init__(random.Random(1), trouble=0.0)
        self.confirms = iter([False, False, True, False, False, True, *[False] * 5])

    def _answer(self, base: int, *, duplicate: bool) -> list[Any]:
        answer = super()._answer(base, duplicate=duplicate)
        answer[4] = 1
        return answer

    def barrier(self, _: Any) -> Any:
        async def confirm(**_: Any) -> None:
            await asyncio.sleep(0)
            if not next(self.confirms, True):
                raise NotEnoughReplicasAfterAppend("cut")

        return SimpleNamespace(confirm=confirm)


async def test_a_confirmed_batch_in_the_middle_counts() -> None:
    """Until what came before it is confirmed, too: that has to be sent again, and recognised."""
    model = Replicated()
    sender = Sender(model, batch_size=0, max_in_flight_requests_per_connection=5)
    sent = [sender.send(b"%d" % number) for number in range(7)]
    await sender.line.finish()
    assert all(delivery.done() for delivery in sent)
    assert list(model.state.values) == [b"%d" % number for number in range(7)]
    await sender.close()
