"""The shell: order of effects, lanes, failing writes, answers, an orderly end. Real event loop, no real waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
import structlog

from core.bus import Bus
from core.candle import ClosedCandle
from core.clock import SystemClock
from core.commands import FetchPositions, InDoubt, SubmitOrder, VenueCommand, VenueReply
from core.effects import Effect, Notify, Persist, Send
from core.enums import Leg, Severity
from core.errors import LeaseTakenError, PersistenceError, RecordRefusedError
from core.events import Event, PriceUpdated, SignalReceived, StreamChanged, StreamKind, StreamState
from core.records import (
    AlertRecord,
    CandleRecord,
    DecisionRecord,
    HaltRecord,
    PositionMarkRecord,
    Record,
    SignalRecord,
    SignalStatus,
    TradeState,
)
from core.restore import RestoredState
from core.signal import Signal, Verdict
from executor.core import TradingCore
from executor.inputs import Input
from executor.lanes import symbol_of
from executor.shell import Executor
from tests.unit.executor.fake_venue import FakeVenue
from tests.unit.executor.lab import BTC, ETH, D, Listing, Rows, setup_report, signal, trading_config


class AsyncVenue:
    """The pure fake venue behind the asynchronous port; user events go to the executor at once."""

    def __init__(self, fake: FakeVenue, clock: SystemClock) -> None:
        self.fake, self.clock = fake, clock
        self.sink: Callable[[Event], None] = lambda event: None
        self.gate: asyncio.Event | None = None
        self.log: list[str] = []
        self.error: Exception | None = None

    async def execute(self, command: VenueCommand) -> VenueReply:
        name = type(command).__name__
        if isinstance(command, SubmitOrder):
            name = f"{command.approved.order.symbol}:{command.approved.order.leg.value}"
        self.log.append(name)
        await asyncio.sleep(0)
        if isinstance(command, SubmitOrder) and self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        now = self.clock.now_ms()
        self.fake.now_ms = now
        outcome = self.fake.execute(command)
        for event in self.fake.events:
            self.sink(event)
        self.fake.events.clear()
        return VenueReply(command, outcome or InDoubt("silent"), now, now, now + 5_500)

    def venue_time_ms(self) -> int:
        return self.clock.now_ms()


class Writer:
    """Rows behind the writer port; commits can be slowed per symbol, or made to fail."""

    def __init__(self, log: list[str]) -> None:
        self.rows, self.log = Rows(), log
        self.failing = False
        self.is_taken = False
        self.gates: dict[str, asyncio.Event] = {}
        self.refused: set[str] = set()
        """Signals whose rows the database will never take while they say that it was approved."""

    def submit(self, records: Sequence[Record]) -> None:
        for record in records:
            self.rows.write(record)

    async def commit(self, records: Sequence[Record]) -> None:
        symbol = symbol_of(Persist(tuple(records)))
        await asyncio.sleep(0)
        if symbol in self.gates:
            await self.gates[symbol].wait()
        if self.is_taken:
            raise LeaseTakenError("another process took over")
        if self.failing:
            raise PersistenceError("disk full")
        approved = (
            row.signal for row in records if isinstance(row, SignalRecord) and row.status is SignalStatus.APPROVED
        )
        if any(each.signal_id in self.refused for each in approved):
            raise RecordRefusedError("no such number")
        self.log.append(f"{symbol}:commit")
        self.submit(records)


class Alerts:
    def __init__(self) -> None:
        self.records: list[AlertRecord] = []

    def emit(self, alert: AlertRecord) -> None:
        self.records.append(alert)


class Rig:
    def __init__(self) -> None:
        self.clock = SystemClock()
        self.venue = AsyncVenue(FakeVenue(prices={BTC: D(100), ETH: D(50)}), self.clock)
        self.writer, self.alerts = Writer(self.venue.log), Alerts()
        self.bus: Bus[Signal] = Bus(16)
        core = TradingCore(
            trading_config(),
            Listing(BTC, ETH),
            epoch=1,
            next_intent=1,
            restored=RestoredState(),
            setup=setup_report(BTC, ETH),
        )
        self.executor = Executor(
            core,
            self.venue,
            self.writer,
            self.alerts,
            self.clock,
            self.venue,
            signals=self.bus,
            clock_offset_ms=lambda: 0,
            tick_ms=5,
        )
        self.venue.sink = self.executor.offer
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.task = asyncio.create_task(self.executor.run())
        now = self.clock.now_ms()
        for symbol, price in self.venue.fake.prices.items():
            self.executor.offer(PriceUpdated(symbol, price, now, now))
        for kind in StreamKind:
            self.executor.offer(StreamChanged(kind, StreamState.READY, "", now, now))
        await self.until(lambda: self.executor.view().is_open_for_entries)

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(400):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("condition did not come true within 2 s")

    def offer_signal(self, symbol: str = BTC, number: int = 0) -> None:
        now = self.clock.now_ms()
        self.executor.offer(SignalReceived(signal(symbol, time_ms=now, number=number), now, now))

    def state(self, intent_id: int = 1) -> TradeState | None:
        row = self.writer.rows.intents.get(intent_id)
        return None if row is None else row.state


@pytest.fixture
async def rig() -> Rig:
    made = Rig()
    await made.start()
    return made


async def test_signal_from_the_bus_is_traded_and_every_order_follows_its_commit(rig: Rig) -> None:
    assert not rig.bus.put_now([signal(BTC, time_ms=rig.clock.now_ms())])
    await rig.until(lambda: rig.state() is TradeState.PROTECTED)
    order = [entry for entry in rig.venue.log if entry.startswith(BTC)]
    assert order.index(f"{BTC}:commit") < order.index(f"{BTC}:E")
    assert order[order.index(f"{BTC}:S") - 1] == f"{BTC}:commit"
    await rig.executor.stop()
    assert rig.task is not None
    await rig.task


async def test_commit_of_one_symbol_does_not_hold_back_another(rig: Rig) -> None:
    rig.writer.gates[BTC] = asyncio.Event()
    rig.offer_signal(BTC)
    rig.offer_signal(ETH)
    await rig.until(lambda: f"{ETH}:S" in rig.venue.log)
    assert f"{BTC}:E" not in rig.venue.log
    rig.writer.gates[BTC].set()
    await rig.until(lambda: f"{BTC}:S" in rig.venue.log)
    await rig.executor.stop()


async def test_offer_of_a_signal_waits_behind_news_that_came_after_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[str] = []
    handle = TradingCore.handle

    def noted(core: TradingCore, event: Input) -> list[Effect]:
        handled.append(type(event).__name__)
        return handle(core, event)

    monkeypatch.setattr(TradingCore, "handle", noted)
    now = rig.clock.now_ms()
    rig.offer_signal(BTC)
    rig.executor.offer(PriceUpdated(BTC, D(100), now, now))
    assert rig.executor.health()["queue_depth"] == 2
    await rig.until(lambda: rig.state() is TradeState.PROTECTED)
    assert handled.index("PriceUpdated") < handled.index("SignalReceived")
    await rig.executor.stop()


async def test_signals_that_take_long_do_not_hold_back_the_order_of_the_first(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each signal takes more than its slice: the first one's order is on the wire before the last is looked at."""
    monkeypatch.setattr("executor.intake.SLICE_MS", 0.0)
    seen: list[int] = []
    handle = TradingCore.handle

    def noted(core: TradingCore, event: Input) -> list[Effect]:
        if isinstance(event, SignalReceived):
            seen.append(len([entry for entry in rig.venue.log if entry == f"{BTC}:E"]))
        return handle(core, event)

    monkeypatch.setattr(TradingCore, "handle", noted)
    for number in range(30):
        rig.offer_signal(BTC, number=number)
    await rig.until(lambda: len(seen) == 30)
    assert seen[0] == 0
    assert seen[-1] == 1
    await rig.executor.stop()


