"""REST through the official SDK: its signing, its errors and its request path, in a bounded pool of threads.

We go through `binance_common.utils.send_request`, the SDK's own request path, without a response model: its typed
methods accept no timestamp, take numbers as floats and parse every answer twice into models whose fields may all be
None. The raw answer is kept by our session, because the SDK drops the body of 5xx and the headers of errors.

The query is written and signed (by the SDK's `get_signature`) before the SDK sees the request, as part of its path: the
SDK would write it twice, each time looking for lists, enumerations and names in snake case, which took half of the time
from an order's decision to its bytes.
"""

from __future__ import annotations

import asyncio
import heapq
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlencode

import requests
from binance_common.configuration import ConfigurationRestAPI
from binance_common.utils import get_signature, send_request
from binance_sdk_derivatives_trading_usds_futures import DerivativesTradingUsdsFutures

from core.clock import Clock
from core.commands import Refused
from core.enums import Priority
from exchange.binance.calls import Call
from exchange.binance.departures import Departures
from exchange.binance.session import VenueSession
from exchange.binance.settings import VenueSettings
from exchange.binance.timesync import GatewayTime

_IS_PLAIN = re.compile(r"[\w.~-]*", re.ASCII).fullmatch
"""Text that a query takes as it is."""


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """What came back: the body of a success or the SDK's exception, and the counters that the headers tell.

    `sent_ms` is our steady clock at signing; the two `_ns` are monotonic: when the request had been written (where it
    never was: when it was signed), and when the answer had been read.
    """

    body: bytes
    error: Exception | None
    status: int | None
    weight_1m: int | None
    orders_10s: int | None
    orders_1m: int | None
    sent_ms: int
    sent_ns: int
    received_ns: int


class RestClient:
    """One SDK client with its own session and threads. Blocking calls run in `threads` threads, never on the loop."""

    def __init__(
        self, settings: VenueSettings, time: GatewayTime, clock: Clock, *, name: str, threads: int, timeout_ms: int
    ) -> None:
        self._configuration = ConfigurationRestAPI(
            api_key=settings.api_key,
            api_secret=settings.api_secret,
            base_path=settings.rest_url.rstrip("/"),
            timeout=timeout_ms,
            retries=0,  # retries are decided by who knows what the request was for
            compression=False,  # True would advertise brotli, which may not be installed
        )
        self._recv_window_ms = settings.recv_window_ms
        self._time = time
        self._clock = clock
        _ = DerivativesTradingUsdsFutures(config_rest_api=self._configuration).rest_api  # names itself in the headers
        self._answer = threading.local()
        self._departures = Departures()
        self._session = VenueSession(settings, threads, self._keep_answer, self._note_written)
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"rest-{name}")
        self._gate = PriorityGate(threads)
        self._under_way: set[asyncio.Future[RestAnswer]] = set()

    async def send(
        self,
        call: Call,
        on_sent: Callable[[int], None] | None = None,
        refusal: Callable[[Call], Refused | None] = lambda _: None,
    ) -> RestAnswer | Refused:
        """Send one request when a thread is free, more urgent ones first. Never raises for what the venue does.

        Cancelling the caller does not stop a request that has left. `on_sent` is called in the worker thread with
        monotonic nanoseconds when the request has been written; `refusal` is asked once the request's turn has come,
        whether it may leave at all.
        """
        await self._gate.enter(call.priority)
        refused = refusal(call)
        if refused is not None:
            self._gate.leave()
            return refused
        self._departures.expect()
        try:
            work = asyncio.get_running_loop().run_in_executor(self._pool, self._send, call, on_sent)
        except BaseException:
            self._departures.left()
            self._gate.leave()
            raise
        self._under_way.add(work)
        work.add_done_callback(self._ended)
        return await asyncio.shield(work)

    def _ended(self, work: asyncio.Future[RestAnswer]) -> None:
        self._under_way.discard(work)
        self._gate.leave()

    async def drain(self) -> None:
        """Return when no request is under way any more, whether or not anybody still waits for its answer."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def close(self) -> None:
        """Give the threads and connections back; requests under way end by themselves."""
        self._pool.shutdown(wait=False)
        self._session.close()

    @property
    def waiting(self) -> int:
        """Requests that wait for a thread."""
        return self._gate.waiting

    def _send(self, call: Call, on_sent: Callable[[int], None] | None) -> RestAnswer:
        """Blocking: sign with the time of this very moment (not of queueing) and send."""
        local = self._answer
        local.response, local.on_sent, local.is_written = None, on_sent, False
        sent_ms, local.sent_ns = self._clock.now_ms(), self._clock.monotonic_ns()
        error: Exception | None = None
        body = b""
        try:
            send_request(self._session, self._configuration, call.method, self._path_of(call))
            body = self._answer.response.content
        except Exception as raised:  # the SDK lets plain ValueErrors through beside its own family
            error = raised
        finally:
            if not local.is_written:
                self._departures.left()
        response: requests.Response | None = self._answer.response
        return RestAnswer(
            body=body,
            error=error,
            status=response.status_code if response is not None else None,
            weight_1m=_count(response, "X-MBX-USED-WEIGHT-1M"),
            orders_10s=_count(response, "X-MBX-ORDER-COUNT-10S"),
            orders_1m=_count(response, "X-MBX-ORDER-COUNT-1M"),
            sent_ms=sent_ms,
            sent_ns=local.sent_ns,
            received_ns=self._clock.monotonic_ns(),
        )

    def _path_of(self, call: Call) -> str:
        """Return the path with its query, signed with the time of this moment where that is asked for."""
        if not call.signed:
            return f"{call.path}?{query_of(call.params)}" if call.params else call.path
        query = query_of(call.params | {"recvWindow": str(self._recv_window_ms), "timestamp": str(self._time.now_ms())})
        return f"{call.path}?{query}&signature={get_signature(self._configuration, query)}"

    def _note_written(self) -> None:
        """Called in the request's thread, once it has left and before its answer is read."""
        local = self._answer
        if local.is_written:
            return
        local.is_written, local.sent_ns = True, self._clock.monotonic_ns()
        self._departures.left()
        if local.on_sent is not None:
            local.on_sent(local.sent_ns)
        self._departures.let_go_first()

    def _keep_answer(self, response: requests.Response) -> None:
        self._answer.response = response


def query_of(params: Mapping[str, str]) -> str:
    """Return the parameters as the venue reads and signs them: in their order, percent-encoded where need be."""
    if not _IS_PLAIN("".join(params.values())):
        return urlencode(params)
    return "&".join([f"{name}={value}" for name, value in params.items()])


def _count(response: requests.Response | None, header: str) -> int | None:
    value = response.headers.get(header) if response is not None else None
    return int(value) if value is not None and value.isdigit() else None


class PriorityGate:
    """Lets `slots` callers in at a time; of those that wait, the most urgent first, then the oldest."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: list[tuple[Priority, int, asyncio.Future[None]]] = []
        self._sequence = 0

    async def enter(self, priority: Priority) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heapq.heappush(self._waiting, (priority, self._sequence, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # the slot was handed over in the moment of cancelling
            raise

    def leave(self) -> None:
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    @property
    def waiting(self) -> int:
        return sum(1 for _, _, turn in self._waiting if not turn.done())
