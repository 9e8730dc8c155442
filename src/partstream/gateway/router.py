"""From a frame to the handler of its API, and from what that says to the bytes of an answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from struct import Struct as Packer
from struct import error as PackError  # noqa: N812 (it is no class of ours)
from typing import NamedTuple

from partstream.errors import PartstreamError
from partstream.gateway import codec
from partstream.gateway.broker import Broker, Call
from partstream.gateway.connection import Answer, Connection, Parts, Refused
from partstream.gateway.faults import UNSUPPORTED_VERSION, code_of
from partstream.gateway.meter import codes_in
from partstream.gateway.primitives import Input, Malformed, uvarint
from partstream.gateway.table import BY_KEY, Api

_logger = logging.getLogger(__name__)

API_VERSIONS = 18

_HEADER = Packer(">hhih")
_INT32 = Packer(">i")


class Header(NamedTuple):
    """What stands before the body of a request."""

    api_key: int
    version: int
    correlation_id: int
    client_id: str | None
    at: int
    """Where the fixed part ends; tagged fields follow in the flexible versions."""


def read_header(data: bytes) -> Header:
    """The header of a request, up to its tagged fields.

    Raises:
        Malformed: it is none.
    """
    try:
        api_key, version, correlation_id, length = _HEADER.unpack_from(data)
    except PackError:
        raise Malformed(f"a request of {len(data)} bytes has no header") from None
    if length < 0:
        return Header(api_key, version, correlation_id, None, _HEADER.size)
    end = Input(data).need(_HEADER.size, length)
    client_id = data[_HEADER.size : end].decode(errors="replace")
    return Header(api_key, version, correlation_id, client_id, end)


def skip_tags(data: bytes, at: int) -> int:
    """Where a header's tagged fields end; none is known.

    Raises:
        Malformed: they run past the frame.
    """
    source = Input(data)
    count, at = uvarint(source, at)
    for _ in range(count):
        _, at = uvarint(source, at)
        size, at = uvarint(source, at)
        at = source.need(at, size)
    return at


class Router:
    """Serves the frames of all connections."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def serve(self, connection: Connection, data: bytes) -> Answer:
        """The answer to a frame.

        Raises:
            Refused: the client cannot be answered, and is to be disconnected, as Kafka does it.
        """
        try:
            header = read_header(data)
            api = BY_KEY.get(header.api_key)
            if api is None or not api.least <= header.version <= api.most:
                return self._unsupported(header)
            at = skip_tags(data, header.at) if header.version >= api.flexible else header.at
            return await self._answer(connection, api, header, data, at)
        except Malformed as error:
            raise Refused(f"malformed request: {error}") from None

    async def _answer(
        self, connection: Connection, api: Api, header: Header, data: bytes, at: int
    ) -> Answer:
        call = Call(connection, api.key, header.version, header.client_id or "")
        prefix = _INT32.pack(header.correlation_id)
        if header.version >= api.flexible and api.key != API_VERSIONS:
            prefix += b"\0"
        served = partial(self._served, api, call, len(data), time.perf_counter())
        if api.raw is not None:
            return _prefixed(prefix, await api.raw(self._broker, call, data, at), served)
        request = codec.request(api.name, header.version).decode(data, at)
        response = codec.response(api.name, header.version)
        if api.handle is None:
            raise Refused(f"{api.name} has no handler")
        try:
            values = await api.handle(self._broker, call, request)
        except PartstreamError as error:
            if "error_code" not in response.fields:
                raise Refused(f"{api.name} v{header.version}: {error}") from error
            known = {"error_code": code_of(error), "error_message": str(error)}
            values = {name: known[name] for name in known if name in response.fields}
        parts: Parts = [prefix, response.encode(values)]
        call.errors.extend(codes_in(values))
        served(parts)
        return parts

    def _served(self, api: Api, call: Call, asked: int, begun: float, parts: Parts | None) -> None:
        """Count a request that has its answer, or that gets none."""
        seconds = time.perf_counter() - begun
        size = sum(map(len, parts)) if parts is not None else 0
        self._broker.meter.served(api.key, seconds, asked, size, call.errors)
        if _logger.isEnabledFor(logging.DEBUG):
            _logger.debug(
                "%s %s: %s v%d, %d bytes, answered with %d after %.1f ms%s",
                call.connection.label,
                call.client_id,
                api.name,
                call.version,
                asked,
                size,
                seconds * 1000,
                f", errors {sorted(set(call.errors))}" if call.errors else "",
            )

    def _unsupported(self, header: Header) -> Parts:
        """ApiVersions tells a newer client what it may use; any other request ends it."""
        if header.api_key != API_VERSIONS:
            raise Refused(f"API {header.api_key} v{header.version} is not served")
        api = BY_KEY[API_VERSIONS]
        response = codec.response(api.name, 0)
        answer = response.encode(
            {
                "error_code": UNSUPPORTED_VERSION,
                "api_keys": [
                    {"api_key": api.key, "min_version": api.advertised, "max_version": api.most}
                ],
            }
        )
        return [_INT32.pack(header.correlation_id), answer]


def _prefixed(prefix: bytes, answer: Answer, served: Callable[[Parts | None], None]) -> Answer:
    """An answer behind its header, whether it is there or still to come."""
    if answer is None:
        served(None)
        return None
    if isinstance(answer, list):
        parts = [prefix, *answer]
        served(parts)
        return parts

    async def later() -> Parts | None:
        parts = await answer
        if parts is not None:
            parts = [prefix, *parts]
        served(parts)
        return parts

    return later()
