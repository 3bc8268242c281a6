"""The desk: all mutable state of the trading core in one place, and the only way its steps ask for effects."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from core.commands import FetchFills, FetchIncome, FetchPositions, IdentifyOrder, QueryOrder, VenueCommand
from core.enums import PositionMode, PositionSide, Severity
from core.instrument import Instrument
from core.limits import SymbolLimits, TradingConfig
from core.orders import FillReport
from core.ports import InstrumentSource
from core.records import AlertRecord, ExitReason, HaltRecord, Record
from core.signal import Signal
from executor.account import Account, LegKey, Positions
from executor.book import Book
from executor.days import DayLedger
from executor.halts import ALL, Halts
from executor.marks import Market
from executor.outbox import Outbox
from executor.policy import ExecutionPolicy
from executor.setup import SymbolSetup
from executor.strangers import Strangers
from executor.trade import Trade

ZERO = Decimal(0)
_ONEWAY = PositionMode.ONEWAY
_ONEWAY_SIDES = (PositionSide.BOTH,)
_HEDGE_SIDES = (PositionSide.LONG, PositionSide.SHORT)
KNOWN_SIGNALS_MAX = 5_000
READ_PAUSE_MS = 200
"""The same read is not repeated faster: an answer that proves nothing must not become a storm of questions."""
READ_LIFE_MS = 30_000
"""A read whose answer never came may be asked again after this time."""


@dataclass(slots=True)
class HeldFill:
    """A fill whose order is not known yet, and since when it waits (our clock); `is_told` once the venue has said
    whose order made it."""

    fill: FillReport
    since_ms: int
    look_up_at_ms: int = 0
    is_told: bool = False


@dataclass(slots=True)
class Suspicion:
    """A leg whose venue quantity and ours differ, since when, and what was done to explain it (our clock)."""

    since_ms: int
    asked_ms: int | None = None
    confirmations: int = 0


@dataclass(slots=True)
class Countdown:
    """A countdown-cancel of ours on one symbol; see `executor.deadman`. Times are our clock."""

    asked_ms: int | None = None
    is_stopping: bool = False
    runs_until_ms: int | None = None
    """The latest moment at which it may run out; None: it does not run."""
    has_failed: bool = False


@dataclass(slots=True)
class Unwinding:
    """One scope that is to be empty ("*" or a symbol) and how far that is; see `executor.kill`. Times are our clock."""

    scope: str
    reason: ExitReason
    since_ms: int
    is_recorded: bool = False
    clear_since_ms: int | None = None
    asked_ms: int = 0
    is_verified: bool = False
    remaining: str = "not compared with the venue yet"
    is_overdue: bool = False

    def covers(self, symbol: str) -> bool:
        return self.scope in (ALL, symbol)


@dataclass(slots=True)
class Connectivity:
    """What entries wait for. `user_ready` is False until the user stream was proved for the first time."""

    user_ready: bool = False
    market_ready: bool = False
    reconciled: bool = False
    degraded: bool = False
    stopping: bool = False
    lease_lost: bool = False
    """Another process trades this account now: nothing may be sent any more."""
    clock_offset_ms: int | None = 0


@dataclass(slots=True)
class Desk:
    """State shared by the steps. `now_ms` is our clock and `venue_ms` venue time, both of the current event."""

    config: TradingConfig
    instruments: InstrumentSource
    policy: ExecutionPolicy
    epoch: int
    next_intent: int
    book: Book
    account: Account
    days: DayLedger
    halts: Halts
    market: Market
    setup: dict[str, SymbolSetup]
    now_ms: int = 0
    venue_ms: int = 0
    start_ms: int = 0
    """Venue time of this process's first event."""
    history_start_ms: int = 0
    """Venue time before which nothing is read: the start of this process, less an overlap after a restart."""
    out: Outbox = field(default_factory=Outbox)
    positions: Positions = field(default_factory=Positions)
    last_instruments: dict[str, Instrument] = field(default_factory=dict)
    link: Connectivity = field(default_factory=Connectivity)
    inflight: dict[VenueCommand, int] = field(default_factory=dict)
    reads: dict[VenueCommand, int] = field(default_factory=dict)
    fills_read_ms: dict[str, int] = field(default_factory=dict)
    fills_asked_ms: dict[str, int] = field(default_factory=dict)
    """Venue time at which the oldest read of a symbol's fills that has no answer yet was wanted."""
    fills_complete_ms: dict[str, int] = field(default_factory=dict)
    """Venue time up to which every fill of a symbol has been listed (lists lag: see `fills_reread_ms`)."""
    foreign_positions: dict[str, str] = field(default_factory=dict)
    foreign_orders: dict[str, str] = field(default_factory=dict)
    held: dict[tuple[str, int], HeldFill] = field(default_factory=dict)
    strangers: Strangers = field(default_factory=Strangers)
    suspects: dict[LegKey, Suspicion] = field(default_factory=dict)
    countdowns: dict[str, Countdown] = field(default_factory=dict)
    unwinding: dict[str, Unwinding] = field(default_factory=dict)
    """What is being emptied, by scope: see `executor.kill`."""
    flat_counts: dict[str, int] = field(default_factory=dict)
    """How often each scope was verified flat."""
    resumed: int = 0
    corrections: int = 0
    stat_due: bool = False
    wanted_reconcile: str | None = "start"
    entries_filled: int = 0
    trades_closed: int = 0
    denials: int = 0
    put_off: dict[int, Trade] | None = None
    """While events of one instant are taken together: the trades to look at when the last of them has been."""
    signals: dict[int, Signal] = field(default_factory=dict)
    known_signals: OrderedDict[str, None] = field(default_factory=OrderedDict)

    # --- reading ------------------------------------------------------------------------------------------------

    def instrument(self, symbol: str) -> Instrument | None:
        return self.instruments.instruments().get(symbol)

    def instrument_for_exit(self, symbol: str) -> Instrument | None:
        """Return the newest filters ever seen: a contract that is no longer listed must still be left."""
        listed = self.instruments.instruments().get(symbol)
        if listed is not None:
            self.last_instruments[symbol] = listed
        return self.last_instruments.get(symbol)

    def limits_of(self, symbol: str) -> SymbolLimits:
        return self.config.symbols.get(symbol) or SymbolLimits(symbol)

    def setup_of(self, symbol: str) -> SymbolSetup:
        """Return what the venue holds for a symbol, or the configuration where it was never read."""
        known = self.setup.get(symbol)
        if known is not None:
            return known
        limits = self.limits_of(symbol)
        return SymbolSetup(symbol, limits.leverage, limits.margin_type)

    def is_known_signal(self, signal_id: str) -> bool:
        return signal_id in self.known_signals

    def remember_signal(self, signal_id: str) -> None:
        """A candle signals once; the oldest ids are forgotten, long after their signals went stale."""
        self.known_signals[signal_id] = None
        if len(self.known_signals) > KNOWN_SIGNALS_MAX:
            self.known_signals.popitem(last=False)

    def position_sides(self) -> tuple[PositionSide, ...]:
        return _ONEWAY_SIDES if self.config.position_mode is _ONEWAY else _HEDGE_SIDES

    def expected(self, key: LegKey) -> Decimal:
        """Return the signed quantity that our trades say the leg holds."""
        symbol, side = key
        quantity = ZERO
        for trade in self.book.of_symbol(symbol):
            if trade.position_side is side:
                quantity += trade.signed_leaves
        return quantity

    # --- asking for effects -------------------------------------------------------------------------------------

    def write(self, symbol: str, *records: Record, durable: bool = False) -> None:
        self.out.write(symbol, *records, durable=durable)

    def touch(self, trade: Trade, *, durable: bool = False) -> None:
        self.out.touch(trade, durable=durable)

    def send(self, symbol: str, command: VenueCommand, *, gated: bool = False) -> None:
        self.inflight[command] = self.now_ms
        self.out.send(symbol, command, gated=gated)

    def ask(self, symbol: str, command: QueryOrder | IdentifyOrder | FetchPositions | FetchFills | FetchIncome) -> bool:
        """Send a read unless the same one is under way or was sent a moment ago; True when it was sent now."""
        issued_ms = self.inflight.get(command)
        if issued_ms is not None and self.now_ms - issued_ms < READ_LIFE_MS:
            return False
        if self.now_ms - self.reads.get(command, -READ_PAUSE_MS) < READ_PAUSE_MS:
            return False
        self.reads[command] = self.now_ms
        self.send(symbol, command)
        return True

    def forget_reads(self) -> None:
        """Drop reads that no longer hold back a repetition."""
        self.reads = {command: at for command, at in self.reads.items() if self.now_ms - at < READ_PAUSE_MS}

    def alert(
        self,
        key: str,
        severity: Severity,
        title: str,
        text: str,
        *,
        symbol: str = "",
        fields: Mapping[str, str] | None = None,
    ) -> None:
        """Tell people once per `key`."""
        record = AlertRecord(key, severity, title, text, self.now_ms, fields or {})
        self.out.notify(symbol, record)

    def halt(self, scope: str, reason: str, detail: str, rest_ms: int | None) -> HaltRecord | None:
        """Block entries on `scope` for `rest_ms` of venue time (None: until resumed).

        Returns None when it is halted already.
        """
        until = None if rest_ms is None else self.venue_ms + rest_ms
        record = self.halts.raise_halt(scope, reason, detail, self.venue_ms, until)
        if record is not None:
            self.write("" if scope == "*" else scope, record, durable=True)
        return record

    def suspect(self, symbol: str, side: PositionSide) -> None:
        """Have the leg compared with the venue's word by the audit."""
        if (symbol, side) not in self.suspects:
            self.suspects[symbol, side] = Suspicion(self.now_ms)

    def demand_reconcile(self, reason: str) -> None:
        """No entries until a reconciliation that starts from now on has succeeded."""
        self.link.reconciled = False
        self.wanted_reconcile = self.wanted_reconcile or reason
