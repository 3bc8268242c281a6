"""One account in a replay: the live trading core, and the live matching engine that answers it in the same instant.

Nothing is lost between the two and nothing takes time, so the core hears of each thing once: where an answer and a
report tell the same, the answer is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from backtest.adapter import account_update, algo_report, execute, order_update
from core.commands import SubmitOrder, VenueReply
from core.effects import Effect, Notify, Persist, Send
from core.enums import Leg, OrderType
from core.events import (
    AlgoOrderUpdated,
    MarkPriceUpdated,
    OrderUpdated,
    PriceUpdated,
    SignalReceived,
    StreamChanged,
    StreamKind,
    StreamState,
    Tick,
)
from core.instrument import Instrument
from core.limits import TradingConfig
from core.orders import FillReport, LeverageBracket
from core.records import AlertRecord, Record
from core.restore import RestoredState
from core.signal import Signal
from executor.core import TradingCore
from executor.inputs import Input
from executor.policy import ExecutionPolicy
from executor.setup import SetupReport, SymbolSetup
from simulator.engine.config import ExchangeConfig
from simulator.engine.events import AccountEvent, AlgoEvent, ExchangeEvent, OrderEvent
from simulator.engine.exchange import Exchange
from simulator.market.candle_market import CandleMarket
from simulator.market.catalog import SymbolSpec

_STOP_MARKET, _TAKE_PROFIT_MARKET = OrderType.STOP_MARKET, OrderType.TAKE_PROFIT_MARKET
_FOREVER_MS = 1 << 60
HOUR_MS = 3_600_000
"""What the core asks about happened in this very instant: the engine need not remember longer."""
POLICY = ExecutionPolicy(
    # Books and venue cannot drift apart here, and nothing has to survive: no periodic comparison, no running records.
    reconcile_every_ms=_FOREVER_MS,
    account_stat_every_ms=_FOREVER_MS,
    mark_every_ms=_FOREVER_MS,
    writes_steps=False,
    recent_trades_max=8,
)


class Instruments:
    """The core's source of filters."""

    def __init__(self, specs: Mapping[str, SymbolSpec]) -> None:
        self._instruments = {symbol: spec.instrument for symbol, spec in specs.items()}

    def instruments(self) -> Mapping[str, Instrument]:
        return self._instruments


