"""The in-process simulation: core and engine on one virtual clock, and one seeded schedule of what goes wrong.

One seed is one world: the same seed gives the same history, byte for byte. The venue's faults are those of the embedded
exchange (`simulator.faults`), the trader's own are the `acts`. Both stop some minutes before the end, so that
liveness can be checked too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from heapq import heappop as _pop
from heapq import heappush as _push
from random import Random
from typing import TYPE_CHECKING

from core.enums import PositionMode
from core.instrument import Instrument
from core.limits import RiskLimits, SizingPolicy, SymbolLimits, TradingConfig
from core.records import AlertRecord
from simulator.engine.config import ExchangeConfig
from simulator.engine.events import AccountEvent, ExchangeEvent
from simulator.faults.desk import FaultDesk
from simulator.faults.injector import FaultInjector
from simulator.faults.kinds import FaultKind, Site
from simulator.faults.schedule import Fault
from tests.simulation.acts import NOTHING, Act, plan_for
from tests.simulation.excuses import Excuses
from tests.simulation.hands import LEASE_TTL_MS, Hands
from tests.simulation.market import WalkMarket
from tests.simulation.process import REST_MS, Process
from tests.simulation.steps import Steps
from tests.simulation.store import Disk
from tests.simulation.watcher import Watcher
from tests.simulation.wire import Wire

if TYPE_CHECKING:
    from simulator.server.ports import MarketFeed

D = Decimal
START_MS = 1_760_000_000_000
SYMBOLS = ("AAAUSDT", "BBBUSDT", "CCCUSDT")
QUIET_MS = 15_000
"""The market rests at the end, so that the last news can arrive."""
FRAMES = frozenset(
    {
        FaultKind.STREAM_MUTE,
        FaultKind.STREAM_DROP,
        FaultKind.STREAM_MALFORMED,
        FaultKind.STREAM_REORDER,
        FaultKind.STREAM_DELAY,
        FaultKind.STREAM_DUPLICATE,
    }
)
LAST = 1 << 40
"""Above every number of what is queued."""
RESYNC_EVERY = 500
"""After so many private events positions and stops are compared wholly, not just where something happened."""


def trading_config(mode: PositionMode = PositionMode.ONEWAY, drawdown: Decimal | None = None) -> TradingConfig:
    symbols = {
        s: SymbolLimits(s, leverage=20, max_exposure_fraction=D("0.5"), volatility_rest_ms=REST_MS) for s in SYMBOLS
    }
    limits = RiskLimits(max_daily_loss_fraction=None, max_drawdown_fraction=drawdown)
    return TradingConfig(mode, "USDT", SizingPolicy(risk_usd=D(10)), limits, symbols)


class _Desk(FaultDesk):
    """The venue's fault desk; the streams are those of our processes."""

    def __init__(self, world: World) -> None:
        super().__init__(world.injector, lambda: world.now_ms)
        self._world = world

    def _happen(self, fault: Fault, now_ms: int) -> str:
        world, kind = self._world, fault.kind
        if kind in (FaultKind.STREAM_CLOSE, FaultKind.STREAM_HALF_OPEN, FaultKind.LISTEN_KEY_EXPIRE):
            return world.cut_streams(fault)
        if kind is FaultKind.FOREIGN_POSITION and world.is_ours(fault.target):
            return ""  # it would be no position of its own, but a hand on ours: those are other kinds
        subject = super()._happen(fault, now_ms)
        if kind is FaultKind.ALGO_VANISH and subject and fault.detail == "silent":
            for symbol in world.symbols:
                world.excuses.note_unheard(symbol)
        return subject


