"""Event sourcing: an account is the sum of its events, and can be rebuilt at any time.

python examples/event_sourcing.py [URL]
"""

from __future__ import annotations

import json
import sys
import uuid
from collections import defaultdict

import partstream

EVENTS = [
    ("ada", "opened", 0),
    ("ada", "deposited", 100),
    ("bob", "opened", 0),
    ("ada", "withdrew", 30),
    ("bob", "deposited", 500),
    ("bob", "withdrew", 501),
    ("ada", "deposited", 5),
]


class Accounts:
    """Balances, as far as the events have been read."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = defaultdict(int)
        self.refused = 0

    def apply(self, account: str, event: str, amount: int) -> None:
        """Events of one account come in their order, whatever else comes in between."""
        if event == "deposited":
            self.balances[account] += amount
        elif event == "withdrew" and self.balances[account] < amount:
            self.refused += 1
        elif event == "withdrew":
            self.balances[account] -= amount
        else:
            self.balances[account] = 0


def rebuild(url: str, topic: str) -> Accounts:
    """Read the log from its beginning to its end: no group, nothing committed."""
    accounts = Accounts()
    with partstream.Consumer(url) as consumer:
        partitions = [partstream.TopicPartition(topic, number) for number in range(4)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for record in consumer.poll(timeout=1.0):
                change = json.loads(record.value)
                accounts.apply(record.key.decode(), change["event"], change["amount"])
    return accounts


def main(url: str) -> None:
    topic = f"accounts-{uuid.uuid4().hex[:6]}"
    with partstream.Admin(url) as admin:
        # Events are the truth: they are kept for ever.
        admin.create_topic(topic, partitions=4, config={"retention.ms": -1, "retention.bytes": -1})
    with partstream.Producer(url) as producer:
        for account, event, amount in EVENTS:
            change = json.dumps({"event": event, "amount": amount}).encode()
            producer.send(topic, change, key=account.encode())
    accounts = rebuild(url, topic)
    print("balances:", dict(accounts.balances), "- withdrawals refused:", accounts.refused)
    assert accounts.balances == {"ada": 75, "bob": 500}
    assert accounts.refused == 1
    assert rebuild(url, topic).balances == accounts.balances


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "embedded:")
