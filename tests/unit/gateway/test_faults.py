"""What clients hear of errors that are none of Kafka's."""

from __future__ import annotations

import pytest

from partstream.errors import (
    ClosedClient,
    OutcomeUnknown,
    PartstreamError,
    StoreOutOfMemory,
    StorePermissionDenied,
    StoreUnavailable,
    UnknownTopicOrPartition,
)
from partstream.gateway.faults import code_of, group_code_of


@pytest.mark.parametrize(
    ("error", "code", "group_code"),
    [
        (UnknownTopicOrPartition("t"), 3, 3),
        (StoreUnavailable("gone"), 56, 15),
        (StoreOutOfMemory("full"), 56, 15),
        (ClosedClient("it ends"), 56, 15),
        (OutcomeUnknown("who knows"), 7, 15),
    ],
)
def test_what_redis_does_is_to_be_tried_again(
    error: PartstreamError, code: int, group_code: int
) -> None:
    assert code_of(error) == code
    assert group_code_of(error) == group_code


def test_what_says_nothing_to_the_client_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert code_of(StorePermissionDenied("NOPERM: no permission for incr")) == -1
    assert "NOPERM: no permission for incr" in caplog.text
