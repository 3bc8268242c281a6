"""REST as a fault bends it: what of a request takes effect, and what of its answer comes back, when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

import orjson

from simulator.engine.errors import ApiError
from simulator.faults.injector import FaultInjector
from simulator.faults.kinds import FaultKind
from simulator.faults.schedule import Fault
from simulator.server.wire import RawRequest, RawResponse, refusal

K = FaultKind
HTML = b"<html><head><title>Maintenance</title></head><body><h1>System maintenance</h1></body></html>"
UNKNOWN_TEXT = "Unknown error, please check your request or try again later."
SINGLE_LOOKUPS = frozenset({"/fapi/v1/order", "/fapi/v1/openOrder", "/fapi/v1/algoOrder"})
LISTS = frozenset(
    {
        "/fapi/v1/openOrders",
        "/fapi/v1/allOrders",
        "/fapi/v1/openAlgoOrders",
        "/fapi/v1/allAlgoOrders",
        "/fapi/v1/userTrades",
    }
)
_OVERLOADED = -1008
_AGAINST_A_LEG = frozenset({("LONG", "SELL"), ("SHORT", "BUY")})
_HTTP_STATUS = {-1001: 503, -1003: 429, -1007: 408, -1008: 503, -1015: 429, -2014: 401, -2015: 401}
_TEXTS = {
    -1001: "Internal error; unable to process your request. Please try again.",
    -1003: "Too many requests; please use the websocket for live updates.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Request throttled by system-level protection. Please try again.",
    -1021: "Timestamp for this request is outside of the recvWindow.",
    -1111: "Precision is over the maximum defined for this asset.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2019: "Margin is insufficient.",
    -2021: "Order would immediately trigger.",
    -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit.",
    -4164: "Order's notional must be no smaller than 5 (unless you choose reduce only).",
}

Responder = Callable[[RawRequest], RawResponse]
Now = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets after `delay_ms`: a response, or (None) the end of its connection without one."""

    response: RawResponse | None
    delay_ms: int = 0


