"""The market as a fault bends it: price gaps, and contracts whose status, filters or brackets have changed.

A gap moves every price of the symbol by one factor from its moment on: trades, quotes, marks and candles, also those
that were forming. Candles that had ended and quantities stay as they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from core.enums import SymbolStatus
from core.instrument import Instrument, Rounding
from simulator.faults.injector import FaultInjector
from simulator.faults.kinds import FaultKind, Site
from simulator.faults.schedule import Fault
from simulator.market.catalog import SymbolSpec
from simulator.market.model import FundingPoint, KlineClosed, KlineView, MarketEvent, MarketTrade
from simulator.server.ports import Levels, MarketFeed

EIGHT = Decimal("0.00000001")
ONE = Decimal(1)
K = FaultKind


class FaultyMarket:
    """Stands before any market. `refresh` takes the present faults over; between two calls nothing changes."""

    def __init__(self, market: MarketFeed, injector: FaultInjector) -> None:
        self._market = market
        self._injector = injector
        self.specs: dict[str, SymbolSpec] = dict(market.specs)
        self._sound = dict(market.specs)
        self._states: dict[str, tuple[Fault | None, ...]] = {}
        self._moves: dict[str, list[tuple[int, Decimal]]] = {}
        """Symbol to (market time, factor of all prices from then on), in rising order."""

    def refresh(self, now_ms: int) -> bool:
        """Take over what holds at gateway time `now_ms`; returns whether any contract has changed."""
        if not self._states and not self._moves and not self._injector.is_any(Site.MATCHING, now_ms):
            return False
        holding, is_changed = self._injector.holding, False
        for symbol in self._sound:
            self._move(symbol, holding(K.PRICE_GAP, symbol, now_ms))
            state = tuple(
                holding(kind, symbol, now_ms) for kind in (K.SYMBOL_STATUS, K.FILTER_CHANGE, K.BRACKET_CHANGE)
            )
            if state != self._states.get(symbol, (None, None, None)):
                self._states[symbol] = state
                self.specs[symbol] = _changed(self._sound[symbol], *state)
                is_changed = True
        return is_changed

    def _move(self, symbol: str, fault: Fault | None) -> None:
        factor = ONE if fault is None else ONE + fault.value("-0.05")
        if factor != self._factor(symbol):
            self._moves.setdefault(symbol, []).append((self._market.now_ms, factor))

    def _factor(self, symbol: str) -> Decimal:
        moves = self._moves.get(symbol)
        return moves[-1][1] if moves else ONE

    def _factors(self, symbol: str, from_ms: int, to_ms: int) -> list[Decimal]:
        """Return the factors that held at some time from `from_ms` to `to_ms` (both included), oldest first."""
        found = [ONE]
        for at_ms, factor in self._moves.get(symbol, ()):
            if at_ms > to_ms:
                break
            found = [factor] if at_ms <= from_ms else [*found, factor]
        return found

    # -- prices -----------------------------------------------------------------------------------------------------

    def _price(self, symbol: str, price: Decimal, factor: Decimal) -> Decimal:
        return price if factor == ONE else self._sound[symbol].instrument.round_price(price * factor, Rounding.NEAREST)

    def _exact(self, symbol: str, price: Decimal) -> Decimal:
        factor = self._factor(symbol)
        return price if factor == ONE else (price * factor).quantize(EIGHT, rounding=ROUND_HALF_EVEN)

    def last_price(self, symbol: str) -> Decimal:
        price, moves = self._market.last_price(symbol), self._moves.get(symbol)
        return price if moves is None else self._price(symbol, price, moves[-1][1])

    def best_bid(self, symbol: str) -> Decimal:
        return self._price(symbol, self._market.best_bid(symbol), self._factor(symbol))

    def best_ask(self, symbol: str) -> Decimal:
        return self._price(symbol, self._market.best_ask(symbol), self._factor(symbol))

    def mark_price(self, symbol: str) -> Decimal:
        price = self._market.mark_price(symbol)
        return self._exact(symbol, price) if symbol in self._moves else price

    def index_price(self, symbol: str) -> Decimal:
        return self._exact(symbol, self._market.index_price(symbol))

    def depth(self, symbol: str, limit: int) -> tuple[Levels, Levels]:
        bids, asks = self._market.depth(symbol, limit)
        factor = self._factor(symbol)
        if factor == ONE:
            return bids, asks
        return self._levels(symbol, bids, factor), self._levels(symbol, asks, factor)

    def _levels(self, symbol: str, levels: Levels, factor: Decimal) -> Levels:
        """Return the levels at their moved prices; those that fall on one tick become one."""
        moved: dict[Decimal, Decimal] = {}
        for price, quantity in levels:
            at = self._price(symbol, price, factor)
            moved[at] = moved.get(at, Decimal(0)) + quantity
        return list(moved.items())

    # -- trades and candles -----------------------------------------------------------------------------------------

    def advance(self, to_ms: int) -> Iterator[MarketEvent]:
        events = self._market.advance(to_ms)
        return self._moved(events) if self._moves else events

    def _moved(self, events: Iterator[MarketEvent]) -> Iterator[MarketEvent]:
        moves_of = self._moves
        for event in events:
            moves = moves_of.get(event.symbol)
            if moves is None:
                yield event
            elif isinstance(event, MarketTrade):
                at_ms, factor = moves[-1]
                yield event if factor is ONE and event.time_ms >= at_ms else self._trade(event)
            else:
                yield KlineClosed(event.symbol, event.interval, self._candle(event.symbol, event.kline), event.time_ms)

    def _trade(self, trade: MarketTrade) -> MarketTrade:
        at_ms, factor = self._moves[trade.symbol][-1]
        if trade.time_ms < at_ms:
            factor = self._factors(trade.symbol, trade.time_ms, trade.time_ms)[-1]
        return trade if factor == ONE else replace(trade, price=self._price(trade.symbol, trade.price, factor))

    def _candle(self, symbol: str, view: KlineView) -> KlineView:
        """Return the candle over the factors of its time: open by the first, close by the last, extremes by all."""
        factors = self._factors(symbol, view.open_time_ms, min(view.close_time_ms, self._market.now_ms))
        if factors == [ONE]:
            return view
        mean = sum(factors, Decimal(0)) / len(factors)
        return replace(
            view,
            open=self._price(symbol, view.open, factors[0]),
            high=max(self._price(symbol, view.high, factor) for factor in factors),
            low=min(self._price(symbol, view.low, factor) for factor in factors),
            close=self._price(symbol, view.close, factors[-1]),
            quote_volume=(view.quote_volume * mean).quantize(EIGHT),
            taker_buy_quote_volume=(view.taker_buy_quote_volume * mean).quantize(EIGHT),
        )

    def klines(
        self, symbol: str, interval: str, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[KlineView]:
        views = self._market.klines(symbol, interval, start_ms, end_ms, limit)
        return views if symbol not in self._moves else [self._candle(symbol, view) for view in views]

    def forming(self, symbol: str, interval: str) -> KlineView:
        view = self._market.forming(symbol, interval)
        return view if symbol not in self._moves else self._candle(symbol, view)

    def agg_trades(
        self, symbol: str, from_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[MarketTrade]:
        trades = self._market.agg_trades(symbol, from_id, start_ms, end_ms, limit)
        return trades if symbol not in self._moves else [self._trade(trade) for trade in trades]

    # -- what no fault touches --------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        return self._market.now_ms

    @property
    def start_ms(self) -> int:
        return self._market.start_ms

    @property
    def end_ms(self) -> int | None:
        return self._market.end_ms

    def funding_rate(self, symbol: str) -> Decimal:
        return self._market.funding_rate(symbol)

    def next_funding_ms(self, symbol: str) -> int:
        return self._market.next_funding_ms(symbol)

    def funding_history(self, symbol: str, start_ms: int | None, end_ms: int | None, limit: int) -> list[FundingPoint]:
        return self._market.funding_history(symbol, start_ms, end_ms, limit)


def _changed(spec: SymbolSpec, status: Fault | None, filters: Fault | None, brackets: Fault | None) -> SymbolSpec:
    """Return the contract as the faults that hold leave it."""
    changes: dict[str, Any] = {}
    instrument = spec.instrument
    if status is not None:
        instrument = replace(instrument, status=SymbolStatus(status.detail or "SETTLING"))
    if filters is not None:
        instrument = _coarser(instrument, filters)
    if brackets is not None:
        factor = brackets.value("0.5")
        changes["brackets"] = tuple(
            replace(
                bracket,
                notional_floor=bracket.notional_floor * factor,
                notional_cap=bracket.notional_cap * factor,
                cum=bracket.cum * factor,
            )
            for bracket in spec.brackets
        )
    return replace(spec, instrument=instrument, **changes)


def _coarser(instrument: Instrument, fault: Fault) -> Instrument:
    """Return the filters with the named one (min_notional, tick or step) `amount` times as large."""
    factor = fault.value("2")
    if fault.detail == "tick":
        tick = instrument.tick_size * factor
        return replace(instrument, tick_size=tick, min_price=max(tick, instrument.round_price(tick, Rounding.UP)))
    if fault.detail == "step":
        step = instrument.step_size * factor
        market_step = instrument.market_step_size * factor
        return replace(
            instrument,
            step_size=step,
            min_quantity=step,
            market_step_size=market_step,
            market_min_quantity=market_step,
        )
    return replace(instrument, min_notional=instrument.min_notional * factor)
