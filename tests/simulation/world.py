"""The in-process simulation: core and engine on one virtual clock, with seeded faults on everything between them.

One seed is one world: the same seed gives the same history, byte for byte. Requests and events travel with random
delays and may be lost on either way; the process may die at any effect; the disk may fail; a person may interfere.
Faults stop some minutes before the end, so that liveness can be checked too.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from random import Random

from backtest.adapter import event_of, execute
from core.commands import (
    InDoubt,
    Outcome,
    QueryOrder,
    RefusalKind,
    Refused,
    SubmitOrder,
    VenueCommand,
    VenueReply,
)
from core.effects import Effect, Notify, Persist, Send
from core.enums import AlgoStatus, Direction, Leg, MarginType, OrderType, PositionMode, PositionSide, Side
from core.events import (
    Event,
    MarkPriceUpdated,
    PriceUpdated,
    SignalReceived,
    StreamChanged,
    StreamKind,
    StreamState,
    Tick,
)
from core.ids import ClientOrderId
from core.limits import RiskLimits, SizingPolicy, SymbolLimits, TradingConfig
from core.records import AlertRecord
from core.signal import ExitPlan, Signal
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
from tests.simulation.market import WalkMarket
from tests.simulation.store import Store

D = Decimal
START_MS = 1_760_000_000_000
SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT")
TICK_MS = 250
BUSY_MS = 3_000
"""After a request, an answer or private news the core is ticked finely for so long, else with every market step."""
MARK_EVERY = 3
"""The mark price is told with every third trade of a symbol."""
REST_MS = 60_000
"""Halts after a failed stop or a liquidation last a minute here, not a day: a halted symbol proves nothing."""
WRITE_TIMEOUT_MS = 5_000
RECV_WINDOW_MS = 5_000
QUIET_MS = 15_000
"""The market rests at the end, so that the last news can arrive."""

FAULTS = (
    "lost_before",
    "lost_after",
    "late_apply",
    "throttle",
    "reads_fail",
    "lookup_lag",
    "mute",
    "stream_lost",
    "duplicate",
    "reorder",
    "delay",
    "disk",
    "kill",
    "hand_close",
    "hand_part",
    "hand_add",
    "hand_cancel",
    "vanish",
    "thin",
    "gap",
    "liquidate",
)
EXCUSES = ("lost_before", "lost_after", "late_apply", "throttle", "reads_fail", "mute", "stream_lost", "delay")
RECOVERY_MS = 10_000
"""A request under way when a fault ends still takes its time-out, and a restart its first comparison."""
UNHEARD_MS = 40_000
"""What nobody told is found by the lease check every 30 s."""
INSTANT = {"kill", "hand_close", "hand_part", "hand_add", "hand_cancel", "vanish", "gap", "liquidate"}


_ROUTINE = (Tick, PriceUpdated, MarkPriceUpdated)


def trading_config(mode: PositionMode = PositionMode.ONEWAY) -> TradingConfig:
    symbols = {
        s: SymbolLimits(s, leverage=20, max_exposure_fraction=D("0.5"), volatility_rest_ms=REST_MS) for s in SYMBOLS
    }
    limits = RiskLimits(max_daily_loss_fraction=None, max_drawdown_fraction=None)
    return TradingConfig(mode, "USDT", SizingPolicy(risk_usd=D(10)), limits, symbols)


class World:
    """Everything that exists in one run. `violations` collects what the watcher and the store complain about."""

    def __init__(
        self,
        seed: int,
        *,
        minutes: int = 10,
        calm_minutes: int = 4,
        faults: bool = True,
        hedge: bool = False,
        signal_pause_s: int = 7,
        fault_pause_ms: int = 15_000,
        symbols: int = 3,
        step_ms: int = 1_000,
        trace: bool = False,
    ) -> None:
        self.seed = seed
        self.rng = Random(f"world:{seed}")
        self.now_ms = START_MS
        self.end_ms = START_MS + minutes * 60_000
        self.fault_end_ms = self.end_ms - calm_minutes * 60_000
        self.symbols = SYMBOLS[:symbols]
        self._step_ms = step_ms
        self.market = WalkMarket(self.symbols, seed, START_MS, step_ms)
        self.exchange = Exchange(self.market, ExchangeConfig(deposit=D(10_000), default_leverage=20))
        self.mode = PositionMode.HEDGE if hedge else PositionMode.ONEWAY
        if hedge:
            self.exchange.set_position_mode(True)
        self.store = Store()
        self.log: list[str] = []
        self.alerts: list[AlertRecord] = []
        self.planned: list[str] = []
        self.injected: Counter[str] = Counter()
        self.active: Counter[str] = Counter()
        self.violations: list[str] = []
        self.on_exchange: list[Callable[[ExchangeEvent], None]] = []
        self.accepted: Counter[str] = Counter()
        self.foreign: set[str] = set()
        self.excused_until_ms = START_MS
        self.alive = False
        self.epoch = 0
        self.kill_in: int | None = None
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._seq = 0
        self._last_event_at = 0
        self._write_failed = False
        self._signals = 0
        self._signal_chance = step_ms / 1_000 / signal_pause_s
        self._fault_pause_ms = fault_pause_ms
        self._trace = trace
        self._busy_until_ms = START_MS
        self._tick_at_ms = START_MS + TICK_MS
        self._prices_told = 0
        self._start_process()
        self.at(START_MS + TICK_MS, self._tick)
        self.at(START_MS + step_ms, self._market_step)
        if faults:
            self._plan_faults()

    # --- time ---------------------------------------------------------------------------------------------------

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        self._seq += 1
        heapq.heappush(self._queue, (max(time_ms, self.now_ms), self._seq, action))

    def run(self) -> None:
        while self._queue and self._queue[0][0] <= self.end_ms:
            self.now_ms, _, action = heapq.heappop(self._queue)
            action()

    def is_excused(self) -> bool:
        """True while the trader cannot reach the exchange, cannot know, or has just become able to again."""
        return not self.alive or any(self.active[kind] for kind in EXCUSES) or self.now_ms < self.excused_until_ms

    def excuse(self, for_ms: int) -> None:
        self.excused_until_ms = max(self.excused_until_ms, self.now_ms + for_ms)

    # --- process ------------------------------------------------------------------------------------------------

    def _start_process(self) -> None:
        self.epoch += 1
        restored = self.store.restore()
        setup = SetupReport(self.mode, {s: SymbolSetup(s, 20, MarginType.CROSSED) for s in self.symbols})
        config = trading_config(self.mode)
        self.core = TradingCore(
            config,
            self,
            epoch=self.epoch,
            next_intent=restored.next_intent,
            restored=restored,
            setup=setup,
            policy=ExecutionPolicy(stop_failed_rest_ms=REST_MS),
        )
        self.alive = True
        self.excuse(RECOVERY_MS)
        for symbol in self.symbols:
            self._tell_price(symbol)
        self.at(self.now_ms + self.rng.randint(50, 2_000), self._stream_ready(self.epoch))
        self.feed(StreamChanged(StreamKind.MARKET, StreamState.READY, "", self.now_ms, self.now_ms))

    def _stream_ready(self, epoch: int) -> Callable[[], None]:
        def ready() -> None:
            if self.alive and epoch == self.epoch:
                self.feed(StreamChanged(StreamKind.USER, StreamState.READY, "", self.now_ms, self.now_ms))

        return ready

    def instruments(self) -> dict[str, object]:
        return {symbol: spec.instrument for symbol, spec in self.market.specs.items()}

    def kill(self) -> None:
        if self.alive:
            self.alive = False
            self.kill_in = None
            self.store.crash()
            self._write_failed = False
            self.log.append(f"{self.now_ms} killed")
            self.at(self.now_ms + self.rng.randint(200, 20_000), self._start_process)

    def feed(self, event: Input) -> None:
        if not self.alive:
            return
        if self._trace:
            self.log.append(f"{self.now_ms} > {event}")
        if not isinstance(event, _ROUTINE):
            self._stay_busy()
        self._carry_out(self.core.handle(event))

    def _carry_out(self, effects: list[Effect]) -> None:
        for index, effect in enumerate(effects):
            if self.kill_in is not None:
                self.kill_in -= 1
                if self.kill_in < 0:
                    self.kill()
            if not self.alive:
                return
            if self._trace:
                self.log.append(f"{self.now_ms} < {effect}")
            if isinstance(effect, Persist):
                if not effect.durable:
                    self.store.submit(effect.records)
                elif not self._commit(effect, effects[index + 1 :]):
                    return
            elif isinstance(effect, Notify):
                self.alerts.append(effect.alert)
                self.log.append(f"{self.now_ms} alert {effect.alert.title}")
            else:
                self._stay_busy()
                self._request(effect.command)

    def _commit(self, effect: Persist, rest: list[Effect]) -> bool:
        """One symbol's lane: effects of other symbols in the same step are not dropped with it."""
        if self.store.commit(effect.records):
            return True
        self._write_failed = True
        dropped: tuple[VenueCommand, ...] = ()
        if not effect.proceed_on_failure:
            dropped = tuple(e.command for e in rest if isinstance(e, Send))
        failed = PersistenceFailed("disk full", self.now_ms, dropped)
        self.at(self.now_ms, lambda: self.feed(failed))
        return effect.proceed_on_failure

    # --- network ------------------------------------------------------------------------------------------------

    def _request(self, command: VenueCommand) -> None:
        """Send a command to the exchange through whatever is wrong with the network now."""
        epoch, sent_ms = self.epoch, self.now_ms
        there = sent_ms + self.rng.randint(2, 60)
        back = self.rng.randint(2, 60)
        is_write = type(command).__name__ in ("SubmitOrder", "CancelOrder")
        fault = self._request_fault(is_write)
        if fault == "throttle":
            self.at(there + back, self._answer(command, Refused(RefusalKind.THROTTLED, -1003, "x"), epoch, sent_ms))
            return
        if fault in ("lost_before", "reads_fail"):
            wait = self.rng.choice((50, WRITE_TIMEOUT_MS))
            self.at(sent_ms + wait, self._answer(command, InDoubt(fault), epoch, sent_ms))
            return
        if fault == "late_apply":
            there = sent_ms + self.rng.randint(100, RECV_WINDOW_MS - 1)
            self.at(sent_ms + 100, self._answer(command, InDoubt(fault), epoch, sent_ms))
        if fault == "lost_after":
            wait = self.rng.choice((150, WRITE_TIMEOUT_MS))
            self.at(sent_ms + wait, self._answer(command, InDoubt(fault), epoch, sent_ms))

        def arrive() -> None:
            outcome = self._at_exchange(command)
            if fault not in ("late_apply", "lost_after"):
                self.at(self.now_ms + back, self._answer(command, outcome, epoch, sent_ms))

        self.at(there, arrive)

    def _request_fault(self, is_write: bool) -> str | None:
        kinds = ("lost_before", "lost_after", "late_apply", "throttle") if is_write else ("reads_fail",)
        present = [kind for kind in kinds if self.active[kind]]
        return self.rng.choice(present) if present and self.rng.random() < 0.6 else None

    def _at_exchange(self, command: VenueCommand) -> Outcome:
        self._advance()
        if isinstance(command, QueryOrder) and self.active["lookup_lag"]:
            return Refused(RefusalKind.NOT_FOUND, -2013, "Order does not exist.")
        outcome = execute(self.exchange, command)
        if isinstance(command, SubmitOrder):
            client_id = command.approved.order.client_order_id
            if not isinstance(outcome, Refused):
                self.accepted[client_id] += 1
                self._check_committed(client_id)
            self.log.append(f"{self.now_ms} {client_id} {type(outcome).__name__}")
        self._deliver(self.exchange.drain_events())
        return outcome

    def _check_committed(self, client_id: str) -> None:
        """I-2: whatever the exchange accepts from us was on disk first (exits of a broken disk excepted)."""
        if client_id not in self.store.rows.orders and not (self.store.failing or self._write_failed):
            self.violations.append(f"I-2 {client_id}: accepted, but not on disk")

    def _answer(self, command: VenueCommand, outcome: Outcome, epoch: int, sent_ms: int) -> Callable[[], None]:
        def answer() -> None:
            if self.alive and epoch == self.epoch:
                expires = sent_ms + RECV_WINDOW_MS + 500 if isinstance(command, SubmitOrder) else None
                self.feed(VenueReply(command, outcome, self.now_ms, self.now_ms, expires))

        return answer

    def _advance(self) -> None:
        self._deliver(self.exchange.advance(min(self.now_ms, self.end_ms - QUIET_MS)))

    def _deliver(self, events: list[ExchangeEvent]) -> None:
        """Show engine events to the watchers at once and to the core through the streams."""
        for event in events:
            for watcher in self.on_exchange:
                watcher(event)
            if isinstance(event, MarketTrade):
                self._tell_price(event.symbol)
                continue
            if self.active["mute"] or self.active["stream_lost"]:
                continue
            private = event_of(event, self.now_ms)
            if private is not None:
                self._send_event(private)

    def _send_event(self, event: Event) -> None:
        delay = self.rng.randint(1, 40)
        if self.active["delay"]:
            delay += self.rng.randint(0, 3_000)
        arrival = self.now_ms + delay
        if not self.active["reorder"]:
            arrival = max(arrival, self._last_event_at)
        self._last_event_at = max(self._last_event_at, arrival)
        copies = 2 if self.active["duplicate"] and self.rng.random() < 0.5 else 1
        epoch = self.epoch
        for _ in range(copies):
            self.at(arrival, lambda: self.feed(event) if epoch == self.epoch else None)

    def _tell_price(self, symbol: str) -> None:
        price, now = self.market.last_price(symbol), self.now_ms
        self.feed(PriceUpdated(symbol, price, now, now))
        self._prices_told += 1
        if self._prices_told // len(self.symbols) % MARK_EVERY == 0 or self.now_ms < self._busy_until_ms:
            funding_ms = self.market.next_funding_ms(symbol)
            self.feed(MarkPriceUpdated(symbol, price, price, D(0), funding_ms, now, now))

    # --- regular life -------------------------------------------------------------------------------------------

    def _stay_busy(self) -> None:
        """Tick finely from now on, for a while."""
        self._busy_until_ms = self.now_ms + BUSY_MS
        if self._tick_at_ms > self.now_ms + TICK_MS:
            self._tick_at_ms = self.now_ms + TICK_MS
            self.at(self._tick_at_ms, self._tick)

    def _tick(self) -> None:
        if self.now_ms != self._tick_at_ms:
            return
        self.feed(Tick(self.now_ms, self.now_ms))
        if self.store.flush() and self._write_failed:
            self._write_failed = False
            self.feed(PersistenceRecovered(self.now_ms))
        self._tick_at_ms = self.now_ms + (TICK_MS if self.now_ms < self._busy_until_ms else self._step_ms)
        self.at(self._tick_at_ms, self._tick)

    def _market_step(self) -> None:
        if self.now_ms > self.end_ms - QUIET_MS:
            return
        self._advance()
        if self.now_ms < self.end_ms - 120_000 and self.rng.random() < self._signal_chance:
            self._signal()
        self.at(self.now_ms + self._step_ms, self._market_step)

    def _signal(self) -> None:
        self._signals += 1
        symbol = self.rng.choice(self.symbols)
        stop = D(self.rng.randint(20, 60)) / 10_000
        signal = Signal(
            signal_id=f"sim:{self._signals}",
            strategy="sim",
            symbol=symbol,
            interval="1m",
            direction=self.rng.choice((Direction.LONG, Direction.SHORT)),
            candle_open_time_ms=self.now_ms,
            reference_price=self.market.last_price(symbol),
            exits=ExitPlan(stop_fraction=stop, target_fraction=stop * 2),
            event_time_ms=self.now_ms,
            received_time_ms=self.now_ms,
            max_holding_ms=self.rng.choice((None, 30_000, 90_000)),
        )
        self.feed(SignalReceived(signal, self.now_ms, self.now_ms))

    # --- faults -------------------------------------------------------------------------------------------------

    def _plan_faults(self) -> None:
        at = START_MS + 5_000
        while True:
            at += self.rng.randint(1_000, 2 * self._fault_pause_ms)
            if at >= self.fault_end_ms - 45_000:
                return
            kind = self.rng.choice(FAULTS)
            self.planned.append(kind)
            self.at(at, lambda kind=kind: self._inject(kind))

    def _inject(self, kind: str) -> None:
        self.injected[kind] += 1
        self.log.append(f"{self.now_ms} fault {kind}")
        if kind in INSTANT:
            getattr(self, f"_do_{kind}")()
            return
        self.active[kind] += 1
        if kind == "disk":
            self.store.failing = True
        if kind == "thin":
            self.market.thin = True
        if kind == "stream_lost":
            self.feed(StreamChanged(StreamKind.USER, StreamState.LOST, "", self.now_ms, self.now_ms))
        self.at(self.now_ms + self.rng.randint(500, 40_000), lambda: self._heal(kind))

    def _heal(self, kind: str) -> None:
        self.active[kind] -= 1
        if not self.active[kind]:
            del self.active[kind]
        if kind in EXCUSES:
            self.excuse(UNHEARD_MS if kind == "mute" else RECOVERY_MS)
        if kind == "disk":
            self.store.failing = bool(self.active["disk"])
        if kind == "thin":
            self.market.thin = bool(self.active["thin"])
        if kind == "stream_lost" and not self.active["stream_lost"]:
            self.feed(StreamChanged(StreamKind.USER, StreamState.READY, "", self.now_ms, self.now_ms))
        for name in ("disk", "thin", "stream_lost"):
            if not self.active[name]:
                del self.active[name]

    def _do_kill(self) -> None:
        self.kill_in = self.rng.randint(0, 12)
        if self.rng.random() < 0.3:
            self.kill()

    def _do_gap(self) -> None:
        self.market.jump[self.rng.choice(self.symbols)] = D(self.rng.choice((-3, 3))) / 100

    @contextmanager
    def _quietly(self, mute: bool) -> Iterator[None]:
        """Act on the exchange; with `mute` the events of it never reach the core."""
        self._advance()
        if mute:
            self.excuse(UNHEARD_MS)
            self.active["mute"] += 1
        yield
        self._deliver(self.exchange.drain_events())
        if mute:
            self.active["mute"] -= 1
            if not self.active["mute"]:
                del self.active["mute"]

    def _held(self) -> list[tuple[str, PositionSide, Decimal]]:
        return [(p.symbol, p.position_side, p.quantity) for p in self.exchange.positions() if p.quantity != 0]

    def _by_hand(self, leg: tuple[str, PositionSide], side: Side, quantity: Decimal, *, reduce_only: bool) -> None:
        request = PlaceOrder(
            leg[0],
            side,
            OrderType.MARKET,
            position_side=leg[1],
            quantity=quantity,
            reduce_only=True if reduce_only and self.mode is PositionMode.ONEWAY else None,
            client_order_id=f"web_{self._seq}",
        )
        try:
            self.exchange.place_order(request)
        except ApiError as error:
            self.log.append(f"{self.now_ms} hand refused {error.code}")

    def _do_hand_close(self) -> None:
        for symbol, position_side, quantity in self._held()[:1]:
            with self._quietly(self.rng.random() < 0.3):
                side = Side.SELL if quantity > 0 else Side.BUY
                self._by_hand((symbol, position_side), side, abs(quantity), reduce_only=True)

    def _do_hand_part(self) -> None:
        for symbol, position_side, quantity in self._held()[:1]:
            part = (abs(quantity) / 3).quantize(D("0.001"))
            if part > 0:
                with self._quietly(self.rng.random() < 0.3):
                    side = Side.SELL if quantity > 0 else Side.BUY
                    self._by_hand((symbol, position_side), side, part, reduce_only=True)

    def _do_hand_add(self) -> None:
        for symbol, position_side, quantity in self._held()[:1]:
            with self._quietly(self.rng.random() < 0.3):
                side = Side.BUY if quantity > 0 else Side.SELL
                self._by_hand((symbol, position_side), side, D("0.05"), reduce_only=False)

    def _stops(self) -> list[str]:
        algos = self.exchange.open_algos()
        return [a.client_algo_id for a in algos if a.type is OrderType.STOP_MARKET and a.status is AlgoStatus.NEW]

    def _do_hand_cancel(self) -> None:
        for client_id in self._stops()[:1]:
            with self._quietly(False):
                self.exchange.cancel_algo(client_algo_id=client_id)

    def _do_vanish(self) -> None:
        for client_id in self._stops()[:1]:
            with self._quietly(True):
                self.exchange.cancel_algo(client_algo_id=client_id)

    def _do_liquidate(self) -> None:
        for symbol, _, _ in self._held()[:1]:
            with self._quietly(self.rng.random() < 0.2):
                self.exchange.liquidate(symbol)


def leg_of(client_id: str) -> Leg | None:
    identity = ClientOrderId.parse(client_id)
    return None if identity is None else identity.leg
