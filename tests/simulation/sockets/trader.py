"""One process of the trader, wired as `main.py` does it, with numbered moments at which it can be killed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from alerts.connections import ConnectionAlerts
from alerts.sink import OutboxSink
from core.bus import Bus
from core.commands import VenueCommand, VenueReply
from core.enums import MarginType, PositionMode
from core.events import CandleClosed
from core.limits import RiskLimits, SizingPolicy, SymbolLimits, TradingConfig
from core.records import AlertRecord, Record
from core.router import EventRouter
from core.signal import Signal
from database.database import Database, open_database
from database.keeper import keep_lease
from exchange.binance.gateway import BinanceGateway
from exchange.binance.market_stream import BinanceMarketStream
from exchange.binance.settings import VenueSettings
from exchange.binance.user_stream import BinanceUserStream
from executor.core import TradingCore
from executor.policy import ExecutionPolicy
from executor.setup import prepare
from executor.shell import Executor
from strategies.feed import CandleFeed
from strategies.series import Phase
from tests.simulation.sockets.disk import Disk
from tests.simulation.sockets.virtual_loop import LoopClock, VirtualLoop

ACCOUNT = "simulated"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
REST_MS = 120_000
"""Market time that a symbol rests after trouble; in production a day or ten minutes, and nothing would be traded."""
HISTORY_MS = 10 * 60_000
SETUP_PAUSE_S = 1.0

Tap = Callable[[str], Awaitable[None]]
"""Called at each moment at which the process can be killed, with the moment's name. Never returns once it was."""


def trading_config(*, is_isolated: bool = False) -> TradingConfig:
    limits = RiskLimits(max_daily_loss_fraction=None, max_drawdown_fraction=None, max_open_positions=4)
    symbol = SymbolLimits(
        "",
        leverage=10,
        margin_type=MarginType.ISOLATED if is_isolated else MarginType.CROSSED,
        max_exposure_fraction=Decimal("0.5"),
        volatility_rest_ms=REST_MS,
    )
    symbols = {name: replace(symbol, symbol=name) for name in SYMBOLS}
    return TradingConfig(PositionMode.ONEWAY, "USDT", SizingPolicy(risk_usd=Decimal(10)), limits, symbols)


class TappedWriter:
    """The database writer; a commit is a moment before and a moment after. Time stands still while it writes."""

    def __init__(self, database: Database, tap: Tap) -> None:
        self._writer = database.writer
        self._tap = tap

    def submit(self, records: Sequence[Record]) -> None:
        self._writer.submit(records)

    async def commit(self, records: Sequence[Record]) -> None:
        await self._tap("before a commit")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        with loop.working():
            await self._writer.commit(records)
        await self._tap("after a commit")


class TappedVenue:
    """The gateway; a request is a moment before it leaves and a moment while it is in the air."""

    def __init__(self, gateway: BinanceGateway, tap: Tap) -> None:
        self._gateway = gateway
        self._tap = tap

    async def execute(self, command: VenueCommand) -> VenueReply:
        await self._tap("before a request")
        work = asyncio.ensure_future(self._gateway.execute(command))
        try:
            await self._tap("after a request has left")
            return await work
        finally:
            if not work.done():
                work.cancel()


class WatchedAlerts(OutboxSink):
    """The outbox; `on_alert` hears of each incident's first alert."""

    def __init__(self, writer: TappedWriter, on_alert: Callable[[AlertRecord], None]) -> None:
        super().__init__(writer)
        self._on_alert = on_alert

    def emit(self, alert: AlertRecord) -> None:
        self._on_alert(alert)
        super().emit(alert)


