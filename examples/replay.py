"""Services that do not know one another, and one that reads what happened before it existed.

The shop publishes orders and knows nobody. Billing reads them. Months later there is a report,
which begins at the first order. When billing turns out to have had a bug, it goes back and reads
everything once more, while the report does not notice.

    python examples/replay.py [URL]
"""

from __future__ import annotations

import json
import sys
import uuid

import partstream

ORDERS = [
    {"order": 1, "customer": "ada", "cents": 1_250},
    {"order": 2, "customer": "bob", "cents": 300},
    {"order": 3, "customer": "ada", "cents": 4_999},
    {"order": 4, "customer": "cyn", "cents": 75},
]


def take_orders(url: str, topic: str) -> None:
    """The shop."""
    with partstream.Producer(
        url, value_serializer=lambda order: json.dumps(order).encode()
    ) as producer:
        for order in ORDERS:
            producer.send(topic, order, key=str(order["customer"]).encode())


def read_all(url: str, topic: str, group: str) -> dict[str, int]:
    """What a service has read when it has seen every order there is: cents by customer."""
    totals: dict[str, int] = {}
    read = 0
    with partstream.Consumer(
        url,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        value_deserializer=json.loads,
    ) as consumer:
        consumer.subscribe([topic])
        while read < len(ORDERS):
            for record in consumer.poll(timeout=5.0):
                customer, cents = record.value["customer"], record.value["cents"]
                totals[customer] = totals.get(customer, 0) + cents
                read += 1
        consumer.commit()
    return totals


def main(url: str) -> None:
    topic = f"orders-{uuid.uuid4().hex[:6]}"
    billing, report = f"billing-{topic}", f"report-{topic}"
    with partstream.Admin(url) as admin:
        admin.create_topic(topic, partitions=3)
        take_orders(url, topic)
        first = read_all(url, topic, billing)
        print("billing:", first)
        print("the new report:", read_all(url, topic, report))
        admin.reset_offsets(billing, to="earliest", topics=[topic])
        again = read_all(url, topic, billing)
        print("billing, once more:", again)
        assert again == first == {"ada": 6_249, "bob": 300, "cyn": 75}


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded:")