class World:
    """Everything that exists in one run. `violations` collects what the watchers complain about."""

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
        every_tick: bool = False,
    ) -> None:
        self.seed = seed
        self.rng = Random(f"world:{seed}")
        self.start_ms = self.now_ms = START_MS
        self.end_ms = START_MS + minutes * 60_000
        self._market_end_ms = self.end_ms - QUIET_MS
        self.symbols = SYMBOLS[:symbols]
        self.step_ms = step_ms
        self.is_traced = trace
        self.every_tick = every_tick
        """Send ticks also when the core says that they would do nothing."""
        self.log: list[str] = []
        self.violations: list[str] = []
        self.injected: Counter[str] = Counter()
        self.mixed: set[tuple[str, object]] = set()
        """Legs on which our entry met a foreign position."""
        self.is_hedge = hedge
        self.faults_end_ms = horizon_ms = (minutes - calm_minutes) * 60_000
        self.plan = plan_for(seed, horizon_ms, self.symbols, fault_pause_ms) if faults else NOTHING
        self.injector = FaultInjector(self.plan.schedule)
        self.injector.start(START_MS)
        self.excuses = Excuses(self)
        self.disk = Disk()
        self.watch = Watcher(self)
        self.wire = Wire(self)
        self.mode = PositionMode.HEDGE if hedge else PositionMode.ONEWAY
        self.config = trading_config(self.mode, D("0.01") if seed % 3 == 0 else None)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._seq = 0
        self._until_ms = 0
        self._seen = 0
        self._events = 0
        self.bends_frames = False
        self._build_exchange(hedge=hedge)
        self.epoch = 0
        self.lease_renewed_ms = START_MS
        self.processes: list[Process] = []
        self.process: Process | None = None
        self.steps = Steps(self, signal_pause_s)
        self.start_process()
        self.hands = Hands(self)
        self._schedule()

    def _build_exchange(self, *, hedge: bool) -> None:
        self.market = WalkMarket(self.symbols, self.seed, START_MS, self.step_ms)
        self.desk = _Desk(self)
        port: MarketFeed = self.market  # type: ignore[assignment]  # what only a server asks it does not have
        shown = self.desk.market(port) if self.plan is not NOTHING else port
        self.shown = shown
        config = ExchangeConfig(deposit=D(10_000), default_leverage=20, is_journalled=False, tells_market=False)
        self.exchange = self.desk.exchange(shown, config)
        self.market.heeds = self.exchange.heeds
        if hedge:
            self.exchange.set_position_mode(True)

    def _schedule(self) -> None:
        """Look at the faults whenever one begins or ends; let the acts happen at their times. Faults of requests and of
        the clock change nothing but what the next request meets: they need no look."""
        times = set()
        for fault in self.plan.schedule.faults:
            if fault.site not in (Site.REST, Site.CLOCK):
                times |= {fault.at_ms, fault.until_ms or fault.at_ms}
        for at_ms in sorted(times):
            self.at(START_MS + at_ms, self._tick_faults)
        for each in self.plan.happenings:
            self.at(START_MS + each.at_ms, lambda each=each: self.hands.do(each))

    # --- time -------------------------------------------------------------------------------------------------------

    def bends_prices(self) -> bool:
        """Whether a fault makes prices others than those of the walk, or may meet the frames that tell them."""
        now_ms, present = self.now_ms, self.injector.present
        if any(fault.kind is FaultKind.PRICE_GAP for fault in present(Site.MATCHING, now_ms)):
            return True
        return any(f.kind in FRAMES and f.target in ("", "market", "kline") for f in present(Site.STREAM, now_ms))

    @property
    def elapsed_ms(self) -> int:
        return self.now_ms - START_MS

    @property
    def is_resting(self) -> bool:
        """The market has ended; only the last news is on its way."""
        return self.now_ms > self._market_end_ms

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        self._seq = seq = self._seq + 1
        now_ms = self.now_ms
        _push(self._queue, (time_ms if time_ms > now_ms else now_ms, seq, action))

    def at_last(self, time_ms: int, action: Callable[[], None]) -> None:
        """Do `action` after everything else that happens at `time_ms`: ticks, of which some are left out."""
        self._seq = seq = self._seq + 1
        _push(self._queue, (time_ms, LAST + seq, action))

    def between(self, low: int, high: int) -> int:
        """Draw a whole number from `low` to below `high`: the very draw of `randrange`, without its checks."""
        width = high - low
        bits, draw = width.bit_length(), self.rng.getrandbits
        number = draw(bits)
        while number >= width:
            number = draw(bits)
        return low + number

    def run(self, until_ms: int | None = None) -> None:
        queue, disk = self._queue, self.disk
        end_ms = self._until_ms = until_ms or self.end_ms
        while queue and queue[0][0] <= end_ms:
            now_ms, _, action = _pop(queue)
            self.now_ms = disk.now_ms = now_ms
            action()

    def pass_to(self, time_ms: int) -> bool:
        """Let time pass to `time_ms` when nothing else is due until then, that moment included, and return whether it
        did: who would come next anyway need not be queued."""
        queue = self._queue
        if (queue and queue[0][0] <= time_ms) or time_ms > self._until_ms:
            return False
        self.now_ms = self.disk.now_ms = time_ms
        return True

    def note(self, text: str) -> None:
        if self.is_traced:
            self.log.append(f"{self.now_ms} {text}")

    # --- processes --------------------------------------------------------------------------------------------------

    def start_process(self, *, is_ahead: bool = False) -> None:
        """Start a trader, unless one holds the lease. `is_ahead`: on a machine whose clock says that it has expired."""
        if self.disk.trouble is not None:
            return  # no lease without a disk
        if self.process is not None and self.process.is_alive:
            has_expired = self.process.is_suspended and self.now_ms - self.lease_renewed_ms >= LEASE_TTL_MS
            if not has_expired and not is_ahead:
                return  # refused: the message names the holder
            self.count(Act.LEASE_TAKEN.value)
        self.epoch += 1
        self.disk.lease_epoch, self.lease_renewed_ms = self.epoch, self.now_ms
        self.note(f"process {self.epoch} starts")
        self.process = Process(self, self.epoch)
        self.processes.append(self.process)
        for symbol in self.symbols:
            self.steps.tell(symbol)

    def on_death(self, process: Process) -> None:
        self.note(f"process {process.epoch} ended")
        self.processes.remove(process)
        self.steps.hurry()
        if process is self.process:
            self.process = None
            self.at(self.now_ms + self.rng.randint(200, 20_000), self._restart)

    def _restart(self) -> None:
        if self.process is None:
            if self.disk.trouble is not None:
                self.at(self.now_ms + 1_000, self._restart)  # no lease without a disk
            else:
                self.start_process()

    def instruments(self) -> dict[str, Instrument]:
        return {symbol: spec.instrument for symbol, spec in self.shown.specs.items()}

    def instrument_of(self, symbol: str) -> Instrument:
        return self.market.specs[symbol].instrument

    def on_alert(self, process: Process, alert: AlertRecord) -> None:
        self.note(f"alert {alert.title}: {alert.text}")
        self.watch.on_alert(process, alert)
        if alert.dedupe_key.startswith("kill:") and "drawdown" in alert.text:
            self.count(Act.LIMIT_TRIPPED.value)

    # --- the exchange -----------------------------------------------------------------------------------------------

    def advance(self) -> None:
        now_ms, end_ms = self.now_ms, self._market_end_ms
        self.deliver(self.exchange.advance(now_ms if now_ms < end_ms else end_ms))

    def deliver(self, events: list[ExchangeEvent]) -> None:
        """Show events, mostly none, to the watcher at once and to the processes through their streams."""
        if events:
            for event in events:
                self.watch.on_event(event)
                symbol = _symbol_of(event)
                for process in self.processes:
                    process.user.push_private(event, symbol)
            self.steps.hurry()
            self._events += len(events)
            if self._events >= RESYNC_EVERY:
                self._events = 0
                self.watch.resync()
        if len(self.injector.fired) != self._seen:
            self._note_fired()

    def _note_fired(self) -> None:
        fired = self.injector.fired
        for one in fired[self._seen :]:
            if self.is_traced:
                self.note(f"fault {one.fault} on {one.subject}")
            self.excuses.note_fired(one)
            if one.fault.site is Site.HAND:
                self.hands.is_tidy = False
        self._seen = len(fired)

    def _tick_faults(self) -> None:
        """Let the venue's faults begin, end and happen that are due."""
        self.advance()
        present = self.injector.present(Site.STREAM, self.now_ms)
        self.bends_frames = any(fault.kind in FRAMES for fault in present)
        self.desk.tick()
        self.deliver(self.exchange.drain_events())
        self.watch.resync()
        self.steps.hurry()

    def cut_streams(self, fault: Fault) -> str:
        cut = 0
        for process in list(self.processes):
            for stream in (process.user, process.market):
                if fault.kind is FaultKind.LISTEN_KEY_EXPIRE:
                    cut += stream.part == "private" and stream.expire_key(is_silent=fault.detail == "silent")
                elif fault.target in ("", stream.part):
                    cut += stream.half_open() if fault.kind is FaultKind.STREAM_HALF_OPEN else stream.close()
        return f"{cut} streams" if cut else ""

    def is_ours(self, symbol: str) -> bool:
        """Whether we hold a position on `symbol`, or an entry is on its way."""
        held = any(q and leg[0] == symbol for leg, q in self.watch.position.items() if leg not in self.watch.foreign)
        return held or any(
            row.symbol == symbol and row.state.value not in ("closed", "refused")
            for row in list(self.disk.rows.intents.values())[-10:]
        )

    def count(self, name: str) -> None:
        self.injected[name] += 1
        self.note(f"act {name}")

    def faults_by_name(self) -> Counter[str]:
        """Return how many of each kind took hold: a fault that met many calls counts once."""
        met = Counter(fault.kind.value for fault in {id(one.fault): one.fault for one in self.injector.fired}.values())
        return met + self.injected


def _symbol_of(event: ExchangeEvent) -> str:
    order = getattr(event, "order", None)
    if order is not None:
        return str(order.symbol)
    if isinstance(event, AccountEvent):
        return event.positions[0].symbol if event.positions else ""
    return str(getattr(event, "symbol", "") or "")
