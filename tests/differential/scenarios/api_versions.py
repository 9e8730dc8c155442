"""ApiVersions (18)."""

from __future__ import annotations

import struct

from tests.differential.scenario import scenario
from tests.differential.session import Session, frame

API = 18


@scenario(API, 3)
async def what_is_served(s: Session) -> None:
    answer = await s.call(
        API, s.version, client_software_name="test-client", client_software_version="1.0"
    )
    # Ranges are compared with Kafka's own elsewhere (`test_table`).
    del answer["api_keys"]
    if answer.get("finalized_features_epoch", 0) > 0:
        answer["finalized_features_epoch"] = "EPOCH"
    s.keep(answer)


@scenario(API, only=range(3, 5))
async def names_of_clients(s: Session) -> None:
    for name, version in (("", "1"), ("a", ""), ("-a", "1"), ("a b", "1"), ("a.b-c", "1.0-rc1")):
        answer = await s.call(
            API, s.version, client_software_name=name, client_software_version=version
        )
        s.keep([answer["error_code"], bool(answer["api_keys"])])


@scenario(API, only=range(4, 5))
async def a_version_that_is_too_new(s: Session) -> None:
    for version in (5, 100, 32_767):
        body = struct.pack(">hhih", API, version, 7, 1) + b"c\0\2a\2b\0"
        await s.raw(struct.pack(">i", len(body)) + body, read_as=0)


@scenario(API, only=range(4, 5))
async def requests_that_end_the_connection(s: Session) -> None:
    await s.raw(frame(API, s.version, b"\x7f"))
    for key, version in ((3, 14), (3, -1), (99, 0), (-1, 0), (0, 14), (4, 0), (1, 3)):
        body = struct.pack(">hhih", key, version, 7, 1) + b"c\0\0"
        await s.raw(struct.pack(">i", len(body)) + body)
    await s.raw(struct.pack(">i", 3) + b"\0\0\0")
    await s.raw(struct.pack(">i", -1))
