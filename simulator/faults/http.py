"""The port of an exchange with faults: cut connections, late answers, silent and refused streams."""

from __future__ import annotations

import asyncio

from aiohttp import WSMessage, web

from core.clock import Clock
from simulator.faults.rest import FaultyRest
from simulator.faults.streams import FaultySession, StreamFaults
from simulator.server.http import JSON_TYPE, Connection, HttpServer, stream_target
from simulator.server.limits import ConnectionRules
from simulator.server.session import Session
from simulator.server.stream_names import Category
from simulator.server.streams import StreamHub
from simulator.server.wire import RawRequest

WITHOUT_CLOSING_FRAME = 1006


class FaultyHttpServer(HttpServer):
    """Serves what `rest` and `streams` leave of the exchange."""

    def __init__(
        self, rest: FaultyRest, streams: StreamFaults, hub: StreamHub, clock: Clock, rules: ConnectionRules
    ) -> None:
        super().__init__(rest.respond, hub, clock, rules)
        self._rest = rest
        self._streams = streams

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        target = stream_target(request.path)
        if target is not None and self._streams.is_refused(target[0]):
            return web.Response(status=503, text="Service Unavailable.")
        return await super()._serve(request)

    async def _answer(self, request: web.Request, raw: RawRequest) -> web.StreamResponse:
        answer = self._rest.handle(raw)
        if answer.delay_ms:
            await asyncio.sleep(answer.delay_ms / 1000)
        found = answer.response
        if found is None:
            _cut(request)
            return web.Response(status=503)
        headers = dict(found.headers)
        kind = headers.pop("Content-Type", JSON_TYPE)
        return web.Response(status=found.status, body=found.body, headers=headers, content_type=kind)

    def _open_session(self, category: Category, *, is_combined: bool, events: frozenset[str] | None) -> Session:
        return self._streams.open(category, is_combined=is_combined, events=events)

    def _connection(self, socket: web.WebSocketResponse, session: Session, request: web.Request) -> Connection:
        assert isinstance(session, FaultySession)
        connection = FaultyConnection(socket, session, self._hub, self._clock, self._rules)
        connection.belongs_to(session, request, self._streams)
        return connection


class FaultyConnection(Connection):
    _faulty: FaultySession
    _request: web.Request
    _streams: StreamFaults

    def belongs_to(self, session: FaultySession, request: web.Request, streams: StreamFaults) -> None:
        """Say whose faults this connection has; comes before `run`."""
        self._faulty, self._request, self._streams = session, request, streams

    async def run(self, names: list[str]) -> None:
        try:
            await super().run(names)
        finally:
            self._streams.forget(self._faulty)

    async def _take(self, message: WSMessage) -> bool:
        return True if self._faulty.is_half_open else await super()._take(message)

    async def _beat(self, opened_ms: int) -> bool:
        return True if self._faulty.is_half_open else await super()._beat(opened_ms)

    async def _close(self, reason: str) -> None:
        code = self._faulty.close_code
        if code == WITHOUT_CLOSING_FRAME:
            _cut(self._request)
        elif code is None:
            await super()._close(reason)
        else:
            await self._socket.close(code=code, message=reason.encode())


def _cut(request: web.Request) -> None:
    """End the connection at once, without a word."""
    if request.transport is not None:
        request.transport.abort()
