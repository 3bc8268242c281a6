"""A scripted peer for contract tests: real sockets, whatever answer a test wants to see handled.

It is no exchange: it keeps no orders. It records what arrives and answers what it was told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from exchange.binance.settings import VenueSettings

Answer = web.StreamResponse | dict[str, Any] | list[Any]
Handler = Callable[[web.Request], Awaitable[Answer]]

API_KEY = "CANARYKEY"
API_SECRET = "CANARYSECRET"


@dataclass
class Hit:
    """One REST request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    raw_query: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Socket:
    """One stream connection: its path, its peer, what was asked of it."""

    path: str
    ws: web.WebSocketResponse
    headers: dict[str, str]
    subscribed: list[str] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)

    async def push(self, stream: str, data: Any) -> None:
        await self.ws.send_str(json.dumps({"stream": stream, "data": data}))


class VenueDouble:
    """Set `answers[(method, path)]` to a handler or a payload; `on_subscribe` decides over subscriptions."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Handler | Answer] = {}
        self.hits: list[Hit] = []
        self.sockets: list[Socket] = []
        self.opened = 0
        self.live_at_subscription: list[int] = []
        self.accept_sockets = True
        self.reply_to_frames = True
        self.refuse_streams: set[str] = set()
        self.server_time_ms: Callable[[], int] | None = None
        self.url = ""
        self._changed = asyncio.Condition()

    @property
    def settings(self) -> VenueSettings:
        return VenueSettings(self.url, self.url.replace("http", "ws"), API_KEY, API_SECRET, ws_max_backoff_s=0.2)

    def to(self, method: str, path: str) -> list[Hit]:
        return [hit for hit in self.hits if (hit.method, hit.path) == (method, path)]

    async def socket(self, path: str, number: int = 0) -> Socket:
        """Wait for the `number`-th live connection on a path that has subscribed."""

        def found() -> list[Socket]:
            return [socket for socket in self.sockets if socket.path == path and socket.subscribed]

        async with self._changed, asyncio.timeout(10):
            await self._changed.wait_for(lambda: len(found()) > number)
        return found()[number]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._stream(request)
        body = await request.read()
        self.hits.append(
            Hit(
                request.method,
                request.path,
                dict(request.query),
                request.rel_url.raw_query_string,
                dict(request.headers),
                body,
            )
        )
        answer = self.answers.get((request.method, request.path))
        if callable(answer):
            answer = await answer(request)
        if isinstance(answer, web.StreamResponse):
            return answer
        if answer is None:
            return web.json_response({"code": -5000, "msg": "Path is invalid"}, status=404)
        return web.json_response(answer)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if not self.accept_sockets:
            return web.Response(status=503)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        socket = Socket(request.path, ws, dict(request.headers))
        self.opened += 1
        self.sockets.append(socket)
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    await self._frame(socket, json.loads(message.data))
        finally:
            self.sockets.remove(socket)
            await self._notify()
        return ws

    async def _frame(self, socket: Socket, frame: dict[str, Any]) -> None:
        socket.frames.append(frame)
        if not self.reply_to_frames:
            return
        if frame["method"] == "SUBSCRIBE":
            refused = self.refuse_streams & set(frame["params"])
            if refused:
                await socket.ws.send_json({"error": {"code": 2, "msg": "Invalid request"}, "id": frame["id"]})
                return
            socket.subscribed += frame["params"]
            live = [other for other in self.sockets if other.path == socket.path and other.subscribed]
            self.live_at_subscription.append(len(live))
            await socket.ws.send_json({"result": None, "id": frame["id"]})
        elif frame["method"] == "LIST_SUBSCRIPTIONS":
            await socket.ws.send_json({"result": socket.subscribed, "id": frame["id"]})
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@contextlib.asynccontextmanager
async def venue_double() -> AsyncIterator[VenueDouble]:
    double = VenueDouble()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", double.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    double.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield double
    finally:
        for socket in list(double.sockets):
            await socket.ws.close()
        await runner.cleanup()


async def until(condition: Callable[[], object], *, within_s: float = 10.0) -> None:
    """Wait for something that happens on another task or thread; fails the test when it does not."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.005)


def raw(status: int, body: str, content_type: str = "application/json", **headers: str) -> Handler:
    """A handler that always answers with these bytes."""

    async def answer(_: web.Request) -> web.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=body, content_type=content_type, headers=names)

    return answer


def error(status: int, code: int, msg: str, **headers: str) -> Handler:
    return raw(status, json.dumps({"code": code, "msg": msg}), **headers)
