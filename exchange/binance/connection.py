"""One SDK stream connection, from opening to closing: never repaired, only replaced.

What the SDK does, and what is done about it here: it swallows connect errors, opens three sockets where one is wanted,
never awaits a subscription's answer, does not notice a half-open socket, dies silently on a malformed frame, and keeps
stale state after a close. So each connection is a client object of its own, opened on one path, proved by the venue's
answer to every SUBSCRIBE, and watched from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from binance_common.configuration import ConfigurationWebSocketStreams
from binance_sdk_derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

from core.clock import Clock
from core.errors import TraderError

_LOG = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 10.0
PROOF_TIMEOUT_S = 5.0
PROBE_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
STREAMS_PER_FRAME = 200
"""A SUBSCRIBE of 200 names stays well below the venue's frame size; the SDK waits 0.5 s before each."""

Frame = dict[str, Any]
FrameSink = Callable[[Frame], None]


class ConnectionFailed(TraderError):
    """A stream could not be opened or proved; the supervisor tries again with a new connection."""


class StreamConnection:
    """One socket on one path ("market", "public" or "private") with its streams.

    `on_frame` is called on the event loop with each combined frame ({"stream", "data"}); it must only take it down.
    `lost` becomes the reason once the connection is known to be gone.
    """

    def __init__(self, stream_url: str, path: str, streams: Sequence[str], on_frame: FrameSink, clock: Clock) -> None:
        self._path = path
        self._streams = list(streams)
        self._on_frame = on_frame
        self._clock = clock
        self._client = _client(stream_url, path)
        self.opened_ms = 0
        self.last_alive_ms = 0
        self.lost: str | None = None

    async def open(self) -> None:
        """Connect, subscribe in chunks and wait for the venue's answer to each; raises ConnectionFailed."""
        try:
            await self._open()
        except ConnectionFailed:
            raise
        except Exception as error:  # a socket that ends meanwhile raises whatever its library likes
            raise ConnectionFailed(f"/{self._path} ended while opening ({type(error).__name__})") from None

    async def _open(self) -> None:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                connected = await self._client.create_connection()
        except TimeoutError:
            raise ConnectionFailed(f"no connection on /{self._path} within {OPEN_TIMEOUT_S:.0f} s") from None
        if connected is None or len(self._client.connections) != 1:
            raise ConnectionFailed(f"the venue refused the connection on /{self._path}")
        socket = self._client.connections[0]
        for event in ("close", "reconnect"):
            self._client.on_connection(event, lambda event=event: self._lose(f"the connection ended ({event})"), socket)
        self._client.on_connection("ping", self._alive, socket)
        self._client.on_connection("pong", self._alive, socket)
        for start in range(0, len(self._streams), STREAMS_PER_FRAME):
            await self._subscribe(socket, self._streams[start : start + STREAMS_PER_FRAME])
        self.opened_ms = self._clock.now_ms()
        self._alive()

    async def probe(self) -> bool:
        """Ask for the list of subscriptions: True when anything is answered in time (the socket lives)."""
        if self.lost is not None:
            return False
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                answer = await self._client.list_subscribe()
        except TimeoutError:
            return False
        except ValueError:  # the venue answered with an error: it is alive
            answer = {}
        except Exception as error:  # a socket that is closing raises whatever its library likes
            _LOG.debug("probe on /%s failed: %s", self._path, type(error).__name__)
            return False
        if answer is None:
            return False
        self._alive()
        return True

    async def close(self) -> None:
        """Close the socket and the SDK's session; a peer that does not answer is not waited for."""
        self.lost = self.lost or "closed by us"
        client = self._client
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if client.connections:
                    await client.close_connection(close_session=False)
        except Exception as error:  # the socket is given up either way
            _LOG.debug("closing /%s: %s", self._path, type(error).__name__)
        finally:
            if client.session is not None:
                with contextlib.suppress(Exception):
                    await client.session.close()

    async def _subscribe(self, socket: Any, streams: list[str]) -> None:
        await self._client.subscribe(streams, stream_url=self._path)
        # No other task has run since the frame left, so its answer is still outstanding and no message was missed.
        answers = [answer for answer in socket.pending_request.values() if not answer.done()]
        for stream in streams:
            if stream not in self._client.stream_connections.stream_connections_map:
                raise ConnectionFailed(f"the SDK did not subscribe to {self._path} streams")
            self._client.on("message", self._take, stream)
        if not answers:
            raise ConnectionFailed(f"the SDK sent no subscription on /{self._path}")
        done, outstanding = await asyncio.wait(answers, timeout=PROOF_TIMEOUT_S)
        refusals = [answer.exception() for answer in done if not answer.cancelled()]
        if outstanding or len(done) != len(refusals):
            raise ConnectionFailed(f"no answer to a subscription on /{self._path} within {PROOF_TIMEOUT_S:.0f} s")
        for refusal in refusals:
            if refusal is not None:
                raise ConnectionFailed(f"the venue refused a subscription on /{self._path}: {refusal}")

    def _take(self, frame: Frame) -> None:
        self._alive()
        self._on_frame(frame)

    def _alive(self) -> None:
        self.last_alive_ms = self._clock.now_ms()

    def _lose(self, reason: str) -> None:
        if self.lost is None:
            self.lost = reason


def _client(stream_url: str, path: str) -> Any:
    """A fresh SDK client: its configuration object is edited in place by the SDK, so it is never shared."""
    configuration = ConfigurationWebSocketStreams(stream_url=stream_url.rstrip("/"))
    client = DerivativesTradingUsdsFutures(config_ws_streams=configuration).websocket_streams
    client.url_paths = [path]  # the SDK would open all three categories
    return client
