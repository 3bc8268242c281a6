"""The ordinary life of a trade, from signal to closed row."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from core.commands import SubmitOrder
from core.effects import Persist, Send
from core.enums import Direction, Leg
from core.limits import SizingPolicy
from core.records import AccountStatRecord, ExitReason, IntentRecord, OrderRecord, SignalStatus, TradeState
from tests.unit.executor.lab import BTC, ETH, D, Lab, trading_config


def test_signal_when_accepted_commits_intent_and_order_before_sending() -> None:
    lab = Lab()
    lab.effects.clear()
    lab.signal()
    send = next(i for i, e in enumerate(lab.effects) if isinstance(e, Send) and isinstance(e.command, SubmitOrder))
    persist = lab.effects[send - 1]
    assert isinstance(persist, Persist)
    assert persist.durable
    assert not persist.proceed_on_failure
    kinds = {type(record) for record in persist.records}
    assert {IntentRecord, OrderRecord} <= kinds
    intent = next(r for r in persist.records if isinstance(r, IntentRecord))
    assert intent.client_order_id == lab.effects[send].command.approved.order.client_order_id


def test_entry_when_filled_is_protected_by_stop_and_target_around_the_actual_price() -> None:
    lab = Lab()
    lab.open_long()
    stop, target = lab.submitted(Leg.STOP)[0].approved.order, lab.submitted(Leg.TARGET)[0].approved.order
    assert (stop.trigger_price, target.trigger_price) == (D("99.7"), D("100.6"))
    assert stop.close_position
    assert target.close_position
    assert stop.quantity is None
    assert not stop.reduce_only
    assert lab.state() is TradeState.PROTECTED
    row = lab.trade()
    assert row.entry_price == D(100)
    assert row.stop_price == D("99.7")
    assert row.quantity == lab.venue.position(BTC) > 0


def test_entry_when_filled_in_parts_prices_stop_from_the_average() -> None:
    lab = Lab()
    lab.venue.fill_parts = (D("0.25"), D("0.75"))
    lab.open_long()
    assert len(lab.rows.fills) == 2
    assert len(lab.submitted(Leg.STOP)) == 1
    assert lab.trade().entry_quantity == lab.venue.position(BTC)


def test_size_when_fixed_risk_counts_fees_and_slippage() -> None:
    lab = Lab()
    lab.open_long()
    quantity = lab.venue.position(BTC)
    price, stop = D(100), D("99.7")
    unit_loss = (price - stop) + (price + stop) * (D("0.0005") + D("0.0005"))
    assert quantity * unit_loss <= 10 < (quantity + D("0.001")) * unit_loss


@pytest.mark.parametrize(("price", "reason", "sign"), [("100.7", ExitReason.TARGET, 1), ("99.5", ExitReason.STOP, -1)])
def test_position_when_a_level_is_reached_closes_and_rows_equal_the_wallet(
    price: str, reason: ExitReason, sign: int
) -> None:
    lab = Lab()
    start = lab.venue.wallet
    lab.open_long()
    lab.price(BTC, price)
    lab.run(1_000)
    row = lab.trade()
    assert row.state is TradeState.CLOSED
    assert row.exit_reason is reason
    assert row.quantity == 0
    assert row.realized_pnl * sign > 0
    assert start + row.realized_pnl - row.fees + row.funding == lab.venue.wallet
    assert all(a.status.is_terminal for a in lab.venue.algos.values())
    assert lab.core.view().wallet == lab.venue.wallet


def test_short_when_entered_has_levels_mirrored() -> None:
    lab = Lab()
    lab.signal(BTC, Direction.SHORT)
    lab.run(500)
    assert lab.submitted(Leg.STOP)[0].approved.order.trigger_price == D("100.3")
    assert lab.submitted(Leg.TARGET)[0].approved.order.trigger_price == D("99.4")
    lab.price(BTC, "99.3")
    lab.run(500)
    assert lab.trade().exit_reason is ExitReason.TARGET


def test_trigger_order_with_foreign_client_id_is_recognised_by_its_type() -> None:
    lab = Lab()
    lab.venue.trigger_client_id = lambda algo: f"web_{algo.algo_id}"
    lab.open_long()
    lab.price(BTC, "99.5")
    lab.run(1_000)
    assert lab.trade().exit_reason is ExitReason.STOP
    assert lab.trade().state is TradeState.CLOSED
    assert lab.core.view().corrections == 0


def test_sibling_when_venue_leaves_it_standing_is_cancelled() -> None:
    lab = Lab()
    lab.venue._expire_bound = lambda symbol: None  # type: ignore[method-assign]
    lab.open_long()
    lab.price(BTC, "100.7")
    lab.run(1_000)
    assert lab.trade().state is TradeState.CLOSED
    assert all(a.status.is_terminal for a in lab.venue.algos.values())


def test_holding_time_when_over_closes_at_market() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=5_000)
    lab.run(4_750)
    assert lab.state() is TradeState.PROTECTED
    lab.run(1_000)
    row = lab.trade()
    assert row.state is TradeState.CLOSED
    assert row.exit_reason is ExitReason.MAX_HOLDING
    close = lab.submitted(Leg.CLOSE)[0].approved.order
    assert close.reduce_only


def test_second_signal_when_position_is_open_is_denied() -> None:
    lab = Lab()
    lab.open_long()
    lab.signal(number=1)
    lab.signal(direction=Direction.SHORT, number=2)
    assert [d.code for d in lab.rows.denials] == ["position_open", "position_open"]
    assert len(lab.submitted(Leg.ENTRY)) == 1


def test_same_signal_twice_enters_once_and_keeps_its_row() -> None:
    lab = Lab()
    made = lab.signal()
    lab.run(500)
    lab.price(BTC, "100.7")
    lab.run(1_000)
    lab.signal()
    assert len(lab.submitted(Leg.ENTRY)) == 1 or lab.rows.signals[made.signal_id].status is SignalStatus.ENTERED


def test_two_symbols_trade_side_by_side() -> None:
    lab = Lab()
    lab.signal(BTC)
    lab.signal(ETH)
    lab.run(500)
    assert {row.symbol for row in lab.rows.positions.values()} == {BTC, ETH}
    assert len(lab.core.view().open_positions) == 2


def test_symbol_when_closed_can_be_entered_again() -> None:
    lab = Lab()
    lab.open_long()
    lab.price(BTC, "100.7")
    lab.run(1_000)
    lab.signal(number=1)
    lab.run(500)
    assert lab.state(2) is TradeState.PROTECTED


def test_performance_when_trades_close_counts_wins_losses_and_money() -> None:
    lab = Lab()
    lab.open_long()
    lab.price(BTC, "100.7")
    lab.run(1_000)
    lab.signal(number=1)
    lab.run(500)
    lab.price(BTC, "99")
    lab.run(1_000)
    (row,) = lab.rows.performance.values()
    assert (row.trades, row.wins, row.losses) == (2, 1, 1)
    net = row.realized_pnl - row.fees + row.funding
    assert D(10_000) + net == lab.venue.wallet
    assert row.entered_quantity == sum((p.entry_quantity for p in lab.rows.positions.values()), Decimal(0))


def test_funding_when_paid_goes_to_the_open_trade() -> None:
    lab = Lab()
    lab.open_long()
    lab.venue.pay_funding(BTC, D("-0.75"))
    lab.flush()
    lab.run(500)
    assert lab.trade().funding == D("-0.75")
    lab.price(BTC, "100.7")
    lab.run(1_000)
    row = lab.trade()
    assert D(10_000) + row.realized_pnl - row.fees + row.funding == lab.venue.wallet
    assert [r.intent_id for r in lab.rows.incomes.values()] == [1]


def test_funding_when_the_process_restarts_is_not_booked_again() -> None:
    """A restart reads the last hour of the ledger once more."""
    lab = Lab()
    lab.open_long()
    lab.venue.pay_funding(BTC, D("-0.75"))
    lab.flush()
    lab.run(500)
    second = lab.restart()
    second.run(5_000)
    assert second.trade().funding == D("-0.75")


def test_account_stat_when_ten_seconds_pass_and_at_each_close_is_written() -> None:
    lab = Lab()
    lab.open_long()
    before = len([r for r in lab.rows.others if isinstance(r, AccountStatRecord)])
    lab.price(BTC, "100.7")
    lab.run(500)
    after = [r for r in lab.rows.others if isinstance(r, AccountStatRecord)]
    assert len(after) > before
    assert after[-1].wallet_balance == lab.venue.wallet
    assert after[-1].equity == lab.venue.wallet
    lab.run(10_250)
    assert len([r for r in lab.rows.others if isinstance(r, AccountStatRecord)]) > len(after)


def test_signal_row_follows_its_trade() -> None:
    lab = Lab()
    made = lab.signal()
    assert lab.rows.signals[made.signal_id].status in (SignalStatus.APPROVED, SignalStatus.ENTERED)
    lab.run(500)
    assert lab.rows.signals[made.signal_id].status is SignalStatus.ENTERED


def test_trades_of_a_fraction_of_a_unit_live_the_same_life() -> None:
    """Quantities below one are the rule for expensive contracts."""
    lab = Lab(config=replace(trading_config(), sizing=SizingPolicy(fixed_quantity=D("0.2"))))
    for number in (1, 2):
        lab.signal(number=number)
        lab.run(1_500)
        assert lab.state(number) is TradeState.PROTECTED
        assert (lab.core.view().entries_filled, lab.core.view().trades_closed) == (number, number - 1)
        lab.price(BTC, "100.7")
        lab.run(1_500)
        lab.price(BTC, "100")
        lab.run(1_500)
        assert lab.state(number) is TradeState.CLOSED
        assert lab.trade(number).exit_reason is ExitReason.TARGET
        assert lab.venue.position(BTC) == 0
    assert {row.status for row in lab.rows.signals.values()} == {SignalStatus.ENTERED}
