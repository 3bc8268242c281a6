"""Trader and exchange in one process on a virtual clock: strategies, trading core, database; now and then a fault.

The parts are the shipped ones (strategy runner, trading core, alerts, database writer, matching engine); only the wire
between core and engine is played, with delays and losses. A restart is the death of the core: the next one knows what
is in the file.
"""

from __future__ import annotations

import heapq
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from alerts.sink import OutboxSink
from backtest.adapter import event_of, execute
from benchmarks.soak_disk import SoakDisk
from benchmarks.soak_market import MINUTE_MS, SoakMarket
from core.candle import DAY_MS
from core.commands import (
    CancelOrder,
    IdentifyOrder,
    InDoubt,
    Outcome,
    QueryOrder,
    RefusalKind,
    Refused,
    SubmitOrder,
    VenueCommand,
    VenueReply,
)
from core.effects import Effect, Notify, Send
from core.enums import AlgoStatus, MarginType, OrderType, PositionMode, Side
from core.events import (
    CandleClosed,
    Event,
    MarkPriceUpdated,
    PriceUpdated,
    SignalReceived,
    StreamChanged,
    StreamKind,
    StreamState,
    Tick,
)
from core.instrument import Instrument
from core.limits import RiskLimits, SizingPolicy, SymbolLimits, TradingConfig
from core.signal import Signal
from executor.core import TradingCore
from executor.inputs import Input, PersistenceFailed, PersistenceRecovered
from executor.policy import ExecutionPolicy
from executor.setup import SetupReport, SymbolSetup
from simulator.engine.config import ExchangeConfig
from simulator.engine.errors import ApiError
from simulator.engine.events import ExchangeEvent
from simulator.engine.exchange import Exchange
from simulator.engine.requests import PlaceOrder
from simulator.market.model import MarketTrade
from strategies.loader import StrategyBook
from strategies.runner import StrategyRunner