class FaultyRest:
    """Stands before a responder. `tick` applies the requests that are on a long way."""

    def __init__(self, respond: Responder, injector: FaultInjector, now: Now, market_now: Now) -> None:
        self.respond = respond
        self._injector = injector
        self._now = now
        self._market_now = market_now
        self._late: list[tuple[int, RawRequest]] = []

    def handle(self, request: RawRequest) -> Answer:
        """Answer one request through whatever is wrong now. Synchronous: all effects but late ones are in it."""
        now_ms = self._now()
        fault = self._injector.on_request(f"{request.method} {request.path}", now_ms)
        if fault is None or (_is_throttle(fault) and _only_reduces(request)):
            return Answer(self._sound(request))
        if fault.kind in _UNAPPLIED:
            return _UNAPPLIED[fault.kind](fault, request, self._left_s(fault, now_ms), now_ms)
        if fault.kind is K.LATE_APPLY:
            self._late.append((now_ms + int(fault.value("1000")), request))
            return Answer(None)
        if fault.kind is K.HANG and fault.detail == "not_applied":
            return Answer(None, int(fault.value("10000")))
        return _APPLIED[fault.kind](fault, self._sound(request))

    def tick(self) -> None:
        """Let the late requests arrive that are due; nobody waits for their answers."""
        now_ms = self._now()
        due = [request for at_ms, request in self._late if at_ms <= now_ms]
        self._late = [entry for entry in self._late if entry[0] > now_ms]
        for request in due:
            self.respond(request)

    def _left_s(self, fault: Fault, now_ms: int) -> int:
        """Whole seconds until the fault ends, at least 1."""
        until_ms = fault.until_ms
        return 1 if until_ms is None else max(1, (until_ms - self._injector.elapsed_ms(now_ms) + 999) // 1000)

    def _sound(self, request: RawRequest) -> RawResponse:
        """Answer as ever, but for look-ups that see an older state."""
        response = self.respond(request)
        if request.method != "GET" or response.status != 200:
            return response
        route = f"GET {request.path}"
        if request.path in SINGLE_LOOKUPS:
            fault = self._injector.on_query(K.QUERY_LAG_SINGLE, route, self._now())
            if fault is not None and self._is_younger(orjson.loads(response.body), fault):
                return refusal(ApiError(-2013, "Order does not exist."), response.headers)
        elif request.path in LISTS:
            fault = self._injector.on_query(K.QUERY_LAG_LIST, route, self._now())
            if fault is not None:
                rows = [row for row in orjson.loads(response.body) if not self._is_younger(row, fault)]
                return replace(response, body=orjson.dumps(rows))
        return response

    def _is_younger(self, row: dict[str, Any], fault: Fault) -> bool:
        """Whether an order or trade was made less than `amount` market milliseconds ago."""
        return int(row.get("createTime", row.get("time", 0))) > self._market_now() - int(fault.value("30000"))


def _is_throttle(fault: Fault) -> bool:
    return fault.kind is K.REFUSE and int(fault.value("-1008")) == _OVERLOADED


def _only_reduces(request: RawRequest) -> bool:
    """Whether the request only takes risk away: the venue's protection against overload (-1008) lets these pass.

    Cancellations, closePosition, reduceOnly, and orders against a LONG or SHORT leg (protocol section 2).
    """
    if request.method == "DELETE":
        return True
    sent = dict(parse_qsl(f"{request.query}&{request.body}"))
    if "true" in (sent.get("closePosition", "").lower(), sent.get("reduceOnly", "").lower()):
        return True
    return (sent.get("positionSide"), sent.get("side")) in _AGAINST_A_LEG


def _shaped(sound: RawResponse, body: bytes) -> Answer:
    return Answer(replace(sound, status=200, body=body))


def _status(fault: Fault) -> RawResponse:
    """Return the status of `amount` with a body that does not tell whether the request took effect."""
    return RawResponse(int(fault.value("503")), orjson.dumps({"code": -1000, "msg": fault.detail or UNKNOWN_TEXT}))


def _refused(fault: Fault, request: RawRequest, left_s: int, now_ms: int) -> Answer:
    code = int(fault.value("-1008"))
    text = fault.detail or _TEXTS.get(code, "Refused.")
    status = _HTTP_STATUS.get(code, 400)
    return Answer(refusal(ApiError(code, text, status), {"Retry-After": str(left_s)} if status == 429 else {}))


def _throttled(fault: Fault, request: RawRequest, left_s: int, now_ms: int) -> Answer:
    return Answer(refusal(ApiError(-1003, _TEXTS[-1003], 429), {"Retry-After": str(left_s)}))


def _banned(fault: Fault, request: RawRequest, left_s: int, now_ms: int) -> Answer:
    text = f"Way too many requests; IP({request.ip}) banned until {now_ms + left_s * 1000}."
    error = ApiError(-1003, f"{text} Please use the websocket for live updates to avoid bans.", 418)
    return Answer(refusal(error, {"Retry-After": str(left_s)}))


def _redirected(fault: Fault, request: RawRequest, left_s: int, now_ms: int) -> Answer:
    location = f"{request.path}?{request.query}" if request.query else request.path
    return Answer(RawResponse(307, b"", {"Location": location}))


_UNAPPLIED: dict[FaultKind, Callable[[Fault, RawRequest, int, int], Answer]] = {
    K.NOAPPLY_THEN_DROP: lambda fault, request, left_s, now_ms: Answer(None),
    K.NOAPPLY_THEN_STATUS: lambda fault, request, left_s, now_ms: Answer(_status(fault)),
    K.REFUSE: _refused,
    K.THROTTLE: _throttled,
    K.BAN: _banned,
    K.REDIRECT: _redirected,
}
"""Faults that keep the request from the exchange: (fault, request, whole seconds left of it, now) to the answer."""

_APPLIED: dict[FaultKind, Callable[[Fault, RawResponse], Answer]] = {
    K.APPLY_THEN_DROP: lambda fault, sound: Answer(None),
    K.APPLY_THEN_STATUS: lambda fault, sound: Answer(_status(fault)),
    K.HANG: lambda fault, sound: Answer(None, int(fault.value("10000"))),
    K.SLOW_FIRST_BYTE: lambda fault, sound: Answer(sound, int(fault.value("2000"))),
    K.BODY_HTML: lambda fault, sound: Answer(RawResponse(200, HTML, {"Content-Type": "text/html"})),
    K.BODY_TRUNCATED: lambda fault, sound: _shaped(sound, sound.body[: len(sound.body) // 2]),
    K.BODY_EMPTY: lambda fault, sound: _shaped(sound, b""),
    K.BODY_SHAPE: lambda fault, sound: _shaped(sound, fault.detail.encode() or b"{}"),
}
"""Faults of the answer alone: (fault, the sound response) to the answer."""
