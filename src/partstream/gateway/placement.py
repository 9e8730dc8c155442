"""Checks assignments of partitions to brokers, as Kafka does. They place nothing: replicas are
Redis's own."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from partstream.errors import InvalidReplicaAssignment


def check_replicas(replicas: Sequence[int], nodes: Collection[int]) -> None:
    """Check the brokers of one partition.

    Raises:
        InvalidReplicaAssignment: there is none, one comes twice, or one is not there.
    """
    if not replicas:
        raise InvalidReplicaAssignment("The manual partition assignment includes an empty list.")
    if min(replicas) < 0:
        raise InvalidReplicaAssignment(
            f"The manual partition assignment includes an invalid broker id: {min(replicas)}"
        )
    if len(set(replicas)) < len(replicas):
        raise InvalidReplicaAssignment(
            f"The manual partition assignment includes a broker twice: {list(replicas)}"
        )
    for node in replicas:
        if node not in nodes:
            raise InvalidReplicaAssignment(
                f"The manual partition assignment includes broker {node}, but no such broker is "
                "registered."
            )


def check_partitions(numbers: Sequence[int]) -> None:
    """Check that partitions are numbered from 0 on, each once.

    Raises:
        InvalidReplicaAssignment: they are not.
    """
    if len(set(numbers)) < len(numbers):
        raise InvalidReplicaAssignment("Found multiple manual partition assignments for one")
    if sorted(numbers) != list(range(len(numbers))):
        raise InvalidReplicaAssignment(
            "partitions should be a consecutive 0-based integer sequence"
        )
