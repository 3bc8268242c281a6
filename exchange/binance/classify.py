"""What a failed request means for us: certainly not executed, or unknown.

The default is unknown. Only a parsed business code from the venue's published list, or a connection that was never
made, proves that nothing happened. The SDK reports the venue's code as `status_code` for 4xx answers, loses code and
text of 5xx, and puts the whole signed address into transport errors, so no exception text is ever passed on.
"""

from __future__ import annotations

import re

from binance_common.errors import (
    BadRequestError,
    ClientError,
    ForbiddenError,
    NetworkError,
    NotFoundError,
    RateLimitBanError,
    ServerError,
    TooManyRequestsError,
    UnauthorizedError,
)
from requests.exceptions import ConnectTimeout
from urllib3.exceptions import NewConnectionError

from core.commands import InDoubt, RefusalKind, Refused

_KINDS: dict[int, RefusalKind] = {
    -1002: RefusalKind.AUTHENTICATION,
    -1022: RefusalKind.AUTHENTICATION,
    -2014: RefusalKind.AUTHENTICATION,
    -2015: RefusalKind.AUTHENTICATION,
    -4088: RefusalKind.AUTHENTICATION,
    -4109: RefusalKind.AUTHENTICATION,
    -1021: RefusalKind.CLOCK,
    -5028: RefusalKind.CLOCK,
    -1003: RefusalKind.THROTTLED,
    -1015: RefusalKind.THROTTLED,
    -2011: RefusalKind.NOT_FOUND,
    -2013: RefusalKind.NOT_FOUND,
    -4116: RefusalKind.DUPLICATE_ID,
    -2021: RefusalKind.WOULD_TRIGGER,
    -4142: RefusalKind.WOULD_TRIGGER,
    -2022: RefusalKind.REDUCE_ONLY,
    -4118: RefusalKind.REDUCE_ONLY,
    -4509: RefusalKind.REDUCE_ONLY,
}
"""Codes with a meaning of their own; every other known code is a final business refusal."""

_BUSINESS_RANGES = (
    # (lowest, highest) code, inclusive
    (-1020, -1020),  # unsupported operation
    (-1023, -1023),  # start after end
    (-1106, -1099),  # parameters missing, malformed or not wanted
    (-1122, -1111),  # precision, types, sides, intervals, symbol
    (-1136, -1125),  # listen key, look-up spans, bad values
    (-2010, -2007),  # new order rejected
    (-2028, -2018),  # balance, margin, fills, position limits
    (-4007, -4001),  # price and quantity filters
    (-4032, -4013),  # filters, client id, leverage, batch
    (-4062, -4045),  # conditionals count, margin type, position mode, reduce-only conflicts
    (-4088, -4067),  # mode changes, batches, account permissions
    (-4142, -4109),  # account, duplicate ids, conditional orders
    (-4211, -4161),  # leverage, notional, trigger distance, cooling-off, restrictions
    (-4403, -4400),  # quantitative rules, compliance
    (-4509, -4509),  # position-bound conditional without position
    (-4531, -4531),  # mode sync
    (-5000, -5000),  # test host: wrong path
    (-5047, -5021),  # FOK and post-only, amend, price match
)
"""Published codes of requests that were refused before they could act (protocol sheet, section 12)."""

FILTER_CODES = frozenset({-1013, -1111, -4001, -4002, -4003, -4004, -4005, -4013, -4014, -4016, -4023, -4024, -4164})
"""Refusals that say our filters are stale: exchangeInfo is read again."""

ALREADY_SO = {"/fapi/v1/marginType": -4046, "/fapi/v1/positionSide/dual": -4059}
"""Answers that look like errors but say that the setting already is as wanted, by path."""

_BANNED_UNTIL = re.compile(r"banned until (\d{12,14})")


def classify(  # noqa: PLR0911 - one row per shape
    exception: BaseException, *, now_ms: int | None = None
) -> Refused | InDoubt:
    """Say what `exception`, raised by an SDK call, means. Never raises and never repeats the exception's own text
    unless it is the venue's message.

    `now_ms` (the venue's gateway time) turns a "banned until" text into seconds when no Retry-After came with it.
    """
    if isinstance(exception, RateLimitBanError):
        seconds = _retry_after(exception, now_ms)
        return Refused(RefusalKind.BANNED, exception.status_code or 0, str(exception.error_message), seconds)
    if isinstance(exception, TooManyRequestsError):
        seconds = _retry_after(exception, now_ms)
        return Refused(RefusalKind.THROTTLED, exception.status_code or 0, str(exception.error_message), seconds)
    if isinstance(exception, BadRequestError | UnauthorizedError | NotFoundError | ForbiddenError):
        return _by_code(exception)
    if isinstance(exception, ServerError):
        return InDoubt(f"HTTP {exception.status_code} from the venue")
    if isinstance(exception, ClientError):  # 408 and the rarer 4xx: the SDK keeps no code
        return InDoubt(f"the venue answered without a code: {exception.error_message}")
    if isinstance(exception, NetworkError):
        return _by_transport(exception)
    return InDoubt(f"unreadable answer ({type(exception).__name__})")


def refusal(code: int, message: str) -> Refused | InDoubt:
    """Classify a parsed business code, wherever it was found."""
    kind = _KINDS.get(code)
    if kind is not None:
        return Refused(kind, code, message)
    if code in FILTER_CODES or any(low <= code <= high for low, high in _BUSINESS_RANGES):
        return Refused(RefusalKind.BUSINESS, code, message)
    return InDoubt(f"code {code} is not on the list of certain refusals: {message}")


def _by_code(exception: BadRequestError | UnauthorizedError | NotFoundError | ForbiddenError) -> Refused | InDoubt:
    code, message = exception.status_code, str(exception.error_message)
    if isinstance(code, int) and code < 0:
        return refusal(code, message)
    return InDoubt(f"{type(exception).__name__} without a code")


def _by_transport(exception: NetworkError) -> Refused | InDoubt:
    cause = exception.__cause__
    if isinstance(cause, ConnectTimeout) or _never_connected(cause):
        return Refused(RefusalKind.LOCAL, 0, "no connection to the venue: the request was not sent")
    return InDoubt(f"transport failed ({type(cause).__name__ if cause else 'NetworkError'})")


def _never_connected(cause: BaseException | None) -> bool:
    """True when the TCP connection itself failed, so that no byte of the request can have left."""
    reason = getattr(cause.args[0], "reason", None) if cause and cause.args else None
    return isinstance(reason, NewConnectionError)


def _retry_after(exception: RateLimitBanError | TooManyRequestsError, now_ms: int | None) -> float | None:
    if exception.retry_after is not None:
        return float(exception.retry_after)
    until = _BANNED_UNTIL.search(str(exception.error_message))
    if until is None or now_ms is None:
        return None
    return max(0.0, (int(until.group(1)) - now_ms) / 1000)
