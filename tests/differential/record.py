"""Records what Apache Kafka answers: `python -m tests.differential.record --bootstrap HOST:PORT`.

The broker is an Apache Kafka 4.3 that nobody else uses, a single node with id 1, all settings at
their defaults but these: `offsets.topic.replication.factor=1`,
`transaction.state.log.replication.factor=1`, `transaction.state.log.min.isr=1` and
`group.initial.rebalance.delay.ms=0`. Topics and groups that are made stay there.

Scenarios that need other settings are recorded on a broker that has them, by another run. Those in
which leaders begin another epoch need `--restart COMMAND`, which starts the broker anew on its data
and ends when it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import defaultdict

from tests.differential import recordings
from tests.differential.scenario import RANGES, Scenario
from tests.differential.scenarios import every
from tests.differential.session import Address, Again, Session

SETTINGS = {
    "num.partitions": "1",
    "auto.create.topics.enable": "true",
    "default.replication.factor": "1",
    "group.initial.rebalance.delay.ms": "0",
    "message.max.bytes": "1048588",
    "group.max.size": "2147483647",
    "group.consumer.max.size": "2147483647",
}
_API_VERSIONS, _FIND_COORDINATOR, _DESCRIBE_CONFIGS, _INIT_PRODUCER_ID = 18, 10, 32, 22
_BROKER = 4
NODE = 1
"""The id of the broker."""


async def check(address: Address) -> dict[str, str | None]:
    """Make sure that it is the Kafka that the tests mean, and that its coordinator is there.

    Returns its settings.

    Raises:
        SystemExit: it is another one.
    """
    async with Session(address, _API_VERSIONS, 4) as session:
        answer = await session.call(
            _API_VERSIONS, client_software_name="a", client_software_version="1"
        )
        found = {
            row["api_key"]: (row["min_version"], row["max_version"]) for row in answer["api_keys"]
        }
        if found != RANGES:
            raise SystemExit(f"{address.host}:{address.port} is no Apache Kafka 4.3")
        wanted = {"resource_type": _BROKER, "resource_name": str(NODE), "configuration_keys": None}
        described = await session.call(_DESCRIBE_CONFIGS, resources=[wanted])
        await session.call_until(
            lambda one: one["coordinators"][0]["error_code"] == "NONE",
            _FIND_COORDINATOR,
            key_type=0,
            coordinator_keys=["warm-up"],
        )
        await session.call_until(
            lambda one: one["error_code"] == "NONE",
            _INIT_PRODUCER_ID,
            transactional_id=None,
            transaction_timeout=60_000,
        )
        await session.topic("warm-up")
        return {row["name"]: row["value"] for row in described["results"][0]["configs"]}


def restarting(command: str) -> Again:
    """What makes the broker's leaders begin another epoch."""

    async def restart() -> None:
        process = await asyncio.create_subprocess_shell(command)
        if await process.wait():
            raise SystemExit(f"the broker could not be restarted by: {command}")

    return restart


async def record(address: Address, wanted: str, restart: str = "") -> None:
    """Play the scenarios that the broker is configured for, and keep what was heard.

    Raises:
        SystemExit: it is the wrong one for all of them.
    """
    configs = await check(address)
    groups: dict[str, list[Scenario]] = defaultdict(list)
    for one in every():
        if wanted in one.group:
            groups[one.group].append(one)
    count = 0
    for group, scenarios in groups.items():
        expected = {**SETTINGS, **scenarios[0].settings}
        wrong = {
            name: configs.get(name) for name in expected if configs.get(name) != expected[name]
        }
        if wrong:
            print(f"{group}: not recorded: the broker has {wrong}", file=sys.stderr)
            continue
        if scenarios[0].epochs and not restart:
            print(f"{group}: not recorded: it needs --restart", file=sys.stderr)
            continue
        again = restarting(restart) if scenarios[0].epochs else None
        recording: recordings.Recording = {}
        for one in scenarios:
            for version in one.versions:
                async with Session(address, one.api, version, again) as session:
                    await one.play(session)
                recording.setdefault(one.name, {})[str(version)] = session.heard
        recordings.write(group, recording)
        count += 1
        print(f"{group}: {sum(map(len, recording.values()))} recorded", file=sys.stderr)
    if not count:
        raise SystemExit("nothing was recorded")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--bootstrap", required=True, help="HOST:PORT of the broker")
    parser.add_argument("--restart", default="", help="what starts the broker anew")
    parser.add_argument("--only", default="", help="modules of scenarios with this in their name")
    given = parser.parse_args()
    host, _, port = given.bootstrap.rpartition(":")
    asyncio.run(record(Address(host, int(port)), given.only, given.restart))
