"""The blocking producer."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

from partstream.client.context import Context
from partstream.client.delivery import Delivery
from partstream.client.losses import LogLoss
from partstream.client.producer import Producer as AsyncProducer
from partstream.client.route import header_list
from partstream.config.producer import ProducerConfig
from partstream.errors import ClosedClient
from partstream.sync.portal import Portal


class Producer(Context):
    """Sends records to topics, in batches, each key in order. Any number of threads may share it.

    It connects when it is made. Use it in a `with` statement, or call `close()`: records that were
    accepted are only safe once they are flushed. One that is dropped, or left open when the
    interpreter ends, warns of what it did not deliver.
    """

    def __init__(self, url: str | None = None, **config: Any) -> None:
        """Connect.

        Args:
            url: where Redis is; left out, PARTSTREAM_URL, or redis://localhost:6379.
            config: see `ProducerConfig`.

        Raises:
            ConfigError: a key or value is not valid.
            StoreUnavailable, StoreAuthenticationFailed, StoreTooOld, NewerLayout: as they say.
        """
        self._producer = AsyncProducer(url, **config)
        self._portal = Portal.under(
            self,
            "partstream producer",
            self._producer.start,
            at_end=partial(self._producer.close, 0),
        )
        self._routes = self._producer.routes

    @property
    def config(self) -> ProducerConfig:
        """The configs that are in force."""
        return self._producer.config

    @property
    def losses(self) -> list[LogLoss]:
        """Acknowledged records that Redis lost, as far as this producer has noticed."""
        return self._producer.losses

    def send(
        self,
        topic: str,
        value: Any = None,
        *,
        key: Any = None,
        headers: Iterable[tuple[str, bytes | None]] | None = None,
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Delivery:
        """Put a record on its way, and return a handle on its delivery once it is in the buffer.

        Waits only for a topic that was not used before, and while the buffer is full. Arguments
        and errors are those of `partstream.aio.Producer.send`.
        """
        if headers is not None and type(headers) is not list:
            headers = header_list(headers)
        try:
            route = self._routes.get(topic)
        except TypeError:  # not even hashable; the asyncio client says so
            route = None
        if route is not None:
            delivery = route.append(value, key, headers, partition, timestamp_ms)
            if delivery is not None:
                return delivery
        return self._portal.call(
            self._producer.send(
                topic,
                value,
                key=key,
                headers=headers,
                partition=partition,
                timestamp_ms=timestamp_ms,
            )
        )

    def flush(self, timeout: float | None = None) -> None:
        """Send everything that was accepted so far, and wait until each record's fate is known.

        Raises:
            ClientTimeout: something is still on its way after `timeout` seconds.
        """
        self._portal.call(self._producer.flush(timeout))

    def partitions_for(self, topic: str) -> int:
        """How many partitions a topic has; it is created if that is allowed."""
        return self._portal.call(self._producer.partitions_for(topic))

    def close(self, timeout: float | None = None) -> None:
        """Deliver what was accepted, then disconnect.

        Args:
            timeout: seconds for the delivery; what is left then fails with ClosedClient. None
                waits until delivery_timeout_ms has decided on everything.
        """
        if self._portal.running:
            with suppress(ClosedClient):  # another thread was faster
                self._portal.call(self._producer.close(timeout))
            self._portal.close()
