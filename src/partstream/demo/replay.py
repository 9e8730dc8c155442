"""The process that replays the flights: `python -m partstream.demo.replay`. All are sent in order.

It reads the file, sends each flight under its aircraft, and ends when all are acknowledged.
"""

from __future__ import annotations

import argparse
import time

from partstream import Producer
from partstream.demo.flights import read_flights


def main() -> None:
    """Replay the file at a steady rate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--rate", type=float, required=True, help="flights a second")
    arguments = parser.parse_args()
    deliveries = []
    with Producer(
        arguments.url,
        namespace=arguments.namespace,
        client_id="replay",
        allow_auto_create_topics=False,
    ) as producer:
        started = time.monotonic()
        for sent, flight in enumerate(read_flights()):
            wait = started + sent / arguments.rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            deliveries.append(producer.send(arguments.topic, flight.value, key=flight.key))
        for delivery in deliveries:
            delivery.result()


if __name__ == "__main__":
    main()
