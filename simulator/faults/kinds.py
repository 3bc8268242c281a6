"""The faults by name: where each takes hold, what its figures mean and what a generated one looks like."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Site(StrEnum):
    """The place in the exchange at which a fault takes hold."""

    REST = "rest"
    MATCHING = "matching"
    ALGO = "algo"
    STREAM = "stream"
    CLOCK = "clock"
    HAND = "hand"


class FaultKind(StrEnum):
    """Names as in a schedule file."""

    APPLY_THEN_DROP = "apply_then_drop"
    APPLY_THEN_STATUS = "apply_then_status"
    NOAPPLY_THEN_DROP = "noapply_then_drop"
    NOAPPLY_THEN_STATUS = "noapply_then_status"
    REFUSE = "refuse"
    HANG = "hang"
    LATE_APPLY = "late_apply"
    SLOW_FIRST_BYTE = "slow_first_byte"
    BODY_HTML = "body_html"
    BODY_TRUNCATED = "body_truncated"
    BODY_EMPTY = "body_empty"
    BODY_SHAPE = "body_shape"
    REDIRECT = "redirect"
    QUERY_LAG_SINGLE = "query_lag_single"
    QUERY_LAG_LIST = "query_lag_list"
    THROTTLE = "throttle"
    BAN = "ban"

    PARTIAL_FILL = "partial_fill"
    EMPTY_SIDE = "empty_side"
    PRICE_GAP = "price_gap"
    LIQUIDATE = "liquidate"
    ADL = "adl"
    SETTLE = "settle"
    SYMBOL_STATUS = "symbol_status"
    FILTER_CHANGE = "filter_change"
    BRACKET_CHANGE = "bracket_change"

    ALGO_STUCK = "algo_stuck"
    ALGO_REJECT = "algo_reject"
    ALGO_VANISH = "algo_vanish"

    STREAM_MUTE = "stream_mute"
    STREAM_DROP = "stream_drop"
    STREAM_DUPLICATE = "stream_duplicate"
    STREAM_REORDER = "stream_reorder"
    STREAM_DELAY = "stream_delay"
    STREAM_MALFORMED = "stream_malformed"
    STREAM_HALF_OPEN = "stream_half_open"
    STREAM_CLOSE = "stream_close"
    STREAM_REFUSE = "stream_refuse"
    SUBSCRIBE_REJECT = "subscribe_reject"
    SUBSCRIBE_IGNORE = "subscribe_ignore"
    LISTEN_KEY_EXPIRE = "listen_key_expire"

    CLOCK_SKEW = "clock_skew"
    CLOCK_DRIFT = "clock_drift"
    CLOCK_JUMP = "clock_jump"

    HAND_CLOSE = "hand_close"
    HAND_REDUCE = "hand_reduce"
    HAND_ADD = "hand_add"
    HAND_CANCEL_STOP = "hand_cancel_stop"
    HAND_LEVERAGE = "hand_leverage"
    HAND_POSITION_MODE = "hand_position_mode"
    HAND_WITHDRAW = "hand_withdraw"
    FOREIGN_ORDER = "foreign_order"
    FOREIGN_POSITION = "foreign_position"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a kind is read and generated.

    An instant fault happens once at its time; any other one lasts. `lasts_ms`, `targets`, `amounts` and `details`
    are what `FaultSchedule.generate` chooses from; the target of a fault with `by_symbol` is a symbol.
    """

    site: Site
    instant: bool = False
    lasts_ms: tuple[int, int] = (500, 20_000)
    targets: tuple[str, ...] = ("",)
    amounts: tuple[str, ...] = ()
    details: tuple[str, ...] = ("",)
    by_symbol: bool = False


