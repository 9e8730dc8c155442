"""Publish and subscribe: every group sees every record, each at its own pace.

python examples/publish_subscribe.py [URL]
"""

from __future__ import annotations

import sys
import uuid

import partstream

PRICES = {"AAPL": (190, 191, 189), "MSFT": (410, 412, 415), "NVDA": (870, 880, 905)}


def publish(url: str, topic: str) -> None:
    """Publish the prices, keyed by symbol: each symbol's prices keep their order."""
    with partstream.Producer(url) as producer:
        for number in range(3):
            for symbol, prices in PRICES.items():
                producer.send(topic, str(prices[number]).encode(), key=symbol.encode())


def subscribe(url: str, topic: str, group: str) -> list[tuple[str, int]]:
    """Everything that was published, as one group sees it."""
    seen: list[tuple[str, int]] = []
    with partstream.Consumer(url, group_id=group, auto_offset_reset="earliest") as consumer:
        consumer.subscribe([topic])
        while len(seen) < sum(map(len, PRICES.values())):
            for record in consumer.poll(timeout=5.0):
                seen.append((record.key.decode(), int(record.value)))
    return seen


def main(url: str) -> None:
    topic = f"prices-{uuid.uuid4().hex[:6]}"
    with partstream.Admin(url) as admin:
        admin.create_topic(topic, partitions=3)
    publish(url, topic)
    for group in ("alerts", "dashboard"):
        seen = subscribe(url, topic, f"{group}-{topic}")
        for symbol, prices in PRICES.items():
            assert [price for name, price in seen if name == symbol] == list(prices)
        print(f"{group} saw all {len(seen)} prices, each symbol's in order")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded:")