class Trader:
    """One process from start to stop or kill. `moments` counts the moments passed, by name."""

    def __init__(
        self,
        settings: VenueSettings,
        database_file: Path,
        clock: LoopClock,
        *,
        on_alert: Callable[[AlertRecord], None],
        on_candle: Callable[[CandleClosed], None],
        on_database: Callable[[], None],
        policy: ExecutionPolicy,
        is_isolated: bool = False,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.disk = Disk()
        self.moments: Counter[str] = Counter()
        self.is_dead = False
        self.is_ready = False
        self.kill_after: int | None = None
        """So many moments pass until the process is killed at one."""
        self.killed_at = ""
        self.lease_lost_ms: int | None = None
        self.failure: BaseException | None = None
        self.signals: Bus[Signal] = Bus(256)
        self.executor: Executor | None = None
        self._file = database_file
        self._on_alert = on_alert
        self._on_candle = on_candle
        self._on_database = on_database
        self._policy = policy
        self._is_isolated = is_isolated
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ended = asyncio.Event()
        self.gateway: BinanceGateway | None = None
        self.database: Database | None = None
        self.epoch = 0

    # -- moments ----------------------------------------------------------------------------------------------------

    async def _tap(self, moment: str) -> None:
        self.moments[moment] += 1
        if self.kill_after is not None:
            self.kill_after -= 1
            if self.kill_after < 0:
                self.killed_at = moment
                self.kill()
        if self.is_dead:
            await asyncio.Event().wait()  # until the task is cancelled

    def kill(self) -> None:
        """End the process at this instant: nothing more is written or sent; what has left is on its way."""
        if not self.is_dead:
            self.is_dead = True
            self.is_ready = False
            self.disk.trouble = "gone"
            self._ended.set()

    # -- life -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start, trade until killed, failed or stopped, and give everything back."""
        work = asyncio.create_task(self._trade())
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.is_ready = False
            for task in (work, ended, *self._tasks):
                task.cancel()
            results = await asyncio.gather(work, *self._tasks, return_exceptions=True)
            await asyncio.gather(ended, return_exceptions=True)
            failed = [r for r in results if isinstance(r, BaseException) and not isinstance(r, asyncio.CancelledError)]
            self.failure = failed[0] if failed else None
            await self._release()

    @property
    def is_alive(self) -> bool:
        return not self._ended.is_set()

    async def stop(self) -> None:
        """A clean stop, as after Ctrl-C."""
        if self.executor is not None and not self.is_dead:
            await self.executor.stop()
        self._ended.set()

    async def _release(self) -> None:
        if self.gateway is not None:
            await self.gateway.close()
        if self.database is None:
            return
        if not self.is_dead and self.lease_lost_ms is None:
            self.database.release_lease(ACCOUNT, self.epoch)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.database.close)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_end)

    def _on_task_end(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._ended.set()

    async def _trade(self) -> None:  # the order of main.py
        clock, config = self.clock, trading_config(is_isolated=self._is_isolated)
        self.database = database = open_database(f"sqlite:///{self._file}", "sim", backup=False, clock=clock)
        self._on_database()
        self.disk.attach(database)
        self.epoch = epoch = database.acquire_lease(ACCOUNT, "simulated trader", clock.now_ms())
        writer = TappedWriter(database, self._tap)
        alerts = WatchedAlerts(writer, self._on_alert)
        router = EventRouter(ConnectionAlerts(alerts, clock, epoch=epoch).on_change)
        self.gateway = gateway = BinanceGateway(self.settings, clock, on_event=router)
        await gateway.start()
        venue = TappedVenue(gateway, self._tap)
        setup = await prepare(venue, config, SYMBOLS)
        restored = database.restore_state(gateway.venue_time_ms())
        core = TradingCore(
            config, gateway, epoch=epoch, next_intent=1, restored=restored, setup=setup, policy=self._policy
        )
        self.executor = executor = Executor(
            core,
            venue,
            writer,
            alerts,
            clock,
            gateway,
            signals=self.signals,
            clock_offset_ms=lambda: gateway.clock_offset_ms + clock.now_ms() - clock.wall_ms(),
        )
        feed = CandleFeed(
            gateway,
            dict.fromkeys(SYMBOLS, ("1m",)),
            self._take_candle,
            history_start=lambda symbol, interval, open_ms: open_ms - HISTORY_MS,
            venue_time=gateway,
            clock=clock,
        )
        router.connect(candles=feed.accept, catch_up=feed.catch_up, events=executor.offer)
        market = BinanceMarketStream(self.settings, clock, SYMBOLS, router, venue_time=gateway.venue_time)
        user = BinanceUserStream(self.settings, gateway, clock, router, venue_time=gateway.venue_time)
        market.hold_while(executor.has_orders_leaving)
        user.hold_while(executor.has_requests_leaving)
        executor.gather_while(market.has_backlog)
        lease = keep_lease(
            database,
            ACCOUNT,
            epoch,
            clock,
            lambda: None,
            on_checked=executor.lease_checked,
            on_lost=self._lose_lease,
        )
        for work in (executor.run(), market.run(), user.run(), gateway.maintain(), feed.run(), lease):
            self._start(work)
        await asyncio.gather(market.ready(), user.ready())
        await executor.reconcile("start", 60.0)
        await feed.warm_up()
        self.is_ready = True
        await asyncio.Event().wait()

    def _take_candle(self, event: CandleClosed, phase: Phase) -> None:
        self._on_candle(event)

    def _lose_lease(self, detail: str) -> None:
        self.lease_lost_ms = self.clock.now_ms()
        assert self.executor is not None
        self.executor.lease_lost(detail)
