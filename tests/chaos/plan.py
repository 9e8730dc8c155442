"""From a seed to a plan: which servers, which clients, and what happens to them when.

Drawn without looking at anything: the same seed gives the same plan on any machine. What comes of
it is the machine's timing.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from tests.chaos.faults import (
    ACCESS_FAULTS,
    ACCESSES,
    CLIENT_FAULTS,
    GATEWAY_FAULTS,
    GROUP_FAULTS,
    SERVER_FAULTS,
    SLOW_FAULTS,
    TOPOLOGIES,
    Access,
    Topology,
)
from tests.chaos.judge import Promise
from tests.chaos.names import CLASSIC, GROUP

_LONG_S = 25.0
"""Runs of so many seconds have time for the slow faults, too."""
_GATEWAYS = 2


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault."""

    name: str
    gap: float
    """Seconds after the one before it was healed."""
    seconds: float
    """How long it lasts, where it can last."""
    pick: int
    """Chooses the victim: a number to take modulo the candidates."""


@dataclass(frozen=True, slots=True)
class Client:
    """One client, and its configs by their names."""

    role: Literal["producer", "member", "reader", "kafka producer", "kafka member"]
    """Those of Kafka are librdkafka's, and come through a gateway. Their members are of the group
    that the library's are in (KIP-848), or of a classic one of their own."""
    config: dict[str, Any]
    manner: dict[str, Any]
    """How its user behaves."""
    other: dict[str, Any] | None = None
    """Of a member that is switched to the other protocol of groups, and back: its configs then."""

    def switched(self) -> Client:
        """The same member with the other protocol."""
        assert self.other is not None
        return replace(self, config=self.other, other=self.config)

    @property
    def group(self) -> str | None:
        """The group that it is a member of, if it is one's."""
        if not self.role.endswith("member"):
            return None
        return str(self.config.get("group_id") or self.config.get("group.id", GROUP))


