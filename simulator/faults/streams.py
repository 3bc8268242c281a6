"""Streams as a fault bends them: frames that are lost, late, doubled or broken, and connections that die silently."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import orjson

from simulator.faults.injector import FaultInjector
from simulator.faults.kinds import FaultKind
from simulator.faults.schedule import Fault
from simulator.server.listen_keys import ListenKeys
from simulator.server.session import Hub, Session
from simulator.server.stream_names import Category
from simulator.server.streams import StreamHub

K = FaultKind
Now = Callable[[], int]
REORDER_HOLD_MS = 2_000
"""A frame that waits to be overtaken waits no longer than this."""

_CONTROL = (b'{"result"', b'{"error"', b'{"id"')
_STREAM = re.compile(rb'^\{"stream":"([^"]+)"')
_EVENT = re.compile(rb'"e":"([A-Za-z_]+)"')
_KLINE = re.compile(rb'"s":"([A-Z0-9]+)".*?"i":"(\w+)"')
_SYMBOL = re.compile(rb'"s":"([A-Z0-9]+)"')


class FaultySession(Session):
    """A session whose frames pass the injector. Replies to control frames are never touched.

    `is_half_open`: nothing comes out and nothing goes in any more, for good. `close_code` is the code with which the
    connection must close; 1006 means without a closing frame.
    """

    __slots__ = ("_delayed", "_held", "_injector", "_now", "close_code", "is_half_open")

    def __init__(
        self,
        category: Category,
        *,
        is_combined: bool,
        events: frozenset[str] | None = None,
        injector: FaultInjector,
        now: Now,
    ) -> None:
        super().__init__(category, is_combined=is_combined, events=events)
        self._injector = injector
        self._now = now
        self._held: list[tuple[int, bytes]] = []
        self._delayed: list[tuple[int, bytes]] = []
        self.is_half_open = False
        self.close_code: int | None = None

    def push(self, frame: bytes) -> None:
        if self.is_half_open:
            return
        if frame.startswith(_CONTROL):
            super().push(frame)
            return
        now_ms = self._now()
        fault = self._injector.on_frame(frame_names(self.category, frame), now_ms)
        if fault is None:
            super().push(frame)
        else:
            self._push_bent(fault, frame, now_ms)

    def _push_bent(self, fault: Fault, frame: bytes, now_ms: int) -> None:
        if fault.kind is K.STREAM_DUPLICATE:
            for _ in range(1 + int(fault.value("1"))):
                super().push(frame)
        elif fault.kind is K.STREAM_MALFORMED:
            super().push(frame[: len(frame) // 2])
        elif fault.kind is K.STREAM_DELAY:
            self._delayed.append((now_ms + int(fault.value("1000")), frame))
        elif fault.kind is K.STREAM_REORDER:
            self._held.append((now_ms, frame))
            if len(self._held) >= int(fault.value("3")):
                self._release_held()

    def release(self, now_ms: int) -> None:
        """Send what has waited long enough."""
        due = [frame for at_ms, frame in self._delayed if at_ms <= now_ms]
        self._delayed = [entry for entry in self._delayed if entry[0] > now_ms]
        for frame in due:
            self._send(frame)
        if self._held and now_ms - self._held[0][0] >= REORDER_HOLD_MS:
            self._release_held()

    def _release_held(self) -> None:
        held, self._held = self._held, []
        for _, frame in reversed(held):
            self._send(frame)

    def _send(self, frame: bytes) -> None:
        if not self.is_half_open:
            super().push(frame)

    def receive(self, text: str | bytes, hub: Hub) -> None:
        if self.is_half_open:
            return
        request_id = _subscribe_id(text)
        fault = None
        if request_id is not None:
            fault = self._injector.on_subscribe(self.category.value, self._now())
        if fault is None:
            super().receive(text, hub)
        elif fault.kind is K.SUBSCRIBE_REJECT:
            self._refuse(2, "Invalid request: the subscription was refused", request_id)


class StreamFaults:
    """All faulty connections of one exchange, and what befalls them as wholes."""

    def __init__(self, injector: FaultInjector, now: Now) -> None:
        self._injector = injector
        self._now = now
        self._sessions: dict[FaultySession, None] = {}

    def open(self, category: Category, *, is_combined: bool, events: frozenset[str] | None = None) -> FaultySession:
        """Return the session of a new connection."""
        session = FaultySession(
            category, is_combined=is_combined, events=events, injector=self._injector, now=self._now
        )
        self._sessions[session] = None
        return session

    def forget(self, session: FaultySession) -> None:
        """The connection has gone."""
        self._sessions.pop(session, None)

    def is_refused(self, category: Category) -> bool:
        """Whether a new connection is turned away now."""
        return self._injector.on_connect(category.value, self._now()) is not None

    def close(self, part: str, code: int) -> int:
        """Close the connections to `part` (all if empty) with `code`; returns how many."""
        found = list(self._of(part))
        for session in found:
            session.close_code = code
            session.must_close = session.must_close or "closed by the exchange"
            session.on_frame()
        return len(found)

    def half_open(self, part: str) -> int:
        """Let the connections to `part` (all if empty) fall silent for good; returns how many."""
        found = [session for session in self._of(part) if not session.is_half_open]
        for session in found:
            session.is_half_open = True
        return len(found)

    def tick(self) -> None:
        """Send what has waited long enough, on every connection."""
        now_ms = self._now()
        for session in self._sessions:
            session.release(now_ms)

    def _of(self, part: str) -> Iterator[FaultySession]:
        return (session for session in self._sessions if part in ("", session.category.value))


class FaultyStreamHub(StreamHub):
    """A hub whose listen key can end without a word."""

    def expire_listen_key(self, keys: ListenKeys, gateway_now_ms: int, *, is_silent: bool) -> None:
        """End the listen key. Its streams fall silent, after `listenKeyExpired` unless `is_silent`."""
        keys.close(gateway_now_ms)
        if not is_silent:
            return  # the next tick tells and ends the streams
        for key in keys.drain_ended(gateway_now_ms):
            feed = self._users.get(key)
            for subscriber in list(feed.subscribers) if feed is not None else ():
                if isinstance(subscriber, Session):
                    self.leave(subscriber, key)


def frame_names(category: Category, frame: bytes) -> set[str]:
    """Return the names by which a fault can mean this frame: connection part, stream and event type."""
    names = {category.value}
    head = frame[:400]
    stream = _STREAM.match(head)
    if stream is not None:
        names.add(stream[1].decode())
    event = _EVENT.search(head)
    if event is not None:
        names.add(event[1].decode())
        if stream is None and (symbol := _SYMBOL.search(head)) is not None:
            names.add(_raw_name(event[1].decode(), symbol[1].decode().lower(), head))
    return names


def _raw_name(event: str, symbol: str, head: bytes) -> str:
    """Return the stream that a frame without its name most likely came by."""
    if event == "kline" and (kline := _KLINE.search(head)) is not None:
        return f"{symbol}@kline_{kline[2].decode()}"
    return f"{symbol}@{ {'markPriceUpdate': 'markPrice@1s', 'depthUpdate': 'depth'}.get(event, event) }"


def _subscribe_id(text: str | bytes) -> int | str | None:
    """Return the id of a SUBSCRIBE frame, None for anything else."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict) or message.get("method") != "SUBSCRIBE":
        return None
    request_id = message.get("id")
    return request_id if isinstance(request_id, int | str) else 0
