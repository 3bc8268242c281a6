"""What people and the venue are told at the rare ends: halves that are left, refusals of exits, settings read back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.commands import Accepted, FetchBalances, FetchPositions, FetchSymbolConfig, RefusalKind, SymbolConfig
from core.effects import Notify, Send
from core.enums import AlgoStatus, Leg, MarginType, OrderType, PositionSide, Priority, Side
from core.events import AccountConfigChanged, AccountUpdated, MarginCalled
from core.orders import BalanceReport, PositionReport
from core.records import ExitReason, TradeState
from executor import kill, protection
from executor.account import Account
from executor.denials import DenialCode, denied
from executor.desk import Desk
from executor.exits import on_close_refused
from executor.halts import ALL, KILL, Halts
from executor.inputs import FlattenRequested, KillRequested
from executor.reconcile import _rest_ms
from executor.trade import Trade
from tests.unit.executor.fake_venue import doubt
from tests.unit.executor.lab import BTC, ETH, D, Lab, refused


def _two_open() -> Lab:
    lab = Lab()
    lab.open_long()
    lab.signal(ETH)
    lab.run(500)
    assert lab.state(2) is TradeState.PROTECTED
    return lab


def _drain(desk: Desk) -> tuple[list[object], list[str]]:
    effects = desk.out.drain(desk.venue_ms)
    sent = [effect.command for effect in effects if isinstance(effect, Send)]
    return list(sent), [effect.alert.text for effect in effects if isinstance(effect, Notify)]


# --- what is left of the account ------------------------------------------------------------------------------


def test_account_that_does_not_get_flat_names_every_open_position_after_a_minute() -> None:
    lab = _two_open()
    left = {symbol: lab.venue.position(symbol) for symbol in (BTC, ETH)}
    lab.fault(refused(RefusalKind.THROTTLED, -1008), leg=Leg.CLOSE, times=999)
    lab.feed(KillRequested("by hand", lab.now_ms))
    lab.run(61_000)
    (alert,) = [a for a in lab.alerts if a.title == "the account is not flat yet"]
    assert alert.text == (f"After 60 s: still open: BTCUSDT {left[BTC]}, ETHUSDT {left[ETH]}. It goes on trying.")


def test_symbol_that_does_not_get_flat_names_its_own_position_only() -> None:
    lab = _two_open()
    left = lab.venue.position(ETH)
    lab.fault(refused(RefusalKind.THROTTLED, -1008), leg=Leg.CLOSE, times=999)
    lab.feed(FlattenRequested(ETH, "by hand", lab.now_ms))
    lab.run(61_000)
    (alert,) = [a for a in lab.alerts if a.title == "ETHUSDT is not flat yet"]
    assert alert.text == f"After 60 s: still open: ETHUSDT {left}. It goes on trying."
    assert lab.state(1) is TradeState.PROTECTED


def test_entry_without_an_answer_is_named_by_its_state() -> None:
    lab = Lab()
    lab.fault(doubt(), leg=Leg.ENTRY)
    lab.signal()
    lab.feed(KillRequested("by hand", lab.now_ms))
    lab.run(250)
    assert lab.core._desk.unwinding[ALL].remaining == "still open: BTCUSDT in_doubt"
    lab.core._desk.book.active.clear()
    assert kill._open_text(lab.core._desk, lab.core._desk.unwinding[ALL]) == "fills without an owner"


def test_flat_account_names_what_is_not_ours_and_a_flat_symbol_only_its_own() -> None:
    lab = Lab()
    desk = lab.core._desk
    desk.foreign_positions = {ETH: "position of 1 that is not ours"}
    desk.foreign_orders = {BTC: "open order web_1 that is not ours"}
    kill.kill(desk, "by hand")
    kill.flatten(desk, BTC, "by hand")
    _drain(desk)
    kill._verified(desk, desk.unwinding[BTC])
    kill._verified(desk, desk.unwinding[ALL])
    assert desk.unwinding.keys() == {ALL}
    assert (desk.unwinding[ALL].is_verified, desk.unwinding[ALL].remaining) == (True, "")
    assert _drain(desk)[1] == [
        "The venue confirms: no position and no order of ours is left. Not ours and left alone: BTCUSDT. "
        "It takes entries again.",
        "The venue confirms: no position and no order of ours is left. Not ours and left alone: BTCUSDT, ETHUSDT. "
        "Nothing is entered until: main.py resume --yes",
    ]
    kill._verified(desk, desk.unwinding[ALL])
    assert desk.flat_counts == {ALL: 2, BTC: 1}


@pytest.mark.parametrize(
    ("symbol", "quantity", "foreign", "counts"),
    [(BTC, "1", False, True), (BTC, "0", False, False), (ETH, "1", False, False), (BTC, "1", True, False)],
)
def test_position_counts_against_flat_where_it_is_ours_and_meant(
    symbol: str, quantity: str, foreign: bool, counts: bool
) -> None:
    desk = Lab().core._desk
    kill.flatten(desk, BTC, "by hand")
    if foreign:
        desk.foreign_positions[symbol] = "not ours"
    row = PositionReport(symbol, PositionSide.BOTH, D(quantity), D(100), D(0), 0)
    assert kill._counts(desk, desk.unwinding[BTC], row) is counts


def test_resume_says_whether_it_was_allowed_and_counts() -> None:
    lab = Lab()
    desk = lab.core._desk
    assert kill.resume(desk) is True, "nothing is latched: there is nothing to wait for"
    kill.kill(desk, "by hand")
    assert kill.resume(desk) is False
    assert desk.halts.is_active(ALL, KILL)
    desk.unwinding[ALL].is_verified = True
    assert kill.resume(desk) is True
    assert desk.resumed == 2
    assert not desk.halts.active() and not desk.unwinding


@pytest.mark.parametrize(
    ("scope", "title"), [("vwap", "Risk limit hit: daily_loss (vwap)"), ("", "Risk limit hit: daily_loss")]
)
def test_limit_that_is_hit_is_titled_with_its_scope(scope: str, title: str) -> None:
    desk = Lab().core._desk
    kill.alert_limit(desk, denied(DenialCode("daily_loss"), loss=D(5)), scope)
    (effect,) = desk.out.drain(desk.venue_ms)
    assert isinstance(effect, Notify)
    assert effect.alert.title == title


# --- refused exits --------------------------------------------------------------------------------------------


def _open() -> tuple[Desk, Trade]:
    lab = Lab()
    lab.open_long()
    lab.run(1_000)
    desk = lab.core._desk
    desk.out.drain(desk.venue_ms)
    desk.reads.clear()
    return desk, desk.book.active[1]


@pytest.mark.parametrize("leg", [Leg.STOP, Leg.TARGET])
def test_protection_refused_because_nothing_is_left_asks_for_the_position(leg: Leg) -> None:
    desk, trade = _open()
    order = trade.newest(leg)
    assert order is not None
    before = trade.timers.target_retry_at_ms
    protection.on_protection_refused(desk, trade, order, refused(RefusalKind.REDUCE_ONLY, -2022))
    assert _drain(desk)[0] == [FetchPositions(BTC, Priority.EXIT)]
    due = desk.now_ms + desk.policy.target_retry_ms if leg is Leg.TARGET else before
    assert trade.timers.target_retry_at_ms == due
    assert trade.exit_requested is None


@pytest.mark.parametrize(("leg", "reason"), [(Leg.STOP, ExitReason.STOP), (Leg.TARGET, ExitReason.TARGET)])
def test_protection_that_would_trigger_is_left_at_market_for_its_reason(leg: Leg, reason: ExitReason) -> None:
    desk, trade = _open()
    order = trade.newest(leg)
    assert order is not None
    protection.on_protection_refused(desk, trade, order, refused(RefusalKind.WOULD_TRIGGER, -2021))
    assert trade.exit_requested is reason


def test_protection_refused_after_the_position_is_gone_changes_nothing() -> None:
    desk, trade = _open()
    order = trade.newest(Leg.STOP)
    assert order is not None
    trade.leaves = D(0)
    protection.on_protection_refused(desk, trade, order, refused(RefusalKind.WOULD_TRIGGER, -2021))
    assert trade.exit_requested is None
    trade.leaves = D(1)
    protection.on_protection_refused(desk, trade, order, refused(RefusalKind.WOULD_TRIGGER, -2021))
    assert trade.exit_requested is ExitReason.STOP


def test_close_refused_because_nothing_is_left_compares_the_leg_with_the_venue() -> None:
    desk, trade = _open()
    desk.suspects.clear()
    on_close_refused(desk, trade, refused(RefusalKind.REDUCE_ONLY, -2022))
    assert _drain(desk)[0] == [FetchPositions(BTC, Priority.EXIT)]
    assert desk.suspects.keys() == {(BTC, PositionSide.BOTH)}


@pytest.mark.parametrize(("retry_after_s", "rest_ms"), [(None, 0), (0.0, 0), (0.25, 250), (3.0, 3_000)])
def test_refused_read_rests_as_long_as_the_venue_says(retry_after_s: float | None, rest_ms: int) -> None:
    assert _rest_ms(replace(refused(), retry_after_s=retry_after_s)) == rest_ms
    assert _rest_ms(doubt()) == 0


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(OrderType.STOP_MARKET, ExitReason.STOP), (OrderType.TAKE_PROFIT_MARKET, ExitReason.TARGET)],
)
def test_leg_stuck_while_triggering_is_closed_at_market_for_its_reason(kind: OrderType, reason: ExitReason) -> None:
    lab = Lab()
    lab.open_long()
    leg = next(a.client_order_id for a in lab.venue.algos.values() if a.type is kind)
    lab.venue.end_algo(leg, AlgoStatus.TRIGGERING)
    lab.flush()
    lab.run(2_750)
    assert lab.venue.position(BTC) > 0
    lab.run(1_500)
    assert lab.venue.position(BTC) == 0
    assert lab.trade().exit_reason is reason
    (alert,) = [a for a in lab.alerts if a.title == "BTCUSDT: protective order does not work"]
    assert alert.text.startswith("it triggered, but the position is still open. ")


def test_stop_lost_while_others_were_refused_counts_its_time_from_the_loss() -> None:
    lab = Lab()
    lab.open_long()
    lab.run(10_000)
    lab.fault(refused(), leg=Leg.STOP, times=99)
    lab.venue.end_algo(lab.live_stops()[0], AlgoStatus.CANCELED)
    lost_ms = lab.now_ms
    lab.flush()
    assert lab.core._desk.book.active[1].timers.naked_since_ms == lost_ms
    lab.run(4_500)
    assert lab.venue.position(BTC) == 0
    assert lab.trade().exit_reason is ExitReason.STOP_FAILED


# --- the account's settings and money -------------------------------------------------------------------------


def test_leverage_read_back_equal_lets_the_symbol_trade_and_a_different_one_does_not() -> None:
    lab = Lab()
    lab.fault(doubt(), kind=FetchSymbolConfig)
    lab.feed(AccountConfigChanged(BTC, 20, None, lab.now_ms, lab.now_ms))
    assert "leverage 20" in str(lab.core.view().blocked[BTC])
    command = FetchSymbolConfig(BTC)
    lab.reply(
        command, Accepted((SymbolConfig(BTC, 7, MarginType.ISOLATED), SymbolConfig("DOGEUSDT", 5, MarginType.CROSSED)))
    )
    assert "leverage 7" in str(lab.core.view().blocked[BTC])
    lab.reply(command, Accepted((SymbolConfig(BTC, 5, MarginType.CROSSED),)))
    assert "CROSSED" in str(lab.core.view().blocked[BTC]).upper()
    lab.reply(command, doubt())
    assert BTC in lab.core.view().blocked
    lab.reply(command, Accepted((SymbolConfig(BTC, 5, MarginType.ISOLATED),)))
    assert lab.core.view().blocked == {}
    assert "DOGEUSDT" not in lab.core._desk.setup


def test_settings_are_compared_with_the_limits_of_their_own_symbol() -> None:
    lab = Lab()
    symbols = {**lab.config.symbols, BTC: replace(lab.config.symbols[BTC], leverage=20)}
    lab.core.set_limits(symbols)
    lab.fault(doubt(), kind=FetchSymbolConfig)
    lab.feed(AccountConfigChanged(BTC, 20, None, lab.now_ms, lab.now_ms))
    assert lab.core.view().blocked == {}
    lab.reply(FetchSymbolConfig(BTC), Accepted((SymbolConfig(BTC, 20, MarginType.ISOLATED),)))
    assert lab.core.view().blocked == {}
    lab.core.set_limits({**symbols, BTC: replace(symbols[BTC], leverage=10)})
    lab.reply(FetchSymbolConfig(BTC), Accepted((SymbolConfig(BTC, 20, MarginType.ISOLATED),)))
    assert BTC in lab.core.view().blocked


def test_margin_call_names_every_symbol() -> None:
    lab = Lab()
    lab.feed(MarginCalled((BTC, ETH), lab.now_ms, lab.now_ms))
    (alert,) = [a for a in lab.alerts if a.title == "Margin call"]
    assert "BTCUSDT, ETHUSDT" in alert.text


def _transfer(change: str, asset: str = "USDT") -> BalanceReport:
    return BalanceReport(asset, D(0), D(0), balance_change=D(change))


def test_transfer_moves_peak_and_days_start_alike_and_never_below_zero() -> None:
    account = Account("USDT", D(1_000), D(900))
    account.on_transfer([_transfer("50"), _transfer("7", "BNB")])
    assert (account.peak_equity, account.day_start_equity) == (1_050, 950)
    account.on_transfer([_transfer("-1000")])
    assert (account.peak_equity, account.day_start_equity) == (50, 0)
    unknown = Account("USDT", None, None)
    unknown.on_transfer([_transfer("50")])
    assert (unknown.peak_equity, unknown.day_start_equity) == (50, None)


def test_new_day_starts_from_the_equity_of_now() -> None:
    account = Account("USDT", D(1_000), D(900))
    account.on_balances([BalanceReport("USDT", D(800), D(800))])
    account.value(D(-50), D(0))
    account.start_day()
    assert account.day_start_equity == 750
    assert account.peak_equity == 1_000


def test_money_put_in_during_the_day_is_no_gain_of_the_day() -> None:
    lab = Lab()
    balances = (BalanceReport("USDT", D(12_000), D(12_000), balance_change=D(2_000)),)
    lab.feed(AccountUpdated("DEPOSIT", balances, (), lab.now_ms, lab.now_ms))
    assert lab.core._desk.account.day_start_equity == 12_000
    lab.reply(FetchBalances(), Accepted((BalanceReport("USDT", D(12_000), D(12_000)),)))
    assert lab.core._desk.account.peak_equity == 12_000


def test_note_on_a_halt_without_detail_stands_alone_and_is_made_once() -> None:
    halts = Halts()
    halts.raise_halt(ALL, KILL, "", 1)
    noted = halts.note(ALL, KILL, "verified flat")
    assert noted is not None and noted.detail == "verified flat"
    assert halts.note(ALL, KILL, "verified flat") is None
    halts.raise_halt(BTC, "x", "why", 1)
    noted = halts.note(BTC, "x", "then")
    assert noted is not None and noted.detail == "why; then"
    assert halts.note(ETH, "x", "then") is None


def test_fill_on_the_wrong_side_of_a_short_is_told_by_name() -> None:
    lab = Lab()
    lab.open_long()
    lab.venue.market_order(BTC, Side.SELL, D("0.5"), "adl_autoclose-1")
    lab.flush()
    assert "adl" in lab.trade().flagged.lower()
    assert any(a.title.startswith("BTCUSDT: ") and a.severity.name == "CRITICAL" for a in lab.alerts)
