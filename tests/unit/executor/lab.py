"""A laboratory: the core, the fake venue and a row store on one hand-moved clock. Everything is synchronous."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from core.commands import Accepted, Outcome, RefusalKind, Refused, SubmitOrder, VenueCommand, VenueReply
from core.effects import Effect, Notify, Persist, Send
from core.enums import (
    Direction,
    Leg,
    MarginType,
    OrderStatus,
    OrderType,
    PositionMode,
    PositionSide,
    Side,
    SymbolStatus,
)
from core.events import (
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
from core.orders import OrderReport
from core.records import (
    AccountStatRecord,
    AlertRecord,
    DenialRecord,
    FillOwnerRecord,
    FillRecord,
    HaltRecord,
    IncomeRecord,
    IntentRecord,
    OrderRecord,
    PerformanceRecord,
    PositionRecord,
    Record,
    SignalRecord,
    TradeState,
)
from core.restore import RestoredState
from core.signal import ExitPlan, Signal, signal_id_for
from executor.core import TradingCore
from executor.inputs import Input, PersistenceFailed, PersistenceRecovered
from executor.policy import ExecutionPolicy
from executor.setup import SetupReport, SymbolSetup
from executor.trade import Trade
from tests.unit.executor.fake_venue import FakeVenue, Rule

D = Decimal
START_MS = 1_760_000_000_000
BTC, ETH = "BTCUSDT", "ETHUSDT"


def instrument(symbol: str = BTC, **changes: object) -> Instrument:
    base = Instrument(
        symbol=symbol,
        base_asset=symbol[:3],
        quote_asset="USDT",
        status=SymbolStatus.TRADING,
        tick_size=D("0.1"),
        min_price=D("1"),
        max_price=D("1000000"),
        step_size=D("0.001"),
        min_quantity=D("0.001"),
        max_quantity=D("1000"),
        market_step_size=D("0.001"),
        market_min_quantity=D("0.001"),
        market_max_quantity=D("120"),
        min_notional=D("5"),
        multiplier_up=D("1.05"),
        multiplier_down=D("0.95"),
        market_take_bound=D("0.05"),
        trigger_protect=D("0.05"),
    )
    return replace(base, **changes)


class Listing:
    def __init__(self, *symbols: str) -> None:
        self.rows = {symbol: instrument(symbol) for symbol in symbols}

    def instruments(self) -> dict[str, Instrument]:
        return self.rows


def trading_config(**limits: object) -> TradingConfig:
    symbols = {s: SymbolLimits(s, max_position_notional=D(5000), max_exposure_fraction=D("0.5")) for s in (BTC, ETH)}
    return TradingConfig(
        position_mode=PositionMode.ONEWAY,
        quote_asset="USDT",
        sizing=SizingPolicy(risk_usd=D(10)),
        limits=RiskLimits(**limits),  # type: ignore[arg-type]
        symbols=symbols,
    )


def setup_report(*symbols: str) -> SetupReport:
    rows = {s: SymbolSetup(s, 5, MarginType.ISOLATED) for s in symbols}
    return SetupReport(PositionMode.ONEWAY, rows)


def signal(
    symbol: str = BTC,
    direction: Direction = Direction.LONG,
    *,
    number: int = 0,
    time_ms: int = START_MS,
    exits: ExitPlan | None = None,
    strategy: str = "vwap",
    max_holding_ms: int | None = None,
) -> Signal:
    open_ms = time_ms - time_ms % 60_000 + number * 60_000
    plan = exits or ExitPlan(stop_fraction=D("0.003"), target_fraction=D("0.006"))
    return Signal(
        signal_id=signal_id_for(strategy, symbol, "1m", open_ms),
        strategy=strategy,
        symbol=symbol,
        interval="1m",
        direction=direction,
        candle_open_time_ms=open_ms,
        reference_price=D(100),
        exits=plan,
        event_time_ms=time_ms,
        received_time_ms=time_ms,
        max_holding_ms=max_holding_ms,
    )


def resting_order(client_id: str, symbol: str = BTC) -> OrderReport:
    """Return the report of a limit order to buy that rests at the venue."""
    return OrderReport(
        symbol=symbol,
        client_order_id=client_id,
        venue_order_id=77,
        side=Side.BUY,
        position_side=PositionSide.BOTH,
        type=OrderType.LIMIT,
        status=OrderStatus.NEW,
        execution_type="NEW",
        quantity=D(1),
        price=D(90),
        filled_quantity=D(0),
        average_price=None,
        reduce_only=False,
        close_position=False,
        update_time_ms=START_MS,
        original_type=OrderType.LIMIT,
    )


def bare_trade(number: int = 1, symbol: str = BTC, strategy: str = "vwap") -> Trade:
    """Return a long trade of one unit to which nothing has happened yet, decided at venue time `number`."""
    return Trade(
        intent_id=number,
        epoch=1,
        signal_id=None,
        symbol=symbol,
        strategy=strategy,
        direction=Direction.LONG,
        position_side=PositionSide.BOTH,
        quantity=D(1),
        reference_price=D(100),
        plan=ExitPlan(),
        stop_price=D(99),
        target_price=None,
        risk_usd=D(1),
        client_order_id=f"ft-1-{number}-E0",
        created_time_ms=number,
        quote_asset="USDT",
    )


@dataclass
class Rows:
    """What is on disk: upserts by key, fills and income inserted once."""

    intents: dict[int, IntentRecord] = field(default_factory=dict)
    orders: dict[str, OrderRecord] = field(default_factory=dict)
    fills: dict[tuple[str, int], FillRecord] = field(default_factory=dict)
    positions: dict[int, PositionRecord] = field(default_factory=dict)
    incomes: dict[tuple[int, str], IncomeRecord] = field(default_factory=dict)
    halts: dict[tuple[str, str], HaltRecord] = field(default_factory=dict)
    performance: dict[tuple[str, str, str], PerformanceRecord] = field(default_factory=dict)
    signals: dict[str, SignalRecord] = field(default_factory=dict)
    denials: list[DenialRecord] = field(default_factory=list)
    others: list[Record] = field(default_factory=list)
    fill_writes: list[tuple[str, int]] = field(default_factory=list)

    def write(self, record: Record) -> None:
        if type(record) is IntentRecord:
            self.intents[record.intent_id] = record
        elif type(record) is OrderRecord:
            self.orders[record.client_order_id] = record
        elif type(record) is FillRecord:
            key = (record.symbol, record.trade_id)
            self.fill_writes.append(key)
            known = self.fills.get(key)
            if known is None:
                self.fills[key] = record
            elif known.intent_id is None and record.intent_id is not None:
                self.fills[key] = replace(
                    known,
                    client_order_id=record.client_order_id,
                    intent_id=record.intent_id,
                    leg=record.leg,
                    strategy=record.strategy,
                )
        elif type(record) is FillOwnerRecord:
            key = (record.symbol, record.trade_id)
            self.fills[key] = replace(self.fills[key], client_order_id=record.client_order_id, leg=record.leg)
        elif type(record) is PositionRecord:
            self.positions[record.intent_id] = record
        elif type(record) is IncomeRecord:
            self.incomes.setdefault((record.transaction_id, record.income_type), record)
        elif type(record) is HaltRecord:
            self.halts[record.scope, record.reason] = record
        elif type(record) is PerformanceRecord:
            self.performance[record.strategy, record.symbol, record.day] = record
        elif type(record) is SignalRecord:
            self.signals[record.signal.signal_id] = record
        elif type(record) is DenialRecord:
            self.denials.append(record)
        else:
            self.others.append(record)

    def restore(self) -> RestoredState:
        over = (TradeState.CLOSED, TradeState.REFUSED)
        ids = {row.intent_id for row in self.intents.values() if row.state not in over}
        ids |= {row.intent_id for row in self.positions.values() if row.state not in over}
        corrected: dict[int, Decimal] = {}
        for fill in self.fills.values():
            if fill.correction and fill.intent_id is not None:
                corrected[fill.intent_id] = corrected.get(fill.intent_id, D(0)) + fill.quantity
        ids |= {intent for intent, quantity in corrected.items() if quantity}
        intents = tuple(row for row in self.intents.values() if row.intent_id in ids)
        last: dict[str, int] = {}
        for symbol, trade_id in self.fills:
            if trade_id > last.get(symbol, 0):
                last[symbol] = trade_id
        return RestoredState(
            intents=intents,
            positions=tuple(row for row in self.positions.values() if row.intent_id in ids),
            orders=tuple(row for row in self.orders.values() if row.intent_id in ids),
            fills=tuple(row for row in self.fills.values() if row.intent_id in ids),
            booked_trades=frozenset(key for key, row in self.fills.items() if row.intent_id is not None),
            foreign_fills=tuple(
                sorted((row for row in self.fills.values() if row.intent_id is None), key=lambda row: row.trade_id)
            ),
            last_trade_ids=last,
            booked_incomes=frozenset(self.incomes),
            last_income_time_ms=max((row.event_time_ms for row in self.incomes.values()), default=None),
            recent_performance=tuple(self.performance.values()),
            halts=tuple(row for row in self.halts.values() if row.active),
            next_intent=max(self.intents, default=0) + 1,
            first_valued_time_ms=min(
                (row.event_time_ms for row in self.others if isinstance(row, AccountStatRecord)), default=None
            ),
        )


class Lab:
    """Moves time, hands events to the core and carries its effects out on venue and rows."""

    def __init__(
        self,
        *,
        config: TradingConfig | None = None,
        venue: FakeVenue | None = None,
        rows: Rows | None = None,
        epoch: int = 1,
        now_ms: int = START_MS,
        policy: ExecutionPolicy | None = None,
        ready: bool = True,
    ) -> None:
        self.config = config or trading_config()
        self.venue = venue or FakeVenue(prices={BTC: D(100), ETH: D(50)})
        self.rows = rows or Rows()
        self.alerts: list[AlertRecord] = []
        self.now_ms = now_ms
        self.epoch = epoch
        self.fail_writes = False
        self.unwritten: list[Record] = []
        self.listing = Listing(BTC, ETH)
        restored = self.rows.restore()
        self.core = TradingCore(
            self.config,
            self.listing,
            epoch=epoch,
            next_intent=restored.next_intent,
            restored=restored,
            setup=setup_report(BTC, ETH),
            policy=policy or ExecutionPolicy(),
        )
        self.dead = False
        self.late: list[tuple[int, Input]] = []
        self.hold_events = False
        self.effects: list[Effect] = []
        if ready:
            self.make_ready()

    # --- driving ------------------------------------------------------------------------------------------------

    def make_ready(self) -> None:
        for symbol, price in self.venue.prices.items():
            self.quote(symbol, price)
        self.stream(StreamKind.MARKET, StreamState.READY)
        self.stream(StreamKind.USER, StreamState.READY)
        self.run(500)

    def stream(self, kind: StreamKind, state: StreamState) -> None:
        self.feed(StreamChanged(kind, state, "test", self.now_ms, self.now_ms))

    def quote(self, symbol: str, price: Decimal) -> None:
        """Tell the core prices without touching the venue."""
        self.feed(PriceUpdated(symbol, price, self.now_ms, self.now_ms))
        self.feed(MarkPriceUpdated(symbol, price, price, D(0), self.now_ms + 3_600_000, self.now_ms, self.now_ms))

    def price(self, symbol: str, price: str | Decimal, *, fire: bool = True) -> None:
        """Move venue and core to a price; conditional orders fire at the venue."""
        self.venue.now_ms = self.now_ms
        self.venue.move_price(symbol, D(price), fire=fire)
        self.quote(symbol, D(price))
        self.flush()

    def signal(self, symbol: str = BTC, direction: Direction = Direction.LONG, **changes: object) -> Signal:
        made = signal(symbol, direction, time_ms=self.now_ms, **changes)  # type: ignore[arg-type]
        self.feed(SignalReceived(made, self.now_ms, self.now_ms))
        return made

    def run(self, ms: int, step_ms: int = 250) -> None:
        """Let time pass in ticks, keeping prices fresh."""
        end = self.now_ms + ms
        while self.now_ms < end and not self.dead:
            self.now_ms = min(self.now_ms + step_ms, end)
            self.venue.now_ms = self.now_ms
            due = [event for at, event in self.late if at <= self.now_ms]
            self.late = [(at, event) for at, event in self.late if at > self.now_ms]
            for event in due:
                self.feed(event)
            for symbol, price in self.venue.prices.items():
                self.feed(PriceUpdated(symbol, price, self.now_ms, self.now_ms))
            self.feed(Tick(self.now_ms, self.now_ms))

    def feed(self, event: Input) -> None:
        if self.dead:
            return
        self.venue.now_ms = self.now_ms
        self.carry_out(self.core.handle(event))
        self.flush()

    def flush(self) -> None:
        """Hand the venue's user events to the core, in order, until none is left."""
        while self.venue.events and not self.hold_events and not self.dead:
            event = self.venue.events.pop(0)
            self.carry_out(self.core.handle(event))

    def carry_out(self, effects: list[Effect]) -> None:
        self.effects.extend(effects)
        for index, effect in enumerate(effects):
            if self.dead:
                return
            if isinstance(effect, Persist):
                self.unwritten.extend(effect.records)
                if self.fail_writes and effect.durable:
                    rest = () if effect.proceed_on_failure else effects[index + 1 :]
                    dropped = tuple(e.command for e in rest if isinstance(e, Send))
                    self.feed(PersistenceFailed("disk full", self.now_ms, dropped))
                    if not effect.proceed_on_failure:
                        return
                self.write_rows()
            elif isinstance(effect, Notify):
                self.alerts.append(effect.alert)
            else:
                self.send(effect.command)

    def write_rows(self) -> None:
        """Write everything that waits, in order, unless the disk fails."""
        if not self.fail_writes:
            for record in self.unwritten:
                self.rows.write(record)
            self.unwritten.clear()

    def mend_disk(self) -> None:
        self.fail_writes = False
        self.write_rows()
        self.feed(PersistenceRecovered(self.now_ms))

    def send(self, command: VenueCommand) -> None:
        reason = self.core.refusal_of(command, self.now_ms)  # as the shell asks, just before a request leaves
        if reason is not None:
            self.reply(command, Refused(RefusalKind.LOCAL, 0, reason))
            return
        outcome = self.venue.execute(command)
        if outcome is not None:
            self.reply(command, outcome)

    def reply(self, command: VenueCommand, outcome: Outcome, *, after_ms: int = 0) -> None:
        expires = self.now_ms + 5_500 if isinstance(command, SubmitOrder) else None
        reply = VenueReply(command, outcome, self.now_ms, self.now_ms + after_ms, expires)
        if after_ms:
            self.late.append((self.now_ms + after_ms, reply))
            return
        self.carry_out(self.core.handle(reply))

    def restart(self, *, away_ms: int = 5_000) -> Lab:
        """Return a laboratory of a new process over the same rows and venue."""
        self.dead = True
        self.venue.events.clear()
        return Lab(
            config=self.config, venue=self.venue, rows=self.rows, epoch=self.epoch + 1, now_ms=self.now_ms + away_ms
        )

    # --- scripting faults ---------------------------------------------------------------------------------------

    def fault(
        self,
        outcome: Outcome | None,
        *,
        leg: Leg | None = None,
        kind: type | None = None,
        apply: bool = False,
        times: int = 1,
        where: Callable[[VenueCommand], bool] | None = None,
    ) -> Rule:
        """Script the next commands of a leg (orders) or of a type to end in `outcome`."""

        def matches(command: VenueCommand) -> bool:
            if where is not None and not where(command):
                return False
            if leg is not None:
                return isinstance(command, SubmitOrder) and command.approved.order.leg is leg
            return kind is None or isinstance(command, kind)

        rule = Rule(matches, apply, outcome, times)
        self.venue.rules.append(rule)
        return rule

    # --- looking ------------------------------------------------------------------------------------------------

    def trade(self, intent_id: int = 1) -> PositionRecord:
        return self.rows.positions[intent_id]

    def state(self, intent_id: int = 1) -> TradeState:
        return self.rows.intents[intent_id].state

    def submitted(self, leg: Leg) -> list[SubmitOrder]:
        commands = [c for c in self.venue.commands if isinstance(c, SubmitOrder)]
        return [c for c in commands if c.approved.order.leg is leg]

    def sent(self, kind: type) -> list[VenueCommand]:
        return [command for command in self.venue.commands if isinstance(command, kind)]

    def live_stops(self, symbol: str = BTC) -> list[str]:
        stops = [a for a in self.venue.algos.values() if a.symbol == symbol and not a.status.is_terminal]
        return [a.client_order_id for a in stops if a.type.value == "STOP_MARKET"]

    def titles(self) -> list[str]:
        return [alert.title for alert in self.alerts]

    def open_long(self, **changes: object) -> None:
        """Enter a protected long position on BTC."""
        self.signal(BTC, Direction.LONG, **changes)
        self.run(500)
        assert self.state() is TradeState.PROTECTED, self.state()


def refused(kind: RefusalKind = RefusalKind.BUSINESS, code: int = -1, text: str = "no") -> Refused:
    return Refused(kind, code, text)


__all__ = ["BTC", "ETH", "Accepted", "D", "FakeVenue", "Lab", "Rows", "Rule", "instrument", "refused", "signal"]
