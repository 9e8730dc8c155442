"""Writes the page of the documentation that says which APIs are served, from the table.

`python -m partstream.gateway.compatibility docs/gateway/compatibility.md` writes it; a test holds
that the file is up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from partstream.gateway.absent import ABSENT
from partstream.gateway.table import TABLE, Api

_INTRO = """# Compatibility

The gateway serves these APIs of the Kafka protocol, at these versions: those of Apache Kafka 4.3.
Clients ask for them when they connect (ApiVersions), and use what both sides know. A request for
anything else ends the connection, as it does with Kafka.

| key | API | versions | what it does |
|---|---|---|---|
"""

_ABSENT = """
## What is not served

A client that asks for one of these all the same is disconnected, as it is by a Kafka that does not
know an API. Clients see in the answer to ApiVersions that it is not there, and say so.

| key | API | why not |
|---|---|---|
"""

_REST = """
## Where it differs from Kafka

[Differences from Kafka](differences.md) lists which requests are answered otherwise; every other
answer is compared with Kafka's own. Besides, a leader is advice: any gateway serves any partition
and any group, so NOT_LEADER_OR_FOLLOWER is never answered, nor is NOT_COORDINATOR but by a gateway
that ends.

- What is set for a group (`consumer.session.timeout.ms`, ...) was within the bounds of the gateway
  that took it, and holds as it is at one with other bounds. Kafka's brokers bring it within theirs.
- Who reads through a backlog is read ahead for: what DeleteRecords, or retention, took away less
  than a second ago may still be handed out. Kafka hands out none of it.
- An empty group takes the type of whoever comes, and keeps its offsets. One that has members
  changes its type as in Kafka ([Clients](clients.md#from-classic-groups-to-kip-848)).
"""


def _row(api: Api) -> str:
    handle = api.handle or api.raw
    module = sys.modules[handle.__module__] if handle is not None else None
    title = ((module.__doc__ or "") if module is not None else "").split("\n\n")[0]
    _, _, what = " ".join(title.split()).partition(": ")
    versions = f"{api.advertised}-{api.most}" if api.most > api.advertised else f"{api.most}"
    if api.advertised < api.least:
        versions += f" (served from {api.least} on)"
    return f"| {api.key} | {api.name} | {versions} | {what} |\n"


def page() -> str:
    """The whole page."""
    missing = "".join(f"| {key} | {name} | {why} |\n" for key, (name, why) in ABSENT.items())
    return f"{_INTRO}{''.join(map(_row, TABLE))}{_ABSENT}{missing}{_REST}"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