@dataclass(frozen=True, slots=True)
class Plan:
    """A run."""

    seed: int
    topology: Topology
    server: int
    """Chooses the server's version: a number to take modulo those that there are."""
    access: Access
    gateways: int
    """How many gateways there are; with any, the last worker is one of Kafka clients."""
    partitions: int
    min_insync_replicas: int
    fsync: str
    """appendfsync of the servers."""
    seconds: float
    """How long faults go on."""
    workers: tuple[tuple[Client, ...], ...]
    server_blows: tuple[Blow, ...]
    client_blows: tuple[Blow, ...]
    group_blows: tuple[Blow, ...]
    """Each switches a member of Kafka's from one protocol of groups to the other."""

    @property
    def promise(self) -> Promise:
        """What must hold of it."""
        return _promise(self.topology)

    @property
    def groups(self) -> tuple[str, ...]:
        """Of those who read and commit."""
        return (GROUP, CLASSIC) if self.gateways else (GROUP,)

    def group_of(self, blow: Blow) -> str:
        """The group that a blow chooses."""
        return self.groups[blow.pick // 2 % len(self.groups)]

    def as_dict(self) -> dict[str, Any]:
        """For whoever replays it."""
        return asdict(self)


def draw(
    seed: int,
    *,
    seconds: float,
    topology: Topology | None = None,
    access: Access | None = None,
    gateways: int | None = None,
    switching: bool | None = None,
    workers: int = 2,
) -> Plan:
    """The plan of a seed.

    Args:
        seconds: how long faults go on; runs take about 20 s more.
        topology, access, gateways, switching: in place of what the seed would give.
        workers: how many processes the clients of the library live in.
    """
    rng = random.Random(seed)
    drawn = rng.choice(TOPOLOGIES)
    kind = topology or drawn
    replicated = kind not in ("standalone", "torn")
    loose = kind == "cluster-loose"
    promise = _promise(kind)
    server = rng.randrange(1 << 16)
    drawn_access = rng.choice(ACCESSES[kind])
    drawn_gateways = rng.choice((0, _GATEWAYS))
    entry = access or drawn_access
    # Kafka clients are not told of what Redis takes back, so they are not judged by it either.
    doors = 0 if promise.may_lose else drawn_gateways if gateways is None else gateways
    faults = SERVER_FAULTS[kind] + ACCESS_FAULTS[entry]
    if seconds >= _LONG_S:
        faults += SLOW_FAULTS.get(kind, ())
    acks: int | str = 1 if loose and rng.random() < 0.5 else "all"
    crew = [_clients(rng, acks, worker) for worker in range(workers)]
    # What came later is drawn from chances of its own, so that old seeds are what they were.
    of_groups = random.Random(f"switch {seed}")
    drawn_switching = of_groups.random() < 0.5
    switches = bool(doors) and (drawn_switching if switching is None else switching)
    if doors:
        classic = _classic_members(random.Random(f"classic {seed}"))
        of_kafka = (*_kafka_clients(rng), *classic)
        if switches:
            of_kafka = tuple(_with_another_protocol(of_groups, client) for client in of_kafka)
        crew.append(of_kafka)
    return Plan(
        seed=seed,
        topology=kind,
        server=server,
        access=entry,
        gateways=doors,
        partitions=rng.choice([3, 4, 6]),
        min_insync_replicas=2 if replicated and not loose else 1,
        fsync=_fsync(rng, kind, alone=not replicated),
        seconds=seconds,
        workers=tuple(crew),
        server_blows=_blows(rng, faults, seconds, 0.3, 2.5),
        client_blows=_blows(
            rng, CLIENT_FAULTS + (GATEWAY_FAULTS if doors else ()), seconds, 2.0, 8.0
        ),
        group_blows=_blows(of_groups, GROUP_FAULTS, seconds, 1.0, 4.0) if switches else (),
    )


def _fsync(rng: random.Random, topology: Topology, *, alone: bool) -> str:
    if topology == "torn":
        return "everysec"
    # Where the disk is slow, a server that syncs each second is ahead of its file: it must not be
    # the only one that has what it acknowledged.
    return "always" if rng.random() < 0.7 or alone else "everysec"


def _promise(topology: Topology) -> Promise:
    # Groups have no acks: what they commit is confirmed by replicas wherever there are any.
    return Promise(
        may_lose=topology in ("torn", "cluster-loose"), may_lose_commits=topology == "torn"
    )


def _clients(rng: random.Random, acks: int | str, worker: int) -> tuple[Client, ...]:
    producers = [_producer(rng, acks) for _ in range(rng.choice([1, 1, 2]))]
    members = [_member(rng, f"{worker}-{n}") for n in range(rng.choice([1, 2]))]
    return (*producers, *members, _reader(rng))


def _producer(rng: random.Random, acks: int | str) -> Client:
    return Client(
        "producer",
        {
            "acks": acks,
            "linger_ms": rng.choice([0, 1, 5, 20]),
            "batch_size": rng.choice([200, 500, 2_000, 65_536]),
            "max_in_flight_requests_per_connection": rng.choice([1, 5, 5]),
            "compression_type": rng.choice(["none", "none", "lz4"]),
            "request_timeout_ms": rng.choice([2_000, 5_000]),
            # Some give up within a failover: what comes after must not suffer from it.
            "delivery_timeout_ms": rng.choice([5_100, 20_000, 60_000]),
            "buffer_memory": rng.choice([100_000, 1_000_000]),
            "max_block_ms": 20_000,
            "retry_backoff_ms": rng.choice([5, 50]),
            "retry_backoff_max_ms": rng.choice([200, 1_000]),
        },
        {
            "keys": rng.choice([2, 5, 20]),
            "burst": rng.choice([1, 5, 30]),
            "pause": rng.choice([0.02, 0.05, 0.1]),
            "size": rng.choice([0, 30, 300]),
        },
    )


def _member(rng: random.Random, instance: str) -> Client:
    static = rng.random() < 0.25
    # Who follows a static member waits for two sessions of its own, and after a restart of the
    # server its predecessor has the longest one of the group.
    session = 8_000 if static else rng.choice([2_000, 4_000, 8_000])
    return Client(
        "member",
        {
            "group_id": "g",
            # Whoever follows it after a fault comes back as the same instance.
            "group_instance_id": instance if static else None,
            "session_timeout_ms": session,
            "heartbeat_interval_ms": session // 4,
            "auto_offset_reset": "earliest",
            "enable_auto_commit": rng.random() < 0.4,
            "auto_commit_interval_ms": 300,
            "max_poll_records": rng.choice([5, 50, 500]),
            "request_timeout_ms": 5_000,
            "max_partition_fetch_bytes": rng.choice([2_000, 100_000, 1_048_576]),
        },
        {
            "work": rng.choice([0.0, 0.005, 0.05]),
            "commit_every": rng.choice([1, 3, 10]),
            "asynchronous": rng.random() < 0.3,
        },
    )


def _reader(rng: random.Random) -> Client:
    return Client(
        "reader",
        {
            "auto_offset_reset": rng.choice(["none", "earliest"]),
            "max_poll_records": rng.choice([20, 500]),
            "request_timeout_ms": 5_000,
        },
        {"seek": rng.choice([0.0, 0.02, 0.05]), "work": rng.choice([0.02, 0.1])},
    )


def _kafka_clients(rng: random.Random) -> tuple[Client, ...]:
    """What librdkafka is configured with, by its own names."""
    producers = [
        Client(
            "kafka producer",
            {
                "linger.ms": rng.choice([0, 5, 20]),
                "batch.size": rng.choice([500, 2_000, 65_536]),
                "max.in.flight.requests.per.connection": rng.choice([1, 5]),
                "compression.type": rng.choice(["none", "none", "lz4"]),
                "request.timeout.ms": rng.choice([2_000, 5_000]),
                "delivery.timeout.ms": rng.choice([8_000, 60_000]),
            },
            {
                "keys": rng.choice([2, 5, 20]),
                "burst": rng.choice([1, 5, 30]),
                "pause": rng.choice([0.02, 0.05, 0.1]),
                "size": rng.choice([0, 30, 300]),
            },
        )
        for _ in range(rng.choice([1, 2]))
    ]
    members = [
        Client(
            "kafka member",
            {"fetch.wait.max.ms": rng.choice([50, 500]), "max.partition.fetch.bytes": 100_000},
            {"work": rng.choice([0.0, 0.005, 0.05]), "commit_every": rng.choice([1, 3, 10])},
        )
        for _ in range(rng.choice([1, 2]))
    ]
    return (*producers, *members)


_CLASSIC_SESSIONS = {
    "session.timeout.ms": 6_000,
    "heartbeat.interval.ms": 1_000,
    "max.poll.interval.ms": 30_000,
}


def _classic_members(rng: random.Random) -> tuple[Client, ...]:
    """One way for all of them to share out partitions, or they could not be in one group."""
    config = {
        "group.id": CLASSIC,
        "group.protocol": "classic",
        "partition.assignment.strategy": rng.choice(
            ["range", "roundrobin", "cooperative-sticky", "cooperative-sticky"]
        ),
        **_CLASSIC_SESSIONS,
    }
    return tuple(
        Client(
            "kafka member",
            {
                **config,
                **({"group.instance.id": f"classic-{number}"} if rng.random() < 0.25 else {}),
                "fetch.wait.max.ms": rng.choice([50, 500]),
            },
            {"work": rng.choice([0.0, 0.005, 0.05]), "commit_every": rng.choice([1, 3, 10])},
        )
        for number in range(rng.choice([2, 3]))
    )


def _with_another_protocol(rng: random.Random, client: Client) -> Client:
    """A member that can be switched; other clients as they are.

    With KIP-848 none is static: librdkafka gives up for good if its predecessor is not gone yet.
    """
    if client.role != "kafka member":
        return client
    config = {
        name: value
        for name, value in client.config.items()
        if name in ("group.id", "fetch.wait.max.ms", "max.partition.fetch.bytes")
    }
    if client.group == CLASSIC:
        return replace(client, other={**config, "group.protocol": "consumer"})
    strategy = rng.choice(["range", "cooperative-sticky"])
    classic = {"group.protocol": "classic", "partition.assignment.strategy": strategy}
    return replace(client, other={**config, **classic, **_CLASSIC_SESSIONS})


def _blows(
    rng: random.Random, names: tuple[str, ...], seconds: float, least: float, most: float
) -> tuple[Blow, ...]:
    """More than will fit: a blow takes as long as it takes."""
    count = max(1, int(seconds / least))
    return tuple(
        Blow(
            rng.choice(names),
            gap=rng.uniform(least, most),
            seconds=rng.choice([0.1, 0.5, 1.0, 2.5]),
            pick=rng.randrange(1 << 16),
        )
        for _ in range(count)
    )
