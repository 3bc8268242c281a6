"""One run: an exchange, a trader after another, a plan of what goes wrong, and witnesses that see what really happens.

Everything talks through loopback sockets and the official SDK; time is virtual, so a minute costs what is worked in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from random import Random

from core.candle import INTERVAL_MS
from core.enums import Direction, MarginType
from core.errors import TraderError
from core.events import CandleClosed
from core.records import AlertRecord
from core.signal import ExitPlan, Signal
from exchange.binance.settings import VenueSettings
from executor.policy import ExecutionPolicy
from simulator.engine.errors import ApiError
from simulator.faults.actions import AccountActions
from simulator.faults.injector import FaultInjector
from simulator.faults.kinds import FaultKind
from simulator.faults.schedule import Fault
from simulator.options import ExchangeOptions
from tests.simulation.sockets.acts import Acts
from tests.simulation.sockets.ledger_view import LedgerView
from tests.simulation.sockets.liveness import Liveness
from tests.simulation.sockets.plan import FAULTS_MS, Plan
from tests.simulation.sockets.safety import Safety
from tests.simulation.sockets.sites import Pair, pair_of
from tests.simulation.sockets.trader import ACCOUNT, REST_MS, Trader
from tests.simulation.sockets.venue import WatchedExchange
from tests.simulation.sockets.virtual_loop import BASE_MS, LoopClock, VirtualLoop, virtual_loop

SPEED = 30.0
"""Market time per gateway time: half an hour of market in a minute, so that stops and targets are reached."""
START_MS = BASE_MS - BASE_MS % 28_800_000 - 600_000
"""Ten market minutes before a funding time."""
LOOK_S = 0.25
LAG_S_MAX = 0.25
"""Trader and exchange share the loop here: the trader's own share is smaller."""

SETTLE_S = 110.0
"""Within so long after the faults have stopped everything agrees: 60 s of doubt, and a comparison after it."""
READY_WITHIN_S = 60.0
API_KEY = "simulated-public-key-4f1d"
API_SECRET = "canary-secret-93b1c7e2"
HELD_KINDS = (FaultKind.LIQUIDATE, FaultKind.ADL, FaultKind.SETTLE)


