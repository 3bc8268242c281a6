"""What can go wrong where: every hook of the exchange's faults against every place at which the trader meets it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from simulator.faults.injector import Fired, route_matches
from simulator.faults.kinds import RULES, FaultKind, Site
from simulator.faults.rest import LISTS, SINGLE_LOOKUPS

K = FaultKind

START_ROUTES = (
    "GET /fapi/v1/time",
    "GET /fapi/v1/exchangeInfo",
    "GET /fapi/v1/premiumIndex",
    "GET /fapi/v1/positionSide/dual",
    "POST /fapi/v1/positionSide/dual",
    "GET /fapi/v1/symbolConfig",
    "POST /fapi/v1/leverage",
    "POST /fapi/v1/marginType",
    "GET /fapi/v1/leverageBracket",
    "GET /fapi/v1/commissionRate",
    "POST /fapi/v1/listenKey",
    "GET /fapi/v1/klines",
)
"""Called while a process starts; some later again."""

TRADE_ROUTES = (
    "POST /fapi/v1/order",
    "GET /fapi/v1/order",
    "DELETE /fapi/v1/order",
    "POST /fapi/v1/algoOrder",
    "GET /fapi/v1/algoOrder",
    "DELETE /fapi/v1/algoOrder",
    "GET /fapi/v3/positionRisk",
    "GET /fapi/v1/openOrders",
    "GET /fapi/v1/openAlgoOrders",
    "GET /fapi/v3/balance",
    "GET /fapi/v1/userTrades",
    "GET /fapi/v1/income",
)
ROUTES = (*START_ROUTES, *TRADE_ROUTES)

CONNECTIONS = ("market", "private")
FRAMES = (*CONNECTIONS, "kline", "markPriceUpdate", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ALGO_UPDATE")

REST_HOOKS = tuple(k for k, r in RULES.items() if r.site is Site.REST)
LAGS = {K.QUERY_LAG_SINGLE: SINGLE_LOOKUPS, K.QUERY_LAG_LIST: LISTS}
FRAME_HOOKS = (
    K.STREAM_MUTE,
    K.STREAM_DROP,
    K.STREAM_DUPLICATE,
    K.STREAM_REORDER,
    K.STREAM_DELAY,
    K.STREAM_MALFORMED,
)
CONNECTION_HOOKS = (K.STREAM_HALF_OPEN, K.STREAM_CLOSE, K.STREAM_REFUSE, K.SUBSCRIBE_REJECT, K.SUBSCRIBE_IGNORE)
ACCOUNT_HOOKS = tuple(k for k, r in RULES.items() if r.site in (Site.MATCHING, Site.ALGO, Site.HAND, Site.CLOCK))


@dataclass(frozen=True, slots=True)
class Pair:
    """One hook at one call site; `site` is a route, a stream part or frame, or the hook's own room."""

    hook: FaultKind
    site: str


def impossible(hook: FaultKind, site: str) -> str | None:
    """Return why this hook cannot take hold there, or None."""
    if hook in LAGS:
        method, _, path = site.partition(" ")
        if method != "GET" or path not in LAGS[hook]:
            what = "a look-up of one order" if hook is K.QUERY_LAG_SINGLE else "a list of orders or trades"
            return f"this hook lets {what} see an older state; the route is none"
    return None


def pairs() -> Iterator[Pair]:
    """Yield every pair that is possible."""
    for route in ROUTES:
        for hook in REST_HOOKS:
            if impossible(hook, route) is None:
                yield Pair(hook, route)
    for hook in FRAME_HOOKS:
        yield from (Pair(hook, site) for site in FRAMES)
    for hook in CONNECTION_HOOKS:
        yield from (Pair(hook, site) for site in CONNECTIONS)
    yield Pair(K.LISTEN_KEY_EXPIRE, "private")
    yield from (Pair(hook, RULES[hook].site.value) for hook in ACCOUNT_HOOKS)


def pair_of(fired: Fired) -> list[Pair]:
    """Return the pairs that a fault which took hold stands for: the call site is where it really happened."""
    kind, subject = fired.fault.kind, fired.subject
    site = RULES[kind].site
    if site is Site.REST:
        return [Pair(kind, route) for route in ROUTES if route_matches(subject, route)]
    if kind in FRAME_HOOKS:
        return [Pair(kind, name) for name in FRAMES if name in subject.split("/")]
    if kind in (K.STREAM_REFUSE, K.SUBSCRIBE_REJECT, K.SUBSCRIBE_IGNORE):
        return [Pair(kind, subject)]
    if kind in (K.STREAM_CLOSE, K.STREAM_HALF_OPEN):
        parts = [fired.fault.target] if fired.fault.target else CONNECTIONS
        return [Pair(kind, part) for part in parts]
    if kind is K.LISTEN_KEY_EXPIRE:
        return [Pair(kind, "private")]
    return [Pair(kind, site.value)]
