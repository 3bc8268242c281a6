"""One stream connection without its socket: what it is subscribed to, its control frames, its outgoing frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import orjson

from simulator.server.stream_names import Category

MAX_STREAMS = 1024
MAX_BACKLOG = 100_000
"""Frames that a slow reader may fall behind by before it is cut off."""

METHODS = "SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY"


class Hub(Protocol):
    """Where sessions enrol for streams."""

    def join(self, session: Session, name: str) -> None: ...
    def leave(self, session: Session, name: str) -> None: ...


class Session:
    """State of one connection. `events` limits a user stream to the named types (None: all).

    `on_frame` is called when a frame waits in `outgoing`; `must_close` says why the socket should be closed.
    """

    __slots__ = ("category", "events", "is_combined", "must_close", "names", "on_frame", "outgoing")

    def __init__(self, category: Category, *, is_combined: bool, events: frozenset[str] | None = None) -> None:
        self.category = category
        self.is_combined = is_combined
        self.events = events
        self.names: dict[str, None] = {}
        self.outgoing: deque[bytes] = deque()
        self.on_frame: Callable[[], None] = lambda: None
        self.must_close: str | None = None

    def push(self, frame: bytes) -> None:
        """Queue a frame for sending."""
        if len(self.outgoing) >= MAX_BACKLOG:
            self.must_close = "the reader is too slow"
        else:
            self.outgoing.append(frame)
        self.on_frame()

    def receive(self, text: str | bytes, hub: Hub) -> None:
        """Answer one control frame."""
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            self._refuse(3, f"Invalid JSON: {error.msg} at line {error.lineno} column {error.colno}")
            self.must_close = "invalid JSON"
            self.on_frame()
            return
        if not isinstance(message, dict) or "method" not in message:
            self._refuse(0, "Unknown property" if isinstance(message, dict) else "Invalid request: must be an object")
            return
        request_id = message.get("id")
        method, params = message["method"], message.get("params", [])
        if method in ("SUBSCRIBE", "UNSUBSCRIBE"):
            self._change_streams(method, params, request_id, hub)
        elif method == "LIST_SUBSCRIPTIONS":
            self._reply(list(self.names), request_id)
        elif method in ("SET_PROPERTY", "GET_PROPERTY"):
            self._property(method, params, request_id)
        else:
            self._refuse(2, f"Invalid request: unknown variant `{method}`, expected one of `{METHODS}`", request_id)

    def _change_streams(self, method: str, params: Any, request_id: Any, hub: Hub) -> None:
        if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
            self._refuse(2, "Invalid request: invalid type: `params` must be a list of strings", request_id)
            return
        if method == "SUBSCRIBE" and len({*self.names, *params}) > MAX_STREAMS:
            self._refuse(2, f"Invalid request: more than {MAX_STREAMS} streams on one connection", request_id)
            return
        self._reply(None, request_id)
        for name in params:
            if method == "SUBSCRIBE":
                hub.join(self, name)
            else:
                hub.leave(self, name)

    def _property(self, method: str, params: Any, request_id: Any) -> None:
        if not isinstance(params, list) or not params or params[0] != "combined":
            self._refuse(0, "Unknown property", request_id)
        elif method == "GET_PROPERTY":
            self._reply(self.is_combined, request_id)
        elif len(params) == 2 and isinstance(params[1], bool):
            self.is_combined = params[1]
            self._reply(None, request_id)
        else:
            self._refuse(1, "Invalid value type: expected Boolean", request_id)

    def _reply(self, result: Any, request_id: Any) -> None:
        self.push(orjson.dumps({"result": result, "id": request_id}))

    def _refuse(self, code: int, text: str, request_id: Any = None) -> None:
        reply: dict[str, Any] = {"error": {"code": code, "msg": text}}
        if request_id is not None:
            reply["id"] = request_id
        self.push(orjson.dumps(reply))