class World:
    """Everything of one run. `violations` is empty when every invariant held."""

    def __init__(self, plan: Plan, folder: Path, loop: VirtualLoop) -> None:
        self.plan = plan
        self.loop = loop
        self.symbols = plan.symbols
        self.rng = Random(f"run:{plan.seed}")
        self.clock = LoopClock(loop)
        self.injector = FaultInjector(plan.schedule())
        self.deposit = Decimal(10_000)
        self.ledger = LedgerView(folder / "trader.db")
        self.ledger_ready = False
        self.violations: list[str] = []
        self.log: list[str] = []
        self.alert_titles: Counter[str] = Counter()
        self.alert_keys: set[str] = set()
        self.acts_done: Counter[str] = Counter()
        self.moments_killed: Counter[str] = Counter()
        self.struck: Counter[FaultKind] = Counter()
        self.foreign_trades: set[tuple[str, int]] = set()
        self.trader: Trader | None = None
        self.zombie: Trader | None = None
        self.is_starting = True
        self.is_over = False
        self.starts = 0
        self.started_ms = self.clock.now_ms()
        self.settled_after_s = 0.0
        self.cpu_s = 0.0
        self._folder = folder
        self._candles: dict[str, int] = {}
        self._signals = 0
        self._must_restart_at: float | None = None
        self.safety = Safety(self)
        self.liveness = Liveness(self)
        self.exchange = WatchedExchange(
            ExchangeOptions(
                seed=plan.seed % 5,
                symbols=plan.symbols,
                speed=SPEED,
                start_ms=START_MS,
                api_key=API_KEY,
                api_secret=API_SECRET,
                deposit=self.deposit,
            ),
            self.clock,
            self.injector,
            lambda: self.safety,
            self.rng,
        )
        loop.held = self.exchange.held

    @property
    def now_ms(self) -> int:
        return self.clock.now_ms()

    def fail(self, text: str) -> None:
        self.violations.append(f"{(self.now_ms - self.started_ms) / 1000:.3f} s {text}")
        self.note(f"VIOLATION {text}")

    def note(self, text: str) -> None:
        self.log.append(f"{(self.now_ms - self.started_ms) / 1000:9.3f} {text}")

    def is_disk_failing(self) -> bool:
        return self.trader is not None and self.trader.disk.trouble not in (None, "gone")

    # -- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        info = await self.exchange.start()
        stop = asyncio.Event()
        serving = asyncio.create_task(self.exchange.run(stop))
        self.settings = VenueSettings(info.rest_url, info.stream_url, API_KEY, API_SECRET)
        self.started_ms = self.now_ms
        self.injector.start(self.started_ms)
        supervisor = asyncio.create_task(self._keep_a_trader())
        helpers = [asyncio.create_task(work) for work in (self._look(), Acts(self).run(), self._signal_now_and_then())]
        try:
            await asyncio.sleep(FAULTS_MS / 1000)
            await self._calm(helpers[1:])
            await self._settle()
            self._check_end()
            if self.plan.seed % 3 == 0 and not self.violations:
                await self._check_restart()
        finally:
            self.is_over = True
            for task in helpers:
                task.cancel()
            if self.trader is not None:
                self.trader.kill()
            supervisor.cancel()
            await asyncio.gather(*helpers, supervisor, return_exceptions=True)
            stop.set()
            await asyncio.gather(serving, return_exceptions=True)
            await self.exchange.close()
            self.ledger.close()
        for task in (*helpers, serving):
            if not task.cancelled() and task.exception() is not None:
                raise task.exception()  # type: ignore[misc]

    def _prepare_account(self) -> None:
        """Leave the account other than the trader wants it, so that it has to set everything."""
        exchange = self.exchange.exchange
        with contextlib.suppress(ApiError):  # refused while there is a position or an order
            exchange.set_position_mode(True)
        for symbol in self.symbols:
            with contextlib.suppress(ApiError):
                exchange.set_margin_type(symbol, MarginType.CROSSED)
                exchange.set_leverage(symbol, 20)
        self.exchange.publish(exchange.drain_events())

    def coverage(self) -> Counter[Pair]:
        """Return how often each hook took hold at each call site."""
        return Counter(pair for fired in self.injector.fired for pair in pair_of(fired))

    # -- processes --------------------------------------------------------------------------------------------------

    async def _keep_a_trader(self) -> None:
        """Start a process whenever there is none, as a service manager does."""
        while not self.is_over:
            self.starts += 1
            self.is_starting = True
            self.safety.excuses.forget_pause()
            self.note(f"start {self.starts}")
            if self.plan.starts_hedged and self.now_ms - self.started_ms < FAULTS_MS:
                self._prepare_account()
            trader = self.trader = self._make_trader()
            work = asyncio.create_task(trader.run())
            try:
                ready_by = self.loop.time() + READY_WITHIN_S
                while not work.done() and not trader.is_ready and self.loop.time() < ready_by:
                    await self._expect_nothing(0.1)
                if trader.is_ready:
                    self.is_starting, self.loop.counts_work = False, True
                    self.note("ready")
                    self.safety.excuses.extend(2_000)
                elif not work.done():
                    trader.kill()
                await asyncio.wait({work})
            finally:
                self.is_starting, self.loop.counts_work = True, False
                if not work.done():
                    trader.kill()
                await asyncio.gather(work, return_exceptions=True)
            self._take_end(trader)
            await self._expect_nothing(self.rng.uniform(0.3, 5.0))

    async def _expect_nothing(self, for_s: float) -> None:
        until = self.loop.time() + for_s
        while self.loop.time() < until:
            self.safety.excuses.extend(1_000)
            await asyncio.sleep(min(0.5, until - self.loop.time()))

    def _make_trader(self) -> Trader:
        clock = LoopClock(self.loop)
        policy = ExecutionPolicy(stop_failed_rest_ms=REST_MS, authentication_rest_ms=REST_MS)
        self._candles.clear()
        return Trader(
            self.settings,
            self.ledger.file,
            clock,
            is_isolated=self.plan.is_isolated,
            on_alert=self._hear_alert,
            on_candle=self._hear_candle,
            on_database=self._database_is_there,
            policy=policy,
        )

    def _database_is_there(self) -> None:
        if not self.ledger_ready:
            self.ledger.prepare()
            self.ledger_ready = True

    def _take_end(self, trader: Trader) -> None:
        self.note(f"ended: {trader.killed_at or trader.failure or 'stopped'}")
        if trader.killed_at:
            self.moments_killed[trader.killed_at] += 1
        if trader.failure is not None and not isinstance(trader.failure, TraderError):
            failure = trader.failure
            self.fail(f"CRASH of the process: {type(failure).__name__}: {failure}")
        if trader.is_dead:
            self._mark_holder_gone()

    def _mark_holder_gone(self) -> None:
        """The lease names a process that no longer runs, as after kill -9."""
        with sqlite3.connect(self.ledger.file) as connection:
            connection.execute("UPDATE lease SET process_start = 'gone' WHERE account = ?", (ACCOUNT,))
        connection.close()

    # -- what is heard ----------------------------------------------------------------------------------------------

    def _hear_alert(self, alert: AlertRecord) -> None:
        if alert.dedupe_key in self.alert_keys:
            return
        self.alert_keys.add(alert.dedupe_key)
        self.alert_titles[alert.title] += 1
        self.note(f"alert {alert.title}: {alert.text[:160]}")
        if alert.title.startswith("Internal error"):
            self.fail(f"CRASH inside the core: {alert.text}")
        if alert.dedupe_key.startswith("flat:"):
            self._check_flat(alert.dedupe_key.split(":")[1])

    def _check_flat(self, scope: str) -> None:
        """I-16: "flat" is said when it is true, never before."""
        self.safety.checks["I-16"] += 1
        held = {
            leg[0]: quantity
            for leg, quantity in self.safety.position.items()
            if quantity and scope in ("*", leg[0]) and leg[0] not in self.safety.foreign
        }
        if held:
            self.fail(f"I-16 said that {scope} is flat, and holds {held}")

    def _hear_candle(self, event: CandleClosed) -> None:
        """I-19: closed candles of the past only, one after another."""
        candle = event.candle
        self.safety.checks["I-19"] += 1
        if candle.close_time_ms > self.exchange.market.now_ms:
            self.fail(f"I-19 {candle.symbol} {candle.open_time_ms}: not over yet")
        before = self._candles.get(candle.symbol)
        if before is not None and candle.open_time_ms != before + INTERVAL_MS["1m"]:
            self.fail(f"I-19 {candle.symbol}: {candle.open_time_ms} after {before}")
        self._candles[candle.symbol] = candle.open_time_ms

    # -- what happens -----------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.safety.look()

    async def _signal_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self.rng.uniform(0.5, 3.0))
            trader = self.trader
            is_early = self.now_ms - self.started_ms < self.plan.trades_from_ms
            if trader is None or not trader.is_ready or is_early:
                continue
            self._signals += 1
            symbol = self.rng.choice(self.symbols)
            stop = Decimal(self.rng.randint(10, 40)) / 10_000
            market = self.exchange.market
            signal = Signal(
                f"signal-{self._signals}",
                "simulated",
                symbol,
                "1m",
                self.rng.choice((Direction.LONG, Direction.SHORT)),
                market.now_ms,
                market.last_price(symbol),
                ExitPlan(stop, stop * 2),
                market.now_ms,
                self.now_ms,
                max_holding_ms=self.rng.choice((None, 120_000)),
            )
            await trader.signals.publish_all([signal])

    # -- the end ----------------------------------------------------------------------------------------------------

    async def _calm(self, helpers: list[asyncio.Task[None]]) -> None:
        """Let everything that goes wrong stop; what a person has changed is set back by that person."""
        for task in helpers:
            task.cancel()
        self.injector.clear()
        self.note("calm")
        trader = self.trader
        if trader is not None:
            trader.kill_after = None
            if trader.disk.trouble != "gone":
                trader.disk.trouble = None
            trader.clock.skew_ms = 0
        self.safety.excuses.end_of_faults()
        self._set_one_way()

    def _set_one_way(self) -> None:
        """Whoever switched to hedge mode cancels and closes what he has there, and switches back."""
        exchange = self.exchange.exchange
        if not exchange.is_hedge_mode:
            return
        person = AccountActions(exchange)
        for order in exchange.open_orders():
            exchange.cancel_order(order.symbol, client_id=order.client_order_id)
        for held in exchange.positions():
            person.run(Fault(0, FaultKind.HAND_CLOSE, target=held.symbol))
        exchange.set_position_mode(False)
        self.exchange.publish(exchange.drain_events())

    async def _settle(self) -> None:
        """Wait until all agree; what does not within the bound is a violation."""
        began = self.loop.time()
        problems = ["not looked yet"]
        while problems and self.loop.time() - began < SETTLE_S:
            await asyncio.sleep(1.0)
            await self._flush()
            problems = self.liveness.problems()
        self.settled_after_s = self.loop.time() - began
        for text in problems:
            self.fail(f"after {SETTLE_S:g} s without faults: {text}")

    async def _flush(self) -> None:
        trader = self.trader
        if trader is None or trader.database is None or trader.is_dead or not trader.is_ready:
            return
        with self.loop.working():
            await trader.database.writer.commit([])

    def _check_end(self) -> None:
        for text in self.liveness.alerts():
            self.fail(text)
        self.safety.checks.update(("I-20", "I-23"))
        if self.loop.longest_work_s > LAG_S_MAX:
            self.fail(f"I-23 the event loop was kept busy for {self.loop.longest_work_s * 1_000:.0f} ms in one go")
        for file in sorted(self._folder.iterdir()):
            if API_SECRET.encode() in file.read_bytes():
                self.fail(f"I-20 the secret stands in {file.name}")

    async def _check_restart(self) -> None:
        """I-24: killed twice more it agrees each time, and no row of what is over has changed."""
        for number in (1, 2):
            over = self.ledger.over()
            self.note(f"restart {number}")
            trader = self.trader
            assert trader is not None
            trader.killed_at = "at the end"
            trader.kill()
            while self.trader is trader:  # noqa: ASYNC110 - another task puts the next one there
                await asyncio.sleep(0.1)
            await self._settle()
            self.safety.checks["I-24"] += 1
            for row in sorted(over - self.ledger.over(), key=str)[:3]:
                self.fail(f"I-24 a restart changed {row}")


def run_world(plan: Plan, folder: Path) -> World:
    """Run one plan to its end in a folder of its own."""

    async def play() -> World:
        world = World(plan, folder, loop)
        began = time.process_time()
        await world.run()
        world.cpu_s = time.process_time() - began
        return world

    with virtual_loop() as loop:
        return loop.run_until_complete(play())
