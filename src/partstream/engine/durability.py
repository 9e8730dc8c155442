"""Whether the servers can do what a topic's configs promise of its durability."""

from __future__ import annotations

from partstream.config.topic import TopicConfig
from partstream.errors import InvalidConfig
from partstream.store.store import Store


async def check_flush(store: Store, config: TopicConfig) -> None:
    """Refuse `flush.messages=1` where a server cannot wait for its append-only file (WAITAOF).

    What a server does not tell (INFO refused by an ACL) is taken to be in order.

    Raises:
        InvalidConfig: a primary has no append-only file, or no WAITAOF (before Redis 7.2).
    """
    if config.flush_messages != 1:
        return
    known = await store.each_primary("COMMAND", "INFO", "WAITAOF")
    persistence = await store.each_primary("INFO", "persistence")
    for address, answer in known.items():
        if isinstance(answer, list) and (not answer or answer[0] is None):
            raise InvalidConfig(
                "Invalid value '1' for configuration flush.messages: Redis at "
                f"{address} has no WAITAOF; it takes Redis 7.2 or Valkey"
            )
        info = persistence[address]
        if isinstance(info, bytes) and b"aof_enabled:0" in info:
            raise InvalidConfig(
                "Invalid value '1' for configuration flush.messages: Redis at "
                f"{address} keeps no append-only file (appendonly no)"
            )