async def test_signals_wait_while_the_intent_of_an_earlier_one_is_on_its_way_to_the_disk(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.intake.PAUSE_MS", 60_000.0)
    rig.writer.gates[BTC] = asyncio.Event()
    rig.offer_signal(BTC)
    await rig.until(rig.executor.has_orders_leaving)
    assert not rig.executor.has_requests_leaving()  # it waits for the disk
    assert not rig.executor.is_at_rest()
    rig.offer_signal(ETH)
    now = rig.clock.now_ms()
    handled = rig.executor.events_handled
    rig.executor.offer(PriceUpdated(ETH, D(50), now, now))
    await rig.until(lambda: rig.executor.events_handled > handled + 2)  # news and ticks go on
    assert len(rig.executor._intake) == 1
    assert f"{ETH}:commit" not in rig.venue.log
    rig.writer.gates[BTC].set()
    await rig.until(lambda: f"{ETH}:S" in rig.venue.log)
    await rig.executor.stop()


async def test_request_counts_as_leaving_for_a_moment_and_as_long_as_it_is_unanswered(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.shell.WRITE_MS", 60_000.0)
    rig.venue.gate = asyncio.Event()
    rig.offer_signal(BTC)
    await rig.until(rig.executor.has_requests_leaving)
    rig.executor._leaving_until_ns = rig.clock.monotonic_ns()
    assert not rig.executor.has_requests_leaving()  # its moment is over, answered or not
    rig.executor._leaving_until_ns += 60 * 10**9
    monkeypatch.setattr("executor.shell.WRITE_MS", 0.0)
    rig.venue.gate.set()
    await rig.until(lambda: rig.state() is TradeState.PROTECTED)
    await rig.until(lambda: not rig.executor.has_requests_leaving())
    await rig.executor.stop()


async def test_intent_that_is_not_on_disk_is_not_sent_and_entries_resume_after_recovery(rig: Rig) -> None:
    rig.writer.failing = True
    rig.offer_signal(BTC)
    await rig.until(lambda: rig.executor.view().is_degraded)
    assert f"{BTC}:E" not in rig.venue.log
    rig.writer.failing = False
    rig.executor._lanes._retry_at_ms = 0
    await rig.until(lambda: not rig.executor.view().is_degraded)
    await rig.until(lambda: rig.state() is TradeState.REFUSED)
    rig.offer_signal(BTC, number=1)
    await rig.until(lambda: rig.state(2) is TradeState.PROTECTED)
    await rig.executor.stop(wait_s=0.1)


async def test_entry_whose_rows_are_refused_for_good_fails_alone(rig: Rig) -> None:
    """The database works: nobody else is stopped, nothing is tried again, and no disk is blamed."""
    made = signal(BTC, time_ms=rig.clock.now_ms())
    rig.writer.refused.add(made.signal_id)
    with structlog.testing.capture_logs() as logs:
        rig.executor.offer(SignalReceived(made, made.event_time_ms, made.received_time_ms))
        await rig.until(lambda: rig.state() is TradeState.REFUSED)
    (told,) = [line for line in logs if line["log_level"] == "error"]
    assert "SignalRecord" in told["rows"]
    assert told["error"] == "no such number"
    assert f"{BTC}:E" not in rig.venue.log
    assert not rig.executor.view().is_degraded
    assert not rig.executor._lanes.owes_rows()
    rig.offer_signal(ETH)
    rig.offer_signal(BTC, number=1)
    await rig.until(lambda: rig.state(2) is rig.state(3) is TradeState.PROTECTED)
    await rig.until(lambda: rig.executor._lanes.waiting() == 0)
    await rig.executor.stop(wait_s=0.1)


async def test_rows_that_wait_with_refused_ones_are_written_all_the_same(rig: Rig) -> None:
    rig.writer.failing = True
    made = signal(BTC, time_ms=rig.clock.now_ms())
    rig.writer.refused.add(made.signal_id)
    rig.executor.offer(SignalReceived(made, made.event_time_ms, made.received_time_ms))
    await rig.until(lambda: rig.executor.view().is_degraded)
    lane = rig.executor._lanes._lanes[BTC]
    await rig.until(lambda: len(lane.backlog) > 1 and lane.flusher is None)
    rig.writer.failing = False
    rig.executor._lanes._retry_at_ms = 0
    await rig.until(lambda: not rig.executor.view().is_degraded)
    await rig.until(lambda: rig.state() is TradeState.REFUSED)
    assert rig.writer.rows.signals[made.signal_id].status is SignalStatus.REFUSED
    rig.offer_signal(BTC, number=1)
    await rig.until(lambda: rig.state(2) is TradeState.PROTECTED)
    await rig.executor.stop(wait_s=0.1)


async def test_stop_goes_out_when_the_disk_hangs_and_entry_does_not(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.lanes.EXIT_PATIENCE_S", 0.02)
    monkeypatch.setattr("executor.lanes.ENTRY_PATIENCE_S", 0.05)
    rig.venue.gate = asyncio.Event()
    rig.offer_signal(BTC)
    await rig.until(lambda: f"{BTC}:E" in rig.venue.log)
    for symbol in (BTC, ETH):
        rig.writer.gates[symbol] = asyncio.Event()
    rig.offer_signal(ETH)
    await rig.until(lambda: rig.executor._lanes.commits_waiting == 1)
    rig.venue.gate.set()
    await rig.until(lambda: f"{BTC}:S" in rig.venue.log)
    await rig.until(lambda: any(entry.startswith("ETH") for entry in refused_entries(rig)))
    for gate in rig.writer.gates.values():
        gate.set()
    await rig.until(lambda: not rig.executor.view().is_degraded)
    await rig.until(lambda: rig.state(1) is TradeState.PROTECTED and rig.state(2) is TradeState.REFUSED)
    assert f"{ETH}:E" not in rig.venue.log
    await rig.executor.stop(wait_s=0.1)


async def test_rows_that_failed_are_on_disk_before_newer_ones_of_their_symbol(rig: Rig) -> None:
    rig.offer_signal(BTC)
    await rig.until(lambda: rig.state() is TradeState.PROTECTED)
    rig.writer.failing = True
    now = rig.clock.now_ms()
    rig.venue.fake.now_ms = now
    rig.venue.fake.move_price(BTC, D("100.7"))
    for event in rig.venue.fake.events:
        rig.executor.offer(event)
    rig.venue.fake.events.clear()
    await rig.until(lambda: rig.executor.view().is_degraded)
    await asyncio.sleep(0.03)
    assert rig.writer.rows.positions[1].quantity > 0
    assert len(rig.writer.rows.fills) == 1
    rig.writer.failing = False
    rig.executor._lanes._retry_at_ms = 0
    await rig.until(lambda: rig.writer.rows.positions[1].state is TradeState.CLOSED)
    assert len(rig.writer.rows.fills) == 2
    await rig.executor.stop(wait_s=0.1)


async def test_protection_goes_on_when_the_disk_fails_after_entry(rig: Rig) -> None:
    rig.venue.gate = asyncio.Event()
    rig.offer_signal(BTC)
    await rig.until(lambda: f"{BTC}:E" in rig.venue.log)
    rig.writer.failing = True
    rig.venue.gate.set()
    await rig.until(lambda: f"{BTC}:S" in rig.venue.log)
    rig.writer.failing = False
    await rig.executor.stop(wait_s=0.1)


async def test_nothing_is_sent_once_the_database_says_that_another_process_has_the_account(rig: Rig) -> None:
    rig.venue.gate = asyncio.Event()
    rig.offer_signal(BTC)
    await rig.until(lambda: f"{BTC}:E" in rig.venue.log)
    rig.writer.is_taken = True
    sent = len(rig.venue.log)
    rig.venue.gate.set()
    await rig.until(lambda: any(alert.dedupe_key.startswith("lease-lost") for alert in rig.alerts.records))
    await asyncio.sleep(0.1)
    assert not [line for line in rig.venue.log[sent:] if line.endswith((":S", ":C", ":T"))]
    await rig.executor.stop(wait_s=0.1)


async def test_stop_waits_for_the_request_under_way_and_protects_its_fill(rig: Rig) -> None:
    rig.venue.gate = asyncio.Event()
    rig.offer_signal(BTC)
    await rig.until(lambda: f"{BTC}:E" in rig.venue.log)
    stopping = asyncio.create_task(rig.executor.stop())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    rig.venue.gate.set()
    await stopping
    assert rig.state() is TradeState.PROTECTED
    assert rig.executor.view().is_stopping


async def test_venue_port_that_raises_leaves_writes_in_doubt_and_reads_unknown(rig: Rig) -> None:
    rig.venue.error = RuntimeError("broken")
    rig.offer_signal(BTC)
    await rig.until(lambda: rig.state() is TradeState.IN_DOUBT)
    rig.venue.error = None
    await rig.executor.stop(wait_s=0.1)


async def test_defect_in_the_core_is_reported_and_the_loop_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    core = rig.executor._core
    real = core.handle

    def broken(event: object) -> object:
        if isinstance(event, SignalReceived):
            raise KeyError("defect")
        return real(event)  # type: ignore[arg-type]

    monkeypatch.setattr(core, "handle", broken)
    rig.offer_signal(BTC)
    await rig.until(lambda: bool(rig.alerts.records))
    assert rig.alerts.records[0].severity is Severity.CRITICAL
    handled = rig.executor.events_handled
    await rig.until(lambda: rig.executor.events_handled > handled)
    await rig.executor.stop()


async def test_health_shows_depths_and_progress(rig: Rig) -> None:
    health = rig.executor.health()
    assert health["events_handled"]
    assert health["queue_depth_max"]
    sent: list[VenueCommand] = []
    rig.executor.on_sent = sent.append
    rig.offer_signal(BTC)
    await rig.until(lambda: any(isinstance(c, SubmitOrder) and c.approved.order.leg is Leg.STOP for c in sent))
    await rig.executor.stop()


async def test_run_when_cancelled_ends_all_its_tasks(rig: Rig) -> None:
    assert rig.task is not None
    rig.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rig.task
    await asyncio.sleep(0)
    assert all(task.done() for task in rig.executor._running)


def refused_entries(rig: Rig) -> list[str]:
    """Symbols whose entries the core knows to be refused, written or not."""
    active = {trade.symbol for trade in rig.executor.view().trades}
    return [symbol for symbol in (BTC, ETH) if symbol not in active and rig.executor.view().next_intent > 2]


def test_symbol_of_each_effect() -> None:
    alert = AlertRecord("k", Severity.INFO, "t", "x", 1)
    made = signal()
    verdict = Verdict("vwap", ETH, "1m", 1, 1, "signal", {})
    candle = CandleRecord(_candle())
    assert symbol_of(Notify(alert)) == ""
    assert symbol_of(Persist(())) == ""
    assert symbol_of(Persist((HaltRecord("*", "x", True, "", 1),))) == ""
    assert symbol_of(Persist((SignalRecord(made, SignalStatus.DENIED),))) == BTC
    assert symbol_of(Persist((DecisionRecord(verdict),))) == ETH
    assert symbol_of(Persist((candle,))) == BTC
    mark = PositionMarkRecord(1, D(1), D(0), 1)
    assert symbol_of(Persist((mark, candle))) == BTC, "a mark has no symbol: its batch is its trade's all the same"
    assert symbol_of(Send(FetchPositions())) == ""
    assert symbol_of(Send(FetchPositions(BTC))) == BTC


def _candle() -> ClosedCandle:
    return ClosedCandle(BTC, "1m", 0, D(1), D(1), D(1), D(1), D(1))