PROJECT = Path(__file__).resolve().parent.parent
START_MS = 1_767_225_600_000  # 2026-01-01 00:00 UTC: virtual days are UTC days
STEP_MS = 10_000
TICK_MS, CALM_TICK_MS, BUSY_MS = 250, 5_000, 2_000
"""While an order is on its way the core is ticked as it is live, otherwise less often."""
WRITE_TIMEOUT_MS, RECV_WINDOW_MS = 5_000, 5_000
DEPOSIT = Decimal(1_000_000)
LEVERAGE = 20
HISTORY_MS = 2 * DAY_MS
"""What the engine remembers of the past: its memory is not what is measured."""
STRATEGY = "vwap_reversion"
_PARAMETERS = """\
enabled: true
symbols: all
interval: 1m
k: 2.0
adx_window: 14
adx_max: 20
target_pct: 0.6
stop_pct: 0.3
max_holding_minutes: 45
"""
LASTING = (
    "lost_before", "lost_after", "late_apply", "throttle", "reads_fail", "lookup_lag",
    "mute", "stream_lost", "duplicate", "reorder", "delay", "disk", "thin",
)  # fmt: skip
INSTANT = ("hand_close", "hand_part", "hand_cancel", "vanish", "gap", "liquidate")
_WRITE_FAULTS = ("lost_before", "lost_after", "late_apply", "throttle")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is soaked. `restarts` are shares of the run after which the core dies."""

    days: float
    symbols: int
    fault_every_ms: int
    seed: int
    folder: Path
    restarts: tuple[float, ...] = (0.1, 0.3)


class SoakWorld:
    """One run. `accepted` counts what the exchange took, by client id; `faults` what was done to it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = Random(f"soak {plan.seed}")
        self.now_ms = START_MS
        self.end_ms = START_MS + int(plan.days * DAY_MS)
        self.market = SoakMarket(plan.symbols, plan.seed, START_MS, STEP_MS)
        self.symbols = tuple(self.market.specs)
        config = ExchangeConfig(
            deposit=DEPOSIT, default_leverage=LEVERAGE, is_journalled=False, history_ms=HISTORY_MS, seed=plan.seed
        )
        self.exchange = Exchange(self.market, config)
        self.disk = SoakDisk(plan.folder / "trader.db")
        self.faults: Counter[str] = Counter()
        self.active: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.starts = 0
        self.events = 0
        self.trades_closed = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        self._is_alive = False
        self._write_failed = False
        self._busy_until_ms = self._tick_at_ms = START_MS
        self._told_until_ms = 0
        self._instruments = {name: spec.instrument for name, spec in self.market.specs.items()}
        self.runner = StrategyRunner(self._strategies(), self.disk, list, _publish_nothing)  # type: ignore[arg-type]
        self._start_core()
        self.at(START_MS + STEP_MS, self._market_step)
        self._plan_faults()

    def _strategies(self) -> StrategyBook:
        folder = self.plan.folder / "strategies" / STRATEGY
        folder.mkdir(parents=True)
        shutil.copy(PROJECT / "strategies" / STRATEGY / "strategy.py", folder)
        (folder / "default.yaml").write_text(_PARAMETERS)
        return StrategyBook(folder.parent, self.symbols)

    # --- time ---------------------------------------------------------------------------------------------------

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._queue, (max(time_ms, self.now_ms), self._number, action))

    def run_until(self, time_ms: int) -> None:
        while self._queue and self._queue[0][0] <= time_ms:
            self.now_ms, _, action = heapq.heappop(self._queue)
            action()
        self.now_ms = time_ms

    # --- the trader's process -----------------------------------------------------------------------------------

    def _start_core(self) -> None:
        self.starts += 1
        restored = self.disk.restore(self.now_ms)
        setup = SetupReport(
            PositionMode.ONEWAY, {s: SymbolSetup(s, LEVERAGE, MarginType.CROSSED) for s in self.symbols}
        )
        self.core = TradingCore(
            self._config(),
            self,
            epoch=self.starts,
            next_intent=restored.next_intent,
            restored=restored,
            setup=setup,
            policy=ExecutionPolicy(stop_failed_rest_ms=600_000),
        )
        self.alerts = OutboxSink(self.disk)  # type: ignore[arg-type]
        self._is_alive = True
        for symbol in self.symbols:
            self._tell_price(symbol)
        self._stream(StreamKind.MARKET, StreamState.READY)
        self._stream(StreamKind.USER, StreamState.READY)
        self._stay_busy()

    def _config(self) -> TradingConfig:
        limits = RiskLimits(
            max_total_exposure_fraction=None,
            max_open_positions=25,
            max_daily_loss_fraction=None,
            max_drawdown_fraction=None,
            stale_data_ms=3 * STEP_MS,
        )
        symbols = {s: SymbolLimits(s, leverage=LEVERAGE, volatility_rest_ms=MINUTE_MS) for s in self.symbols}
        return TradingConfig(PositionMode.ONEWAY, "USDT", SizingPolicy(risk_usd=Decimal(10)), limits, symbols)

    def instruments(self) -> dict[str, Instrument]:
        return self._instruments

    def restart(self) -> None:
        """Kill the core; the next one starts some seconds later from the file."""
        self.faults["restart"] += 1
        self._is_alive = False
        self.disk.crash()
        self._write_failed = False
        self.at(self.now_ms + self.rng.randint(1_000, 20_000), self._start_core)

    def feed(self, event: Input) -> None:
        if not self._is_alive:
            return
        self.events += 1
        self._carry_out(self.core.handle(event))

    def _carry_out(self, effects: list[Effect]) -> None:
        for index, effect in enumerate(effects):
            if isinstance(effect, Notify):
                self.alerts.emit(effect.alert)
            elif isinstance(effect, Send):
                self._request(effect.command)
            elif not effect.durable:
                self.disk.submit(effect.records)
            elif not self.disk.commit(effect.records):
                self._write_failed = True
                rest = [] if effect.proceed_on_failure else [e for e in effects[index + 1 :] if isinstance(e, Send)]
                dropped = tuple(e.command for e in rest)
                self.at(self.now_ms, lambda d=dropped: self.feed(PersistenceFailed("disk", self.now_ms, d)))  # type: ignore[misc]
                if not effect.proceed_on_failure:
                    return

    def _stay_busy(self) -> None:
        self._busy_until_ms = self.now_ms + BUSY_MS
        if self._tick_at_ms > self.now_ms + TICK_MS or self._tick_at_ms <= self.now_ms:
            self._tick_at_ms = self.now_ms + TICK_MS
            self.at(self._tick_at_ms, self._tick)

    def _tick(self) -> None:
        if self.now_ms != self._tick_at_ms:
            return
        self.feed(Tick(self.now_ms, self.now_ms))
        if self.disk.flush() and self._write_failed:
            self._write_failed = False
            self.feed(PersistenceRecovered(self.now_ms))
        self._tick_at_ms = self.now_ms + (TICK_MS if self.now_ms < self._busy_until_ms else CALM_TICK_MS)
        self.at(self._tick_at_ms, self._tick)

    # --- the wire -----------------------------------------------------------------------------------------------

    def _request(self, command: VenueCommand) -> None:
        is_write = isinstance(command, SubmitOrder | CancelOrder)
        if is_write or isinstance(command, QueryOrder | IdentifyOrder):
            self._stay_busy()
        start, sent_ms = self.starts, self.now_ms
        fault = self._request_fault(is_write)
        there, back = self.rng.randint(2, 60), self.rng.randint(2, 60)

        def answer(outcome: Outcome) -> None:
            if self._is_alive and start == self.starts:
                expires_ms = sent_ms + RECV_WINDOW_MS + 500 if isinstance(command, SubmitOrder) else None
                self.feed(VenueReply(command, outcome, self.now_ms, self.now_ms, expires_ms))

        def arrive() -> None:
            outcome = self._at_exchange(command)
            if fault not in ("late_apply", "lost_after"):
                self.at(self.now_ms + back, lambda: answer(outcome))

        if fault == "throttle":
            self.at(sent_ms + there, lambda: answer(Refused(RefusalKind.THROTTLED, -1003, "slow down")))
        elif fault in ("lost_before", "reads_fail"):
            self.at(sent_ms + self.rng.choice((50, WRITE_TIMEOUT_MS)), lambda: answer(InDoubt(fault)))
        else:
            if fault == "late_apply":
                there = self.rng.randint(100, RECV_WINDOW_MS - 1)
            if fault is not None:
                self.at(sent_ms + 150, lambda: answer(InDoubt(fault)))
            self.at(sent_ms + there, arrive)

    def _request_fault(self, is_write: bool) -> str | None:
        present = [kind for kind in (_WRITE_FAULTS if is_write else ("reads_fail",)) if self.active[kind]]
        return self.rng.choice(present) if present and self.rng.random() < 0.6 else None

    def _at_exchange(self, command: VenueCommand) -> Outcome:
        self._deliver(self.exchange.advance(self.now_ms))
        if isinstance(command, QueryOrder | IdentifyOrder) and self.active["lookup_lag"]:
            return Refused(RefusalKind.NOT_FOUND, -2013, "Order does not exist.")
        outcome = execute(self.exchange, command)
        if isinstance(command, SubmitOrder) and not isinstance(outcome, Refused):
            self.accepted[command.approved.order.client_order_id] += 1
        self._deliver(self.exchange.drain_events())
        return outcome

    def _deliver(self, events: list[ExchangeEvent]) -> None:
        for event in events:
            if type(event) is MarketTrade:
                self._tell_price(event.symbol)
            elif not (self.active["mute"] or self.active["stream_lost"]):
                private = event_of(event, self.now_ms)
                if private is not None:
                    self._send_event(private)

    def _send_event(self, event: Event) -> None:
        delay = self.rng.randint(1, 40) + (self.rng.randint(0, 3_000) if self.active["delay"] else 0)
        arrival = self.now_ms + delay
        if not self.active["reorder"]:
            arrival = max(arrival, self._told_until_ms)
        self._told_until_ms = max(arrival, self._told_until_ms)
        start = self.starts

        def tell() -> None:
            if start == self.starts:
                self._stay_busy()
                self.feed(event)

        for _ in range(2 if self.active["duplicate"] else 1):
            self.at(arrival, tell)

    def _tell_price(self, symbol: str) -> None:
        price, now = self.market.last_price(symbol), self.now_ms
        self.feed(PriceUpdated(symbol, price, now, now))
        if now % MINUTE_MS == 0 or not self.exchange.is_flat(symbol):
            due_ms = self.market.next_funding_ms(symbol)
            self.feed(MarkPriceUpdated(symbol, price, price, self.market.funding_rate(symbol), due_ms, now, now))

    def _stream(self, kind: StreamKind, state: StreamState) -> None:
        self.feed(StreamChanged(kind, state, "", self.now_ms, self.now_ms))

    def _market_step(self) -> None:
        self._deliver(self.exchange.advance(self.now_ms))
        if self.now_ms % MINUTE_MS == 0:
            for candle in self.market.close_candles(self.now_ms - MINUTE_MS):
                for signal in self.runner.on_candle(CandleClosed(candle, self.now_ms, self.now_ms)):
                    self._signal(signal)
        self.at(self.now_ms + STEP_MS, self._market_step)

    def _signal(self, signal: Signal) -> None:
        if self.now_ms < self.end_ms - 15 * MINUTE_MS:
            self.feed(SignalReceived(signal, self.now_ms, self.now_ms))

    # --- faults -------------------------------------------------------------------------------------------------

    def _plan_faults(self) -> None:
        """Spread faults over the run, but for its last quarter of an hour: then everything has to agree."""
        for share in self.plan.restarts:
            self.at(START_MS + int(share * (self.end_ms - START_MS)) + 7_000, self.restart)
        self._plan_next()

    def _plan_next(self) -> None:
        at = self.now_ms + int(self.plan.fault_every_ms * self.rng.uniform(0.5, 1.5))
        if at < self.end_ms - 15 * MINUTE_MS:
            self.at(at, self._inject)

    def _inject(self) -> None:
        self._plan_next()
        kind = self.rng.choice(LASTING + INSTANT)
        if kind in INSTANT:
            self.faults[kind] += bool(getattr(self, f"_do_{kind}")())
            return
        self.faults[kind] += 1
        self.active[kind] += 1
        self._apply(kind)
        self.at(self.now_ms + self.rng.randint(500, 40_000), lambda: self._heal(kind))

    def _heal(self, kind: str) -> None:
        self.active[kind] -= 1
        self._apply(kind)

    def _apply(self, kind: str) -> None:
        is_on = self.active[kind] > 0
        if kind == "disk":
            self.disk.failing = is_on
        elif kind == "thin":
            self.market.thin = is_on
        elif kind == "stream_lost":
            self._stream(StreamKind.USER, StreamState.LOST if is_on else StreamState.READY)

    def _do_gap(self) -> bool:
        self.market.jump(self.rng.choice(self.symbols), self.rng.choice((-0.03, 0.03)))
        return True

    @contextmanager
    def _unheard(self, chance: float) -> Iterator[None]:
        """Act on the exchange; sometimes the news of it are lost."""
        self._deliver(self.exchange.advance(self.now_ms))
        is_lost = self.rng.random() < chance
        self.active["mute"] += is_lost
        yield
        self._deliver(self.exchange.drain_events())
        self.active["mute"] -= is_lost

    def _held(self) -> list[Any]:
        return [p for p in self.exchange.positions() if p.quantity != 0]

    def _by_hand(self, share: Decimal) -> bool:
        held = self._held()
        if not held:
            return False
        position = self.rng.choice(held)
        step = self.instruments()[position.symbol].market_step_size
        quantity = (abs(position.quantity) * share / step).to_integral_value() * step
        if quantity <= 0:
            return False
        side = Side.SELL if position.quantity > 0 else Side.BUY
        with self._unheard(0.3):
            try:
                self.exchange.place_order(
                    PlaceOrder(
                        position.symbol, side, OrderType.MARKET, quantity=quantity, reduce_only=True,
                        client_order_id=f"web_{self._number}",
                    )
                )  # fmt: skip
            except ApiError:
                return False
        return True

    def _do_hand_close(self) -> bool:
        return self._by_hand(Decimal(1))

    def _do_hand_part(self) -> bool:
        return self._by_hand(Decimal("0.4"))

    def _cancel_stop(self, unheard: float) -> bool:
        algos = self.exchange.open_algos()
        stops = [a for a in algos if a.type is OrderType.STOP_MARKET and a.status is AlgoStatus.NEW]
        if stops:
            with self._unheard(unheard):
                self.exchange.cancel_algo(client_algo_id=self.rng.choice(stops).client_algo_id)
        return bool(stops)

    def _do_hand_cancel(self) -> bool:
        return self._cancel_stop(0.0)

    def _do_vanish(self) -> bool:
        return self._cancel_stop(1.0)

    def _do_liquidate(self) -> bool:
        held = self._held()
        if held:
            with self._unheard(0.2):
                self.exchange.liquidate(self.rng.choice(held).symbol)
        return bool(held)


async def _publish_nothing(_signals: Sequence[Signal]) -> None:
    """Signals are taken from `on_candle` itself."""