ORDER, ALGO_ORDER = "/fapi/v1/order", "/fapi/v1/algoOrder"
_WRITES = (f"POST {ORDER}", f"POST {ALGO_ORDER}", f"DELETE {ORDER}", f"DELETE {ALGO_ORDER}")
_ANY = ("", *_WRITES)
_PARTS = ("private", "market", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ALGO_UPDATE")
_STATUSES = ("503", "502", "500", "504")
_ROLES = ("private", "market")


def _rest(targets: tuple[str, ...] = _ANY, amounts: tuple[str, ...] = ()) -> Rule:
    return Rule(Site.REST, targets=targets, amounts=amounts)


def _matching(*amounts: str, details: tuple[str, ...] = ("",), instant: bool = False) -> Rule:
    return Rule(Site.MATCHING, instant, amounts=amounts, details=details, by_symbol=True)


def _hand(*amounts: str) -> Rule:
    return Rule(Site.HAND, True, amounts=amounts, by_symbol=True)


K = FaultKind
RULES: dict[FaultKind, Rule] = {
    K.APPLY_THEN_DROP: _rest(),
    K.APPLY_THEN_STATUS: _rest(amounts=_STATUSES),
    K.NOAPPLY_THEN_DROP: _rest(),
    K.NOAPPLY_THEN_STATUS: _rest(amounts=_STATUSES),
    K.REFUSE: _rest(_WRITES, ("-1008", "-1021", "-2019", "-4131", "-1001")),
    K.HANG: _rest(amounts=("3000", "8000", "15000")),
    K.LATE_APPLY: _rest(_WRITES, ("100", "1500", "4500")),
    K.SLOW_FIRST_BYTE: _rest(amounts=("300", "2000", "4000")),
    K.BODY_HTML: _rest(),
    K.BODY_TRUNCATED: _rest(),
    K.BODY_EMPTY: _rest(),
    K.BODY_SHAPE: _rest(),
    K.REDIRECT: _rest(),
    K.QUERY_LAG_SINGLE: Rule(Site.REST, lasts_ms=(1_000, 60_000), amounts=("2000", "30000", "2400000")),
    K.QUERY_LAG_LIST: Rule(Site.REST, lasts_ms=(1_000, 60_000), amounts=("2000", "30000", "2400000")),
    K.THROTTLE: Rule(Site.REST, lasts_ms=(1_000, 15_000)),
    K.BAN: Rule(Site.REST, lasts_ms=(5_000, 60_000)),
    K.PARTIAL_FILL: _matching("0", "0.3", "0.999"),
    K.EMPTY_SIDE: _matching(details=("bids", "asks", "")),
    K.PRICE_GAP: _matching("-0.05", "0.05", "-0.02", "0.02"),
    K.LIQUIDATE: _matching(instant=True),
    K.ADL: _matching("0.4", "1", instant=True),
    K.SETTLE: _matching(instant=True),
    K.SYMBOL_STATUS: _matching(details=("SETTLING", "PRE_SETTLE", "TRADING_HALT")),
    K.FILTER_CHANGE: _matching("2", "5", "10"),
    K.BRACKET_CHANGE: _matching("0.5", "0.2"),
    K.ALGO_STUCK: Rule(Site.ALGO, lasts_ms=(5_000, 60_000), by_symbol=True),
    K.ALGO_REJECT: Rule(Site.ALGO, lasts_ms=(5_000, 60_000), by_symbol=True),
    K.ALGO_VANISH: Rule(Site.ALGO, True, details=("silent", "event"), by_symbol=True),
    K.STREAM_MUTE: Rule(Site.STREAM, lasts_ms=(2_000, 90_000), targets=_PARTS),
    K.STREAM_DROP: Rule(Site.STREAM, targets=_PARTS),
    K.STREAM_DUPLICATE: Rule(Site.STREAM, targets=_PARTS, amounts=("1", "3")),
    K.STREAM_REORDER: Rule(Site.STREAM, targets=_PARTS, amounts=("2", "4")),
    K.STREAM_DELAY: Rule(Site.STREAM, targets=_PARTS, amounts=("200", "3000")),
    K.STREAM_MALFORMED: Rule(Site.STREAM, lasts_ms=(0, 0), targets=_ROLES),
    K.STREAM_HALF_OPEN: Rule(Site.STREAM, True, targets=_ROLES),
    K.STREAM_CLOSE: Rule(Site.STREAM, True, targets=_ROLES, amounts=("1001", "1006", "1008", "1011")),
    K.STREAM_REFUSE: Rule(Site.STREAM, lasts_ms=(1_000, 60_000), targets=("", *_ROLES)),
    K.SUBSCRIBE_REJECT: Rule(Site.STREAM, targets=_ROLES),
    K.SUBSCRIBE_IGNORE: Rule(Site.STREAM, targets=_ROLES),
    K.LISTEN_KEY_EXPIRE: Rule(Site.STREAM, True, details=("event", "silent")),
    K.CLOCK_SKEW: Rule(
        Site.CLOCK, lasts_ms=(5_000, 60_000), amounts=("500", "-500", "5000", "-5000", "90000", "-90000")
    ),
    K.CLOCK_DRIFT: Rule(Site.CLOCK, lasts_ms=(10_000, 120_000), amounts=("200", "-200", "5000")),
    K.CLOCK_JUMP: Rule(Site.CLOCK, lasts_ms=(0, 0), amounts=("2000", "-2000", "3600000", "-3600000")),
    K.HAND_CLOSE: _hand(),
    K.HAND_REDUCE: _hand("0.3", "0.5"),
    K.HAND_ADD: _hand("0.3", "1"),
    K.HAND_CANCEL_STOP: _hand(),
    K.HAND_LEVERAGE: _hand("3", "10"),
    K.HAND_POSITION_MODE: Rule(Site.HAND, True),
    K.HAND_WITHDRAW: Rule(Site.HAND, True, amounts=("0.3", "0.5")),
    K.FOREIGN_ORDER: _hand("0.9"),
    K.FOREIGN_POSITION: _hand("20", "100"),
}
