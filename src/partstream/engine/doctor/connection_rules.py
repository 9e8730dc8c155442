"""What of a server's set-up breaks connections, or cannot tell the time: one rule each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from partstream.engine.doctor.facts import NodeFacts
from partstream.engine.doctor.server_rules import Rule
from partstream.model import Finding, Severity

_MIB = 1024 * 1024
_MOST_SKEW_MS = 30_000
_LEAST_PUBSUB = 1 * _MIB
"""A message of a doorbell takes some hundred bytes; one node may ring ten thousand at a time."""
_LEAST_NORMAL = 128 * _MIB
"""Answers to fetches: `fetch_max_bytes` of one client are 50 MiB."""


def idle(node: NodeFacts) -> Iterator[Finding]:
    """Idle connections are wanted."""
    if node.config.get("timeout", "0") != "0":
        yield Finding(
            "timeout",
            Severity.WARNING,
            node.address,
            f"timeout is {node.config['timeout']}: idle connections are closed",
            "Readers that wait for news connect again and again.",
            "CONFIG SET timeout 0",
        )


def clock(node: NodeFacts) -> Iterator[Finding]:
    """Clocks that agree with this machine's."""
    if abs(node.clock_ahead_ms) > _MOST_SKEW_MS:
        side = "ahead of" if node.clock_ahead_ms > 0 else "behind"
        yield Finding(
            "clock",
            Severity.WARNING,
            node.address,
            f"the server's clock is {abs(node.clock_ahead_ms) // 1000} s {side} this machine's",
            "Records carry the producer's time: look-ups by time and retention by age are off by "
            "that much, and records too far ahead of the server are refused.",
            "Let NTP set both clocks",
        )


class _Limit(NamedTuple):
    """One class of client-output-buffer-limit; 0 is no limit."""

    hard: int
    soft: int
    soft_seconds: int


def output_buffers(node: NodeFacts) -> Iterator[Finding]:
    """Limits on answers that were not read yet: beyond them the server hangs up."""
    limits = _limits(node.config.get("client-output-buffer-limit", ""))
    bells, answers = limits.get("pubsub"), limits.get("normal")
    if bells is not None and _tight(bells, _LEAST_PUBSUB):
        yield Finding(
            "output-buffer-pubsub",
            Severity.WARNING,
            node.address,
            f"client-output-buffer-limit pubsub is {_text(bells)}",
            "Where many doorbells ring at once the server cuts the connection that hears them, and "
            "readers wake late.",
            "CONFIG SET client-output-buffer-limit 'pubsub 33554432 8388608 60'",
        )
    if bells is not None and not bells.hard and not bells.soft:
        yield Finding(
            "output-buffer-pubsub",
            Severity.INFO,
            node.address,
            "client-output-buffer-limit pubsub has no limit",
            "A subscriber that reads nothing (a frozen process) takes memory until appends are "
            "refused; maxmemory-clients may stop it.",
            "CONFIG SET client-output-buffer-limit 'pubsub 33554432 8388608 60'",
        )
    if answers is not None and _tight(answers, _LEAST_NORMAL):
        yield Finding(
            "output-buffer-normal",
            Severity.WARNING,
            node.address,
            f"client-output-buffer-limit normal is {_text(answers)}",
            "A consumer asks for up to fetch_max_bytes (50 MiB) at a time: the server cuts its "
            "connection, again and again.",
            "CONFIG SET client-output-buffer-limit 'normal 0 0 0', with maxmemory-clients 5%",
        )


def _tight(limit: _Limit, least: int) -> bool:
    return 0 < limit.hard < least or 0 < limit.soft < least


def _limits(text: str) -> dict[str, _Limit]:
    """`normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60`."""
    words = text.split()
    return {
        words[at]: _Limit(*map(int, words[at + 1 : at + 4])) for at in range(0, len(words) - 3, 4)
    }


def _text(limit: _Limit) -> str:
    return f"{limit.hard} bytes, or {limit.soft} for {limit.soft_seconds} s"


RULES: tuple[Rule, ...] = (idle, clock, output_buffers)