class ReplayVenue:
    """Core and engine on one virtual clock. `on_record` and `on_alert` hear what the core writes and tells,
    `on_fill` each execution before the core does. With `writes_orders` the core writes all rows of a trade, not only
    its position.

    Entries wait for `release`: what is decided at a close is carried out at the next open.
    """

    def __init__(
        self,
        market: CandleMarket,
        config: TradingConfig,
        deposit: Decimal,
        *,
        on_record: Callable[[Record], None],
        on_alert: Callable[[AlertRecord], None],
        on_fill: Callable[[FillReport], None],
        writes_orders: bool = False,
    ) -> None:
        self._market = market
        self._on_record = on_record
        self._on_alert = on_alert
        self._on_fill = on_fill
        self._waiting: dict[str, list[SubmitOrder]] = {}
        self._events: list[Input] = []
        self.exchange = Exchange(
            market,
            ExchangeConfig(
                deposit=deposit,
                is_journalled=False,
                tells_steps=False,
                tells_market=False,
                history_ms=HOUR_MS,
                max_algo_orders=1 << 30,
            ),
        )
        setup = {symbol: self._set_up(symbol, config) for symbol in market.specs}
        self.exchange.drain_events()
        self._core = TradingCore(
            config,
            Instruments(market.specs),
            epoch=1,
            next_intent=1,
            restored=RestoredState(),
            setup=SetupReport(config.position_mode, setup),
            policy=replace(POLICY, writes_orders=writes_orders),
        )
        # Only where payments are known has the core something to hear of funding.
        self._marks = {symbol: market.mark_price(symbol) for symbol in market.specs if market.has_funding(symbol)}
        now = market.now_ms
        for kind in (StreamKind.MARKET, StreamKind.USER):
            self._handle(StreamChanged(kind, StreamState.READY, "", now, now))
        for symbol, price in self._marks.items():
            self._tell_mark(symbol, price, now)
        self._handle(Tick(now, now))

    def _set_up(self, symbol: str, config: TradingConfig) -> SymbolSetup:
        limits, spec = config.symbols[symbol], self._market.specs[symbol]
        leverage = min(limits.leverage, spec.brackets[0].initial_leverage)
        self.exchange.set_leverage(symbol, leverage)
        if self.exchange.symbol_config(symbol)[0].margin_type is not limits.margin_type:
            self.exchange.set_margin_type(symbol, limits.margin_type)
        ladder = tuple(
            LeverageBracket(
                row.bracket, row.initial_leverage, row.notional_floor, row.notional_cap, row.maint_margin_ratio, row.cum
            )
            for row in spec.brackets
        )
        return SymbolSetup(symbol, leverage, limits.margin_type, ladder, spec.maker_fee, spec.taker_fee)

    # --- what the replay does -----------------------------------------------------------------------------------

    def trade_at(self, symbol: str, price: Decimal, time_ms: int) -> None:
        """Let the market trade at `price`: resting stops and targets trigger, liquidations happen."""
        self._market.set_price(symbol, price, time_ms)
        self._take(self.exchange.advance(time_ms), time_ms)

    def tell_price(self, symbol: str, price: Decimal, time_ms: int) -> None:
        """Let the core know the last price, together with what comes next; the engine values positions at it."""
        self._market.value(symbol, price)
        if symbol in self._marks:
            self._tell_mark(symbol, price, time_ms)
        self._events.append(PriceUpdated(symbol, price, time_ms, time_ms))

    def advance(self, time_ms: int) -> None:
        """Let time pass without a trade: funding is paid, and the core hears when the next is due."""
        self._take(self.exchange.advance(time_ms), time_ms)
        for symbol, price in self._marks.items():
            self._tell_mark(symbol, price, time_ms)

    def signal(self, signal: Signal) -> bool:
        """Hand a signal to the core; True when it wants to enter. Its order waits for `release`."""
        self._events.append(SignalReceived(signal, signal.event_time_ms, signal.received_time_ms))
        self._run(holds_entries=True)
        return signal.symbol in self._waiting

    def release(self, symbol: str, time_ms: int) -> None:
        """Carry out the waiting entry of `symbol` at the present price."""
        for command in self._waiting.pop(symbol, ()):
            self._send(command, time_ms)
        self._run()

    def tick(self, time_ms: int) -> None:
        """Let the core's timers run: a new day, holding times, repetitions."""
        self._handle(Tick(time_ms, time_ms))

    def levels(self, symbol: str) -> tuple[Decimal | None, Decimal | None]:
        """Return the prices at which stop and target of the open position trigger."""
        stop = target = None
        for order_type, trigger_price in self.exchange.open_triggers(symbol):
            if order_type is _STOP_MARKET:
                stop = trigger_price
            elif order_type is _TAKE_PROFIT_MARKET:
                target = trigger_price
        return stop, target

    def _tell_mark(self, symbol: str, price: Decimal, time_ms: int) -> None:
        """Let the core hear the mark price, which is the last price that it was told, and when funding is due.

        A candle's close comes a millisecond early here (its own last, not the next one's first), so funding does too:
        a window around it holds back the signals of the same candles as over sockets.
        """
        self._marks[symbol] = price
        due_ms = self._market.next_funding_ms(symbol) - 1  # at which rate, nobody knows before
        self._events.append(MarkPriceUpdated(symbol, price, price, Decimal(0), due_ms, time_ms, time_ms))

    # --- between the two ----------------------------------------------------------------------------------------

    def _handle(self, event: Input) -> None:
        self._run()
        self._carry_out(self._core.handle(event), event.received_time_ms)
        self._run()

    def _run(self, *, holds_entries: bool = False) -> None:
        """Tell the core what has happened, and go on until nothing follows from that."""
        while events := self._events:
            self._events = []
            effects = self._core.handle_together(events)
            self._carry_out(effects, events[-1].received_time_ms, holds_entries=holds_entries)

    def _carry_out(self, effects: list[Effect], time_ms: int, *, holds_entries: bool = False) -> None:
        for effect in effects:
            kind = type(effect)
            if kind is Send:
                command = effect.command
                if holds_entries and isinstance(command, SubmitOrder) and command.approved.order.leg is Leg.ENTRY:
                    self._waiting.setdefault(command.approved.order.symbol, []).append(command)
                else:
                    self._send(command, time_ms)
            elif kind is Persist:
                for record in effect.records:
                    self._on_record(record)
            elif kind is Notify:
                self._on_alert(effect.alert)

    def _send(self, command: object, time_ms: int) -> None:
        outcome = execute(self.exchange, command, answers_ended=False)  # type: ignore[arg-type]
        if events := self.exchange.drain_events():
            self._queue(events, time_ms)
        self._events.append(VenueReply(command, outcome, time_ms, time_ms))  # type: ignore[arg-type]

    def _take(self, events: list[ExchangeEvent], time_ms: int) -> None:
        if events:
            self._queue(events, time_ms)
        self._run()

    def _queue(self, events: list[ExchangeEvent], time_ms: int) -> None:
        """Queue what the core has to hear: ended conditional orders first, so that it need not ask about them."""
        told: list[Input] = []
        for event in events:
            kind = type(event)
            if kind is AlgoEvent:
                self._events.append(AlgoOrderUpdated(algo_report(event.order), event.time_ms, time_ms))
            elif kind is OrderEvent:
                told.append(self._execution(event, time_ms))
            elif kind is AccountEvent:
                told.append(account_update(event, time_ms))
        self._events.extend(told)

    def _execution(self, event: OrderEvent, time_ms: int) -> OrderUpdated:
        update = order_update(event, time_ms)
        if update.report.fill is not None:
            self._on_fill(update.report.fill)
        return update
