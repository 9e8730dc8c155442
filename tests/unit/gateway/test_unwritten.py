"""What is said of batches behind one that was not written."""

from __future__ import annotations

import asyncio

from partstream.errors import OutOfOrderSequenceNumber, PartstreamError, StoreUnavailable
from partstream.gateway.unwritten import Unwritten
from tests.gateway.records import batch

GAP = OutOfOrderSequenceNumber("a gap")
GONE = StoreUnavailable("gone")


def numbered(sequence: int, producer_id: int = 7) -> bytes:
    return batch(b"v", producer_id=producer_id, producer_epoch=0, base_sequence=sequence)


async def test_those_behind_wait_for_what_is_said_of_the_first() -> None:
    unwritten = Unwritten()
    first, second = unwritten.enter(), unwritten.enter()

    async def settle_the_first() -> PartstreamError:
        with unwritten.settling(first):
            await asyncio.sleep(0)
            return await unwritten.reason(first, "t", 0, numbered(3), GONE)

    async def settle_the_second() -> PartstreamError:
        with unwritten.settling(second):
            return await unwritten.reason(second, "t", 0, numbered(4), GAP)

    told = await asyncio.gather(settle_the_second(), settle_the_first())
    assert [error is GONE for error in told] == [True, True]


async def test_a_gap_that_nobody_else_caused_is_said() -> None:
    unwritten = Unwritten()

    async def said(error: PartstreamError, records: bytes, *, partition: int = 0) -> object:
        request = unwritten.enter()
        with unwritten.settling(request):
            return await unwritten.reason(request, "t", partition, records, error)

    assert await said(GAP, numbered(4)) is GAP
    assert await said(GONE, numbered(3)) is GONE
    assert await said(GAP, numbered(4), partition=1) is GAP, "another partition"
    assert await said(GAP, numbered(4, producer_id=8)) is GAP, "another producer"
    assert await said(GAP, batch(b"v")) is GAP, "not numbered"
    assert await said(GAP, numbered(4)) is GONE
    assert await said(GAP, numbered(3)) is GAP, "the first one itself: what it misses is older"
    assert await said(GONE, numbered(3)) is GONE
    unwritten.wrote("t", 0, numbered(3))
    assert await said(GAP, numbered(5)) is GAP, "all before it were written"
