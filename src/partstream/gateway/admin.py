"""The admin port: `/healthz`, `/readyz` and `/metrics`, by HTTP. Off unless it is asked for.

- `/healthz`: 200 as long as the process does its work. It says nothing of Redis: a restart of the
  gateway would not bring that back.
- `/readyz`: 200 if clients are to be sent here; 503 while it starts or ends, or Redis is silent.
- `/metrics`: for Prometheus.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from partstream.config.gateway import GatewayConfig
from partstream.config.listeners import host_and_port
from partstream.errors import ConfigError
from partstream.gateway.server import Gateway
from partstream.metrics.hooks import Observer

if TYPE_CHECKING:
    from partstream.gateway.metrics import Metrics

_logger = logging.getLogger(__name__)

_PATIENCE_S = 5.0
_MOST_HEADERS = 100
_TEXT = "text/plain; charset=utf-8"
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class Admin:
    """Answers on the admin port of one process."""

    def __init__(self, address: tuple[str, int], metrics: Metrics, content_type: str) -> None:
        self.address = address
        """Where it listens; with port 0 known once it was started."""
        self._metrics = metrics
        self._content_type = content_type
        self._gateway: Gateway | None = None
        self._server: asyncio.Server | None = None
        self._answering: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, config: GatewayConfig, number: int = 0) -> Admin | None:
        """The admin port of a worker, if there is to be one.

        Raises:
            ConfigError: the extra is missing.
        """
        if config.admin_listen is None:
            return None
        try:
            from partstream.gateway.metrics import (  # noqa: PLC0415 (an extra brings it)
                CONTENT_TYPE,
                Metrics,
            )
        except ImportError as error:
            raise ConfigError(
                f"admin_listen={config.admin_listen!r}: it needs the extra "
                f"`pip install 'partstream[metrics]'` ({error})"
            ) from error
        host, port = host_and_port(config.admin_listen)
        return cls((host, port + number if port else 0), Metrics(config.client_id), CONTENT_TYPE)

    @property
    def observer(self) -> Observer:
        """Hears of the connections to Redis."""
        return self._metrics.observer

    async def start(self, gateway: Gateway) -> None:
        """Answer for a gateway, which need not be started yet.

        Raises:
            ConfigError: the address cannot be had.
        """
        self._gateway = gateway
        self._metrics.watch(gateway)
        host, port = self.address
        try:
            self._server = await asyncio.start_server(self._accept, host, port)
        except OSError as error:
            raise ConfigError(f"admin_listen='{host}:{port}': {error}") from error
        self.address = self._server.sockets[0].getsockname()[:2]
        _logger.info("health and metrics on %s:%d", *self.address)

    async def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(
            self._answer(reader, writer), name="admin request"
        )
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                method, path = await _request(reader)
                status, kind, body = self._page(method, path)
                head = (
                    f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                writer.write(head.encode() + (b"" if method == "HEAD" else body))
                await writer.drain()
        except (TimeoutError, ValueError, OSError, asyncio.IncompleteReadError) as error:
            _logger.debug("admin request: %s", error)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _page(self, method: str, path: str) -> tuple[int, str, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, _TEXT, b"expected GET\n"
        if path == "/healthz":
            return 200, _TEXT, b"ok\n"
        if path == "/readyz":
            is_ready = self._gateway is not None and self._gateway.is_ready
            return (200, _TEXT, b"ready\n") if is_ready else (503, _TEXT, b"not ready\n")
        if path == "/metrics":
            return 200, self._content_type, self._metrics.text()
        return 404, _TEXT, b"there are /healthz, /readyz and /metrics\n"


async def _request(reader: asyncio.StreamReader) -> tuple[str, str]:
    """The method and the path of a request, without its query.

    Raises:
        ValueError: it is none.
    """
    words = (await reader.readline()).decode("latin-1").split()
    if len(words) != 3:
        raise ValueError("no HTTP request")
    for _ in range(_MOST_HEADERS):
        if not (await reader.readline()).strip():
            return words[0], words[1].partition("?")[0]
    raise ValueError("too many headers")
