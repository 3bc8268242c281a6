"""The one listening port: REST requests and stream connections, handed to the gateway and the hub.

Stream paths: `/public`, `/market`, `/private` followed by `/ws` (raw frames) or `/stream` (wrapped frames); the
unrouted `/ws` and `/stream` serve public streams only, as on the venue.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import parse_qs, unquote

from aiohttp import WSMessage, WSMsgType, web

from core.clock import Clock
from core.errors import RuntimeFailure
from simulator.server.limits import ConnectionRules
from simulator.server.session import Session
from simulator.server.stream_names import Category
from simulator.server.streams import StreamHub
from simulator.server.wire import RawRequest, RawResponse

JSON_TYPE = "application/json"
MAX_BODY_BYTES = 1 << 20
Responder = Callable[[RawRequest], RawResponse]


class HttpServer:
    """Serves on one port. `respond` answers a REST request synchronously, all its effects included."""

    def __init__(self, respond: Responder, hub: StreamHub, clock: Clock, rules: ConnectionRules) -> None:
        self._respond = respond
        self._hub = hub
        self._clock = clock
        self._rules = rules
        self._sockets: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port (a free one for 0); raises RuntimeFailure when it is in use."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise RuntimeFailure(
                f"the exchange cannot listen on {host}:{port} ({error.strerror or error}): "
                "stop the program that uses the port, or choose another with --port (0 picks a free one)"
            ) from error
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close all connections and the port."""
        for socket in list(self._sockets):
            with suppress(ConnectionError, RuntimeError):
                await socket.close(code=1001, message=b"the exchange is shutting down")
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        target = stream_target(request.path)
        if target is not None and request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_streams(request, *target)
        path, _, query = request.raw_path.partition("?")
        body = await request.text() if request.can_read_body else ""
        caller = request.remote or "127.0.0.1"
        raw = RawRequest(request.method, path, query, body, request.headers.get("X-MBX-APIKEY"), caller)
        return await self._answer(request, raw)

    async def _answer(self, request: web.Request, raw: RawRequest) -> web.StreamResponse:
        answer = self._respond(raw)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers, content_type=JSON_TYPE)

    async def _serve_streams(
        self, request: web.Request, category: Category, is_combined: bool, rest: str
    ) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False, compress=False, timeout=1.0)
        await socket.prepare(request)
        query = parse_qs(request.query_string)
        events = frozenset("/".join(query["events"]).split("/")) if "events" in query else None
        session = self._open_session(category, is_combined=is_combined, events=events)
        names = [*rest.split("/"), *"/".join(query.get("streams", [])).split("/"), *query.get("listenKey", [])]
        self._sockets.add(socket)
        try:
            await self._connection(socket, session, request).run([n for n in names if n])
        finally:
            self._hub.leave_all(session)
            self._sockets.discard(socket)
        return socket

    def _open_session(self, category: Category, *, is_combined: bool, events: frozenset[str] | None) -> Session:
        return Session(category, is_combined=is_combined, events=events)

    def _connection(self, socket: web.WebSocketResponse, session: Session, request: web.Request) -> Connection:
        return Connection(socket, session, self._hub, self._clock, self._rules)


def stream_target(path: str) -> tuple[Category, bool, str] | None:
    """Return (category, combined?, stream names in the path), or None for a path that is no stream path."""
    first, _, rest = path.lstrip("/").partition("/")
    category = Category.PUBLIC
    if first in ("public", "market", "private"):
        category = Category(first)
        first, _, rest = rest.partition("/")
    if first not in ("ws", "stream"):
        return None
    return category, first == "stream", unquote(rest)


class Connection:
    """Pumps one socket: frames out of the session, control frames into it, pings, limits, end of life."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        session: Session,
        hub: StreamHub,
        clock: Clock,
        rules: ConnectionRules,
    ) -> None:
        self._socket = socket
        self._session = session
        self._hub = hub
        self._clock = clock
        self._rules = rules
        self._wake = asyncio.Event()
        self._received: deque[int] = deque(maxlen=rules.messages_per_s)
        self._last_pong_ms = clock.now_ms()
        session.on_frame = self._wake.set

    async def run(self, names: list[str]) -> None:
        """Serve until either side closes."""
        for name in names:
            self._hub.join(self._session, name)
        helpers = [asyncio.create_task(self._write()), asyncio.create_task(self._keep_alive())]
        try:
            async for message in self._socket:
                if not await self._take(message):
                    break
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def _take(self, message: WSMessage) -> bool:
        """Handle one incoming message; False ends the connection."""
        if message.type not in (WSMsgType.TEXT, WSMsgType.PING, WSMsgType.PONG):
            return False
        now_ms = self._clock.now_ms()
        if len(self._received) == self._rules.messages_per_s and now_ms - self._received[0] < 1_000:
            self._session.must_close = "too many messages"
            self._wake.set()
        if self._session.must_close:  # what was already answered is still sent
            return True
        self._received.append(now_ms)
        if message.type is WSMsgType.TEXT:
            self._session.receive(message.data, self._hub)
        elif message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
        else:
            self._last_pong_ms = now_ms
        return True

    async def _write(self) -> None:
        """Send what the session queues, in order, until it must close."""
        outgoing = self._session.outgoing
        with suppress(ConnectionError):
            while True:
                while outgoing:
                    await self._socket.send_frame(outgoing.popleft(), WSMsgType.TEXT)
                if self._session.must_close:
                    await self._close(self._session.must_close)
                    return
                self._wake.clear()
                await self._wake.wait()

    async def _close(self, reason: str) -> None:
        await self._socket.close(code=1008, message=reason.encode())

    async def _keep_alive(self) -> None:
        """Ping at the venue's pace; close without a timely pong, or at the end of the connection's life."""
        opened_ms = self._clock.now_ms()
        with suppress(ConnectionError):
            while True:
                await asyncio.sleep(self._rules.ping_every_s)
                if not await self._beat(opened_ms):
                    return

    async def _beat(self, opened_ms: int) -> bool:
        """Ping, or close a connection whose time is over (False)."""
        rules, now_ms = self._rules, self._clock.now_ms()
        if now_ms - self._last_pong_ms > rules.pong_within_s * 1000:
            await self._socket.close(code=1008, message=b"no pong")
            return False
        if now_ms - opened_ms > rules.life_s * 1000:
            await self._socket.close(code=1001, message=b"24 hours are over")
            return False
        await self._socket.ping(str(now_ms).encode())
        return True
