"""An entry is judged and sized by what is known of its own symbol and strategy, and of nothing else.

The guards themselves are tested as pure functions; here it is what they are given.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any

import pytest

from core.commands import FetchFills, FetchPositions
from core.effects import Notify, Persist
from core.enums import Direction, MarginType, PositionMode, PositionSide
from core.events import MarkPriceUpdated, PriceUpdated
from core.limits import StrategyLimits, SymbolLimits
from core.orders import LeverageBracket
from core.records import DenialRecord, PerformanceRecord, SignalRecord
from executor import desk as desks
from executor import entry, valuation
from executor.account import PositionFact
from executor.denials import DenialCode, denied
from executor.desk import Desk, HeldFill
from executor.risk import EntryView, OrderView
from executor.setup import SymbolSetup
from executor.sizing import SizingInput
from tests.unit.executor.lab import BTC, ETH, D, Lab, signal, trading_config

LADDER = (LeverageBracket(1, 50, D(0), D(1_000_000), D("0.004"), D(0)),)
VWAP = StrategyLimits(max_daily_loss=D(500), max_daily_quantity=D(900))


def lab_with_two_of_everything() -> Lab:
    """Return a lab in which no two symbols and no two strategies have a number in common; ETH is open."""
    base = trading_config()
    symbols = {
        BTC: SymbolLimits(
            BTC, 7, max_position_notional=D(4_000), max_exposure_fraction=D("0.4"), max_holding_ms=77_000
        ),
        ETH: SymbolLimits(
            ETH, 9, max_position_notional=D(3_000), max_exposure_fraction=D("0.3"), max_holding_ms=88_000
        ),
    }
    lab = Lab(config=replace(base, symbols=symbols, strategies={"vwap": VWAP, "trend": StrategyLimits()}))
    lab.signal(ETH, strategy="trend")
    lab.run(1_000)
    desk = lab.core._desk
    desk.setup[BTC] = SymbolSetup(BTC, 7, MarginType.CROSSED, LADDER, taker_fee_rate=D("0.0007"))
    desk.setup[ETH] = SymbolSetup(ETH, 9, MarginType.ISOLATED, taker_fee_rate=D("0.0009"))
    for strategy, symbol, realized, quantity in (("vwap", BTC, 5, 3), ("vwap", ETH, 7, 4), ("trend", BTC, 11, 6)):
        row = PerformanceRecord(
            strategy, symbol, desk.days.day, 1, 0, 1, -D(realized), D(0), D(0), D(0), D(quantity), lab.now_ms
        )
        desk.days._put(row)
    desk.days.consecutive_losses = 2
    for symbol, last, mark in ((BTC, "100", "100.3"), (ETH, "50", "50.1")):
        funding_ms = lab.now_ms + (1_000_000 if symbol == BTC else 2_000_000)
        desk.market.of(symbol).next_funding_time_ms = funding_ms - 500_000
        lab.feed(PriceUpdated(symbol, D(last), lab.now_ms, lab.now_ms))
        lab.feed(MarkPriceUpdated(symbol, D(mark), D(mark), D(0), funding_ms, lab.now_ms, lab.now_ms))
    lab.now_ms += 40
    return lab


def spy(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[Any, ...]]:
    """Note what a function of the entry room is called with."""
    called: list[tuple[Any, ...]] = []
    real: Callable[..., Any] = getattr(entry, name)

    def noted(*given: Any) -> Any:
        called.append(given)
        return real(*given)

    monkeypatch.setattr(entry, name, noted)
    return called


def test_entry_is_judged_by_what_is_known_of_its_symbol_and_strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_with_two_of_everything()
    desk, asked = lab.core._desk, spy(monkeypatch, "check_entry")
    valuation.revalue(desk)
    account = copy(desk.account)
    sent = lab.signal(BTC)
    ((view, limits, of_symbol),) = asked
    assert (limits, of_symbol) == (desk.config.limits, desk.config.symbols[BTC])
    assert view == EntryView(
        symbol=BTC,
        strategy="vwap",
        direction=Direction.LONG,
        price=D(100),
        stop_price=D("99.7"),
        target_price=D("100.6"),
        venue_time_ms=lab.now_ms,
        signal_age_ms=lab.now_ms - sent.event_time_ms,
        price_age_ms=40,
        next_funding_time_ms=lab.now_ms - 40 + 1_000_000,
        last_funding_time_ms=lab.now_ms - 40 + 500_000,
        equity=account.equity,
        peak_equity=account.peak_equity,
        day_start_equity=account.day_start_equity or D(0),
        day_net_pnl=desk.days.net_pnl(),
        unrealized_pnl=account.unrealized_pnl,
        strategy_day_net_pnl=D(-12),
        strategy_day_quantity=D(3),
        symbol_day_net_pnl=D(-16),
        consecutive_losses=2,
        open_positions=1,
        strategy_limits=VWAP,
    )
    assert view.unrealized_pnl != 0
    assert view.day_net_pnl == -23


def test_entry_is_sized_and_approved_by_its_own_limits_and_all_that_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_with_two_of_everything()
    desk = lab.core._desk
    sizes, plans, orders = (spy(monkeypatch, name) for name in ("size_entry", "approve_entry", "check_order"))
    is_known = {trade.intent_id for trade in desk.book.active.values()}
    lab.signal(BTC)
    (eth,) = (trade for trade in desk.book.of_symbol(ETH))
    (btc,) = (trade for trade in desk.book.active.values() if trade.intent_id not in is_known)
    open_eth = eth.leaves * D("50.1")
    equity, available = sizes[0][1].equity, sizes[0][1].available
    assert 0 < available < equity
    assert sizes == [
        (
            desk.config.sizing,
            SizingInput(
                direction=Direction.LONG,
                price=D(100),
                stop_price=D("99.7"),
                equity=equity,
                available=available,
                taker_fee_rate=D("0.0007"),
                leverage=7,
                brackets=LADDER,
                symbol_exposure=D(0),
                total_exposure=open_eth,
                max_position_notional=D(4_000),
                max_exposure_fraction=D("0.4"),
                max_total_exposure_fraction=desk.config.limits.max_total_exposure_fraction,
            ),
        )
    ]
    ((_, plan),) = plans
    assert (plan.price, plan.mark_price, plan.stop_price) == (100, D("100.3"), D("99.7"))
    ((order, limits, of_symbol),) = orders
    assert (limits, of_symbol) == (desk.config.limits, desk.config.symbols[BTC])
    assert order == OrderView(
        direction=Direction.LONG,
        price=D(100),
        stop_price=D("99.7"),
        quantity=btc.quantity,
        equity=equity,
        margin_available=available,
        leverage=7,
        margin_type=MarginType.CROSSED,
        brackets=LADDER,
        symbol_exposure=D(0),
        total_exposure=open_eth,
        strategy_day_quantity=D(3),
        strategy_limits=VWAP,
    )
    assert btc.quantity > 0
    assert btc.max_holding_ms == 77_000
    assert btc.risk_usd == btc.quantity * (D("0.3") + D("199.7") * (D("0.0007") + desk.config.sizing.slippage_fraction))


def test_entry_into_a_symbol_that_is_open_counts_it_as_its_own_exposure(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lab_with_two_of_everything()
    desk, sizes = lab.core._desk, spy(monkeypatch, "size_entry")
    desk.config = replace(desk.config, position_mode=PositionMode.HEDGE)
    desk.positions.facts.clear()
    lab.signal(ETH, Direction.SHORT, number=1, strategy="trend")
    held = desk.book.open_on(ETH, PositionSide.BOTH)
    assert held is not None
    ((_, data),) = sizes
    assert data.symbol_exposure == data.total_exposure == held.leaves * D("50.1")


def test_entry_before_the_first_mark_price_is_banded_around_the_last_price(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab()
    plans = spy(monkeypatch, "approve_entry")
    lab.core._desk.market.of(BTC).mark_price = None
    lab.signal(BTC)
    assert plans[0][1].mark_price == 100


def test_entry_without_any_price_is_denied_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab()
    views = spy(monkeypatch, "check_entry")
    market = lab.core._desk.market.of(BTC)
    market.last_price = market.mark_price = None
    lab.signal(BTC)
    assert (views[0][0].price, views[0][0].stop_price, views[0][0].target_price) == (None, None, None)
    assert [row.code for row in lab.rows.denials] == ["stale_data"]


# --- denials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["check_entry", "size_entry", "approve_entry", "check_order"])
def test_denial_of_any_step_is_stored_with_its_signal_and_counted(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    lab = Lab()
    refusal = denied(DenialCode.STRATEGY_DAILY_LOSS, loss=7)
    monkeypatch.setattr(entry, step, lambda *_: refusal)
    desk = lab.core._desk
    made = [signal(BTC, time_ms=lab.now_ms, number=number) for number in (0, 1)]
    for each in made:
        entry.on_signal(desk, each)
    assert desk.denials == 2
    assert not desk.book.active
    effects = desk.out.drain(desk.venue_ms)
    rows = [row for effect in effects if isinstance(effect, Persist) for row in effect.records]
    assert [row.signal for row in rows if isinstance(row, SignalRecord)] == made
    assert [row.denial_code for row in rows if isinstance(row, SignalRecord)] == [refusal.code.value] * 2
    denials = [row for row in rows if isinstance(row, DenialRecord)]
    assert [(row.signal_id, row.context) for row in denials] == [(each.signal_id, {"loss": "7"}) for each in made]
    told = [effect.alert.title for effect in effects if isinstance(effect, Notify)]
    assert told == [f"Risk limit hit: {refusal.code.value} (vwap)"] * 2


@pytest.mark.parametrize(("code", "scope"), [(DenialCode.SYMBOL_DAILY_LOSS, f" ({BTC})"), (DenialCode.DAILY_LOSS, "")])
def test_alert_of_a_limit_names_whose_it_is(monkeypatch: pytest.MonkeyPatch, code: DenialCode, scope: str) -> None:
    lab = Lab()
    monkeypatch.setattr(entry, "check_entry", lambda *_: denied(code))
    desk = lab.core._desk
    entry.on_signal(desk, signal(BTC, time_ms=lab.now_ms))
    told = [effect.alert.title for effect in desk.out.drain(desk.venue_ms) if isinstance(effect, Notify)]
    assert told == [f"Risk limit hit: {code.value}{scope}"]


# --- what may still act -------------------------------------------------------------------------------------------


def closed_with_a_live_stop(mode: PositionMode = PositionMode.ONEWAY) -> tuple[Lab, Desk]:
    """Return a trade that is over for us while its stop still lives at the venue."""
    lab = Lab()
    lab.open_long()
    desk = lab.core._desk
    desk.config = replace(desk.config, position_mode=mode)
    trade = desk.book.active[1]
    trade.state = type(trade.state).CLOSED
    assert not trade.is_clear
    return lab, desk


@pytest.mark.parametrize(
    ("mode", "side", "is_unresolved"),
    [
        (PositionMode.ONEWAY, PositionSide.BOTH, True),
        (PositionMode.HEDGE, PositionSide.BOTH, True),
        (PositionMode.HEDGE, PositionSide.SHORT, False),
    ],
)
def test_order_of_a_finished_trade_bars_the_leg_on_which_it_could_act(
    mode: PositionMode, side: PositionSide, is_unresolved: bool
) -> None:
    _, desk = closed_with_a_live_stop(mode)
    assert entry._has_unresolved(desk, desk.book.of_symbol(BTC), BTC, side) is is_unresolved


def test_trade_that_is_open_or_wholly_over_leaves_nothing_unresolved() -> None:
    lab = Lab()
    lab.open_long()
    desk = lab.core._desk
    trades = desk.book.of_symbol(BTC)
    assert not entry._has_unresolved(desk, trades, BTC, PositionSide.BOTH)
    desk.book.active[1].orders.clear()
    desk.book.active[1].state = type(desk.book.active[1].state).CLOSED
    assert not entry._has_unresolved(desk, trades, BTC, PositionSide.BOTH)


def test_fill_that_waits_for_its_order_bars_its_own_symbol() -> None:
    lab = Lab()
    lab.open_long()
    desk = lab.core._desk
    desk.held[BTC, 5] = HeldFill(lab.venue.fills[0], 0)
    assert entry._has_unresolved(desk, [], BTC, PositionSide.BOTH)
    assert not entry._has_unresolved(desk, [], ETH, PositionSide.BOTH)


@pytest.mark.parametrize(("quantity", "is_held"), [("1", True), ("-1", True), ("0", False), (None, False)])
def test_position_that_only_the_venue_knows_of_bars_its_leg(quantity: str | None, is_held: bool) -> None:
    desk = Lab().core._desk
    desk.positions.facts.clear()
    desk.positions.facts[ETH, PositionSide.BOTH] = PositionFact(D(3), 0, 0, from_stream=True)
    desk.positions.facts[BTC, PositionSide.LONG] = PositionFact(D(3), 0, 0, from_stream=True)
    if quantity is not None:
        desk.positions.facts[BTC, PositionSide.BOTH] = PositionFact(D(quantity), 0, 0, from_stream=True)
    assert entry._has_position(desk, [], BTC, PositionSide.BOTH) is is_held


@pytest.mark.parametrize("where", ["setup", "position", "order"])
def test_block_of_a_symbol_has_its_own_reason(where: str) -> None:
    desk = Lab().core._desk
    desk.foreign_positions, desk.foreign_orders = {ETH: "theirs"}, {ETH: "theirs"}
    assert entry._block_reason(desk, BTC, None) is None
    if where == "position":
        desk.foreign_positions[BTC] = "ours"
    elif where == "order":
        desk.foreign_orders[BTC] = "ours"
    assert entry._block_reason(desk, BTC, "ours" if where == "setup" else None) == "ours"


# --- the desk -----------------------------------------------------------------------------------------------------


def test_desk_without_a_set_up_takes_the_configured_one() -> None:
    desk = lab_with_two_of_everything().core._desk
    assert desk.setup_of(BTC).margin_type is MarginType.CROSSED
    desk.setup.clear()
    assert desk.setup_of(BTC) == SymbolSetup(BTC, 7, MarginType.ISOLATED)
    assert desk.setup_of("NEWUSDT") == SymbolSetup("NEWUSDT", SymbolLimits("").leverage, SymbolLimits("").margin_type)
    assert desk.limits_of("NEWUSDT") == SymbolLimits("NEWUSDT")


def test_desk_forgets_the_oldest_signals_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "KNOWN_SIGNALS_MAX", 2)
    desk = Lab().core._desk
    for name in ("a", "b"):
        desk.remember_signal(name)
    assert desk.is_known_signal("a")
    desk.remember_signal("c")
    assert [desk.is_known_signal(name) for name in ("a", "b", "c")] == [False, True, True]


def test_desk_expects_the_sum_of_a_leg_s_trades() -> None:
    lab = Lab()
    lab.open_long()
    desk = lab.core._desk
    trade = desk.book.active[1]
    desk.book.add(replace(trade, intent_id=9, orders={}, fills=[], client_order_id="ft-1-9-E0", added=D(2)))
    desk.book.active[9].recount()
    assert desk.expected((BTC, PositionSide.BOTH)) == trade.leaves + 2
    assert desk.expected((BTC, PositionSide.LONG)) == 0


def test_desk_sends_a_read_once_while_it_is_under_way_and_not_twice_in_a_moment() -> None:
    desk = Lab().core._desk
    command, started_ms = FetchPositions(BTC), desk.now_ms
    assert desk.ask(BTC, command)
    assert desk.inflight[command] == started_ms
    desk.now_ms = started_ms + desks.READ_LIFE_MS - 1
    assert not desk.ask(BTC, command)
    assert desk.ask(BTC, FetchFills(BTC, 0)), "another read"
    desk.now_ms += 1
    assert desk.ask(BTC, command), "its answer is given up"
    del desk.inflight[command]
    desk.now_ms += desks.READ_PAUSE_MS - 1
    assert not desk.ask(BTC, command)
    desk.now_ms += 1
    assert desk.ask(BTC, command)


def test_desk_forgets_reads_that_hold_back_nothing() -> None:
    desk = Lab().core._desk
    desk.reads.clear()
    old, young = FetchPositions(BTC), FetchPositions(ETH)
    desk.reads = {old: desk.now_ms - desks.READ_PAUSE_MS, young: desk.now_ms - desks.READ_PAUSE_MS + 1}
    desk.forget_reads()
    assert list(desk.reads) == [young]
