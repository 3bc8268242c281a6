"""exchangeInfo → instruments and rate limits. One odd contract never makes the others unreadable."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from core.enums import SymbolStatus
from core.instrument import Instrument
from exchange.binance.budget import RateLimits
from exchange.binance.wire import Row, WireError, as_row, as_rows, decimal, decode_json, integer, open_word, text

_LOG = logging.getLogger(__name__)
_PERPETUAL = frozenset({"PERPETUAL", "TRADIFI_PERPETUAL"})
_MAX_OPEN_ORDERS = 200
_NO_BOUND = Decimal(1)


def parse_exchange_info(body: bytes) -> tuple[dict[str, Instrument], RateLimits]:
    """Return the perpetual contracts by symbol, and the rate limits.

    A contract whose filters cannot be used (missing, or a step of zero as old delisted ones have) cannot be traded
    and is left out with one log line. Raises WireError when the body is not an exchangeInfo at all.
    """
    info = as_row(decode_json(body))
    instruments: dict[str, Instrument] = {}
    unusable: list[str] = []
    for row in as_rows(info.get("symbols")):
        if row.get("contractType") not in _PERPETUAL:
            continue
        try:
            instrument = _instrument(row)
            instruments[instrument.symbol] = instrument
        except WireError as error:
            unusable.append(f"{row.get('symbol')}: {error}")
    if unusable:
        _LOG.warning("exchangeInfo: %d contracts are left out (%s)", len(unusable), "; ".join(unusable[:3]))
    return instruments, _rate_limits(info)


def _instrument(row: Row) -> Instrument:
    filters = {text(item, "filterType"): item for item in as_rows(row.get("filters"))}
    price, lot, band = (_filter(filters, name) for name in ("PRICE_FILTER", "LOT_SIZE", "PERCENT_PRICE"))
    market_lot = filters.get("MARKET_LOT_SIZE", lot)
    orders = filters.get("MAX_NUM_ORDERS", {})
    return Instrument(
        symbol=text(row, "symbol"),
        base_asset=text(row, "baseAsset"),
        quote_asset=text(row, "quoteAsset"),
        status=open_word(SymbolStatus, row, "status", SymbolStatus.UNKNOWN),
        tick_size=_step(price, "tickSize"),
        min_price=decimal(price, "minPrice"),
        max_price=decimal(price, "maxPrice"),
        step_size=_step(lot, "stepSize"),
        min_quantity=decimal(lot, "minQty"),
        max_quantity=decimal(lot, "maxQty"),
        market_step_size=_step(market_lot, "stepSize"),
        market_min_quantity=decimal(market_lot, "minQty"),
        market_max_quantity=decimal(market_lot, "maxQty"),
        min_notional=decimal(_filter(filters, "MIN_NOTIONAL"), "notional"),
        multiplier_up=_step(band, "multiplierUp"),
        multiplier_down=_step(band, "multiplierDown"),
        market_take_bound=decimal(row, "marketTakeBound") if "marketTakeBound" in row else _NO_BOUND,
        trigger_protect=decimal(row, "triggerProtect") if "triggerProtect" in row else _NO_BOUND,
        max_open_orders=integer(orders, "limit") if "limit" in orders else _MAX_OPEN_ORDERS,
        price_precision=integer(row, "pricePrecision"),
        quantity_precision=integer(row, "quantityPrecision"),
    )


def _filter(filters: Mapping[str, Row], name: str) -> Row:
    if name not in filters:
        raise WireError(f"filter {name} is missing")
    return filters[name]


def _step(row: Row, key: str) -> Decimal:
    """Read a step or factor: zero would divide by zero later, and stands for "no rule" only on dead contracts."""
    value = decimal(row, key)
    if value <= 0:
        raise WireError(f"field {key!r} is not above zero")
    return value


def _rate_limits(info: Row) -> RateLimits:
    stated: dict[tuple[str, str, int], int] = {}
    for row in as_rows(info.get("rateLimits", [])):
        key = (text(row, "rateLimitType"), text(row, "interval"), integer(row, "intervalNum"))
        stated[key] = integer(row, "limit")
    default = RateLimits()
    return RateLimits(
        weight_1m=stated.get(("REQUEST_WEIGHT", "MINUTE", 1), default.weight_1m),
        orders_10s=stated.get(("ORDERS", "SECOND", 10), default.orders_10s),
        orders_1m=stated.get(("ORDERS", "MINUTE", 1), default.orders_1m),
    )


class InstrumentCache:
    """The newest instruments; replaced as a whole, so that a reader never sees half of a refresh."""

    def __init__(self) -> None:
        self._instruments: Mapping[str, Instrument] = MappingProxyType({})

    def instruments(self) -> Mapping[str, Instrument]:
        return self._instruments

    def replace(self, instruments: dict[str, Instrument]) -> tuple[str, ...]:
        """Take over a new set and return the symbols that came, went or changed, sorted."""
        old = self._instruments
        changed = {name for name in old.keys() | instruments.keys() if old.get(name) != instruments.get(name)}
        self._instruments = MappingProxyType(dict(instruments))
        return tuple(sorted(changed))
