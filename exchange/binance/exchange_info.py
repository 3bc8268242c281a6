"""exchangeInfo → instruments and rate limits, typed at decoding: the body is the largest that the venue sends."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

import msgspec

from core.enums import SymbolStatus
from core.instrument import Instrument
from exchange.binance.budget import RateLimits
from exchange.binance.wire import WireError

_LOG = logging.getLogger(__name__)
_PERPETUAL = frozenset({"PERPETUAL", "TRADIFI_PERPETUAL"})
_NO_BOUND = Decimal(1)


class _Filter(msgspec.Struct, rename="camel"):
    filter_type: str
    tick_size: Decimal | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    step_size: Decimal | None = None
    min_qty: Decimal | None = None
    max_qty: Decimal | None = None
    notional: Decimal | None = None
    limit: int | None = None
    multiplier_up: Decimal | None = None
    multiplier_down: Decimal | None = None


class _Symbol(msgspec.Struct, rename="camel"):
    symbol: str
    base_asset: str
    quote_asset: str
    status: str = ""
    contract_type: str = ""
    filters: list[_Filter] = []
    price_precision: int = 8
    quantity_precision: int = 8
    trigger_protect: Decimal = _NO_BOUND
    market_take_bound: Decimal = _NO_BOUND


class _Limit(msgspec.Struct, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class _ExchangeInfo(msgspec.Struct, rename="camel"):
    symbols: list[_Symbol]
    rate_limits: list[_Limit] = []


_DECODER = msgspec.json.Decoder(_ExchangeInfo)


def parse_exchange_info(body: bytes) -> tuple[dict[str, Instrument], RateLimits]:
    """Return the perpetual contracts by symbol, and the rate limits.

    A contract that lacks a filter cannot be traded and is left out with one log line. Raises WireError when the body
    is not an exchangeInfo at all.
    """
    try:
        info = _DECODER.decode(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise WireError(f"exchangeInfo cannot be read ({error})") from None
    instruments: dict[str, Instrument] = {}
    incomplete: list[str] = []
    for symbol in info.symbols:
        if symbol.contract_type not in _PERPETUAL:
            continue
        instrument = _instrument(symbol)
        if instrument is None:
            incomplete.append(symbol.symbol)
        else:
            instruments[symbol.symbol] = instrument
    if incomplete:
        _LOG.warning("exchangeInfo: %d contracts lack a filter and are left out, %s", len(incomplete), incomplete[:5])
    return instruments, _rate_limits(info.rate_limits)


def _instrument(symbol: _Symbol) -> Instrument | None:
    filters = {item.filter_type: item for item in symbol.filters}
    try:
        price, lot, band = filters["PRICE_FILTER"], filters["LOT_SIZE"], filters["PERCENT_PRICE"]
        market_lot = filters.get("MARKET_LOT_SIZE", lot)
        return Instrument(
            symbol=symbol.symbol,
            base_asset=symbol.base_asset,
            quote_asset=symbol.quote_asset,
            status=_status(symbol.status),
            tick_size=_positive(price.tick_size),
            min_price=_given(price.min_price),
            max_price=_given(price.max_price),
            step_size=_positive(lot.step_size),
            min_quantity=_given(lot.min_qty),
            max_quantity=_given(lot.max_qty),
            market_step_size=_positive(market_lot.step_size),
            market_min_quantity=_given(market_lot.min_qty),
            market_max_quantity=_given(market_lot.max_qty),
            min_notional=_given(filters["MIN_NOTIONAL"].notional),
            multiplier_up=_positive(band.multiplier_up),
            multiplier_down=_positive(band.multiplier_down),
            market_take_bound=symbol.market_take_bound,
            trigger_protect=symbol.trigger_protect,
            max_open_orders=_max_orders(filters.get("MAX_NUM_ORDERS")),
            price_precision=symbol.price_precision,
            quantity_precision=symbol.quantity_precision,
        )
    except (KeyError, WireError):
        return None


def _max_orders(item: _Filter | None) -> int:
    return item.limit if item is not None and item.limit is not None else 200


def _status(word: str) -> SymbolStatus:
    try:
        return SymbolStatus(word)
    except ValueError:
        return SymbolStatus.UNKNOWN


def _given(value: Decimal | None) -> Decimal:
    if value is None:
        raise WireError("a filter lacks a value")
    return value


def _positive(value: Decimal | None) -> Decimal:
    if value is None or value <= 0:
        raise WireError("a filter's step must be above zero")
    return value


def _rate_limits(limits: list[_Limit]) -> RateLimits:
    stated = {(item.rate_limit_type, item.interval, item.interval_num): item.limit for item in limits}
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
