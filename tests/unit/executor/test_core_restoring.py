"""A trade restored from its rows equals the one that wrote them, in every sum and in what it does next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.enums import AlgoStatus, Direction, Leg, OrderService, OrderType, Side
from core.ids import ClientOrderId
from core.records import ExitReason, TradeState
from executor.restoring import restore_trades
from executor.tracked import Phase, restore_order
from executor.trade import Trade
from tests.unit.executor.fake_venue import doubt
from tests.unit.executor.lab import BTC, D, Lab, refused


def _names(text: str) -> list[str]:
    return text.split()


SUMS = _names("""
    intent_id epoch signal_id symbol strategy direction position_side quantity reference_price stop_price target_price
    risk_usd client_order_id created_time_ms quote_asset max_holding_ms added added_cost exited_elsewhere exit_booked
    exit_cost realized_pnl fees funding opened_time_ms last_fill_time_ms exit_reason flagged entered exited leaves
    entry_price net_pnl entry_counted state evidence fills
""")

ORDER = _names("""
    client_order_id symbol strategy intent_id leg attempt service side position_side type quantity price stop_price
    reduce_only close_position created_time_ms reported reported_average booked booked_cost venue_order_id algo_id
    phase venue_status detail executed has_ended is_firing
""")


def _traded_by_many_hands() -> Lab:
    """An entry in two parts, enlarged twice and reduced twice by hand, funded, and closed in part by its stop."""
    lab = Lab()
    lab.venue.fill_parts = (D("0.25"), D("0.75"))
    lab.open_long()
    lab.venue.fill_parts = (D(1),)
    for number, (side, quantity, price) in enumerate(
        [
            (Side.BUY, "0.5", "100.1"),
            (Side.BUY, "0.25", "100.2"),
            (Side.SELL, "0.2", "100.3"),
            (Side.SELL, "0.3", "99.9"),
        ]
    ):
        lab.price(BTC, price)
        lab.venue.market_order(BTC, side, D(quantity), f"web_{number}")
        lab.flush()
        lab.run(250)
    lab.venue.pay_funding(BTC, D("-0.5"))
    lab.flush()
    lab.run(500)
    return lab


def _live(lab: Lab, intent: int = 1) -> Trade:
    return lab.core._desk.book.active[intent]


def _same(lab: Lab, names: list[str] = SUMS) -> Trade:
    live = _live(lab)
    (found,) = restore_trades(lab.rows.restore(), "USDT", lab.now_ms)
    assert {name: getattr(found, name) for name in names} == {name: getattr(live, name) for name in names}
    assert found.orders.keys() == live.orders.keys()
    for client_id, order in found.orders.items():
        told = {name: getattr(order, name) for name in ORDER}
        assert told == {name: getattr(live.orders[client_id], name) for name in ORDER}
    return found


def test_trade_that_many_hands_changed_is_restored_to_the_last_sum() -> None:
    lab = _traded_by_many_hands()
    found = _same(lab)
    assert found.added == D("0.75") and found.exited_elsewhere == D("0.5")
    assert found.first_fill_ms == lab.now_ms
    assert (found.plan.stop_price, found.plan.target_price) == (found.stop_price, found.target_price)


def test_trade_whose_close_filled_in_part_is_restored_and_goes_on_closing() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=1_000)
    lab.run(750)
    lab.venue.fill_share = D("0.5")
    lab.venue.fill_parts = (D("0.25"), D("0.75"))
    lab.fault(refused(), leg=Leg.CLOSE, where=lambda c: len(lab.submitted(Leg.CLOSE)) > 1, times=99)
    lab.run(500)
    found = _same(lab)
    assert found.leaves > 0
    assert found.exit_booked == found.quantity - found.leaves
    lab.venue.fill_share = D(1)
    again = lab.restart()
    again.venue.rules.clear()
    again.run(5_000)
    assert again.venue.position(BTC) == 0
    assert again.trade().state is TradeState.CLOSED
    assert again.trade().exit_price == D(100)


@pytest.mark.parametrize("direction", [Direction.LONG, Direction.SHORT])
def test_restored_trade_keeps_its_levels_when_a_stop_is_placed_again(direction: Direction) -> None:
    lab = Lab()
    lab.signal(BTC, direction)
    lab.run(500)
    before = lab.trade()
    for algo in list(lab.venue.algos):
        lab.venue.algos[algo] = replace(lab.venue.algos[algo], status=AlgoStatus.CANCELED)
    again = lab.restart()
    again.run(8_000)
    after = again.trade()
    assert (after.stop_price, after.target_price) == (before.stop_price, before.target_price)
    assert len(again.live_stops()) == 1
    assert after.stop_client_order_id != before.stop_client_order_id


@pytest.mark.parametrize(
    ("price", "reason"), [("99.7", ExitReason.STOP), ("100.7", ExitReason.TARGET), (None, ExitReason.RECONCILED)]
)
def test_reason_of_an_exit_that_was_not_written_is_read_from_its_fills(price: str | None, reason: ExitReason) -> None:
    lab = Lab()
    lab.open_long()
    rows = lab.rows.positions[1]
    if price is None:
        lab.venue.market_order(BTC, Side.SELL, lab.venue.position(BTC), "web_1")
        lab.flush()
    else:
        lab.price(BTC, price)
    lab.run(500)
    lab.rows.positions[1] = rows
    lab.rows.intents[1] = replace(lab.rows.intents[1], state=TradeState.PROTECTED)
    (found,) = restore_trades(lab.rows.restore(), "USDT", lab.now_ms)
    assert found.leaves == 0
    assert found.exit_reason is reason


def test_first_of_two_exit_reasons_stands_and_a_written_one_before_both() -> None:
    lab = _traded_by_many_hands()
    lab.price(BTC, "99.7")
    lab.rows.positions[1] = replace(lab.rows.positions[1], exit_reason=ExitReason.MAX_HOLDING, state=TradeState.CLOSING)
    lab.rows.intents[1] = replace(lab.rows.intents[1], state=TradeState.CLOSING)
    assert restore_trades(lab.rows.restore(), "USDT", 1)[0].exit_reason is ExitReason.MAX_HOLDING
    lab.rows.positions[1] = replace(lab.rows.positions[1], exit_reason=None)
    assert restore_trades(lab.rows.restore(), "USDT", 1)[0].exit_reason is ExitReason.RECONCILED


def test_fill_whose_leg_was_not_written_is_told_by_its_side() -> None:
    lab = _traded_by_many_hands()
    expected = _live(lab).leaves
    lab.rows.fills = {key: replace(fill, leg=None) for key, fill in lab.rows.fills.items()}
    (found,) = restore_trades(lab.rows.restore(), "USDT", lab.now_ms)
    assert found.leaves == expected
    assert found.exit_booked == D("0.5")


# --- before the fill ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [TradeState.INTENT, TradeState.SUBMITTED, TradeState.IN_DOUBT, TradeState.ACCEPTED])
@pytest.mark.parametrize("with_row", [True, False])
def test_entry_that_was_never_seen_to_fill_is_in_doubt(state: TradeState, with_row: bool) -> None:
    lab = Lab()
    lab.venue.mute = True
    lab.fault(doubt(), leg=Leg.ENTRY)
    lab.signal()
    live = _live(lab).entry
    assert live is not None
    lab.rows.intents[1] = replace(lab.rows.intents[1], state=state)
    if with_row:
        row = lab.rows.orders["ft-1-1-E0"]
        lab.rows.orders["ft-1-1-E0"] = replace(row, status="NEW" if state is TradeState.ACCEPTED else "SENDING")
    else:
        lab.rows.orders.clear()
    (found,) = restore_trades(lab.rows.restore(), "USDT", lab.now_ms + 7)
    entry = found.entry
    assert found.state is TradeState.IN_DOUBT
    assert entry is not None and entry.phase is Phase.IN_DOUBT
    names = [name for name in ORDER if name not in {"phase", "detail", "venue_status"}]
    told = {name: getattr(entry, name) for name in names}
    assert told == {name: getattr(live, name) for name in names}
    assert entry.created_time_ms == live.created_time_ms
    assert entry.sent_ms == lab.now_ms + 7
    assert (entry.type, entry.service, entry.close_position) == (OrderType.MARKET, OrderService.PLAIN, False)


def test_entry_that_was_refused_is_not_doubted_again() -> None:
    lab = Lab()
    lab.fault(doubt(), leg=Leg.ENTRY)
    lab.signal()
    for status, phase in (("REFUSED", Phase.REFUSED), ("ABSENT", Phase.ABSENT), ("EXPIRED", Phase.DONE)):
        lab.rows.orders["ft-1-1-E0"] = replace(lab.rows.orders["ft-1-1-E0"], status=status)
        (found,) = restore_trades(lab.rows.restore(), "USDT", lab.now_ms)
        assert found.entry is not None and found.entry.phase is phase
        assert found.entry.status == status


def test_open_trade_without_an_entry_row_is_not_given_one() -> None:
    lab = Lab()
    lab.open_long()
    del lab.rows.orders["ft-1-1-E0"]
    (found,) = restore_trades(lab.rows.restore(), "USDT", lab.now_ms)
    assert found.entry is None
    assert found.state is TradeState.PROTECTED
    assert (found.added, found.leaves) == (lab.trade().quantity, lab.trade().quantity)
    assert found.exit_requested is None


def test_close_that_was_under_way_is_taken_up_again_and_an_ended_one_is_not() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=1_000)
    lab.fault(refused(), leg=Leg.CLOSE, times=99)
    lab.run(1_500)
    (found,) = restore_trades(lab.rows.restore(), "USDT", lab.now_ms)
    assert found.newest(Leg.CLOSE) is not None
    assert found.exit_requested is None
    lab.rows.orders["ft-1-1-C0"] = replace(lab.rows.orders["ft-1-1-C0"], status="IN_DOUBT")
    (found,) = restore_trades(lab.rows.restore(), "USDT", lab.now_ms)
    assert found.exit_requested is ExitReason.RECONCILED


def test_trade_whose_position_is_closed_waits_for_its_sweep_only() -> None:
    lab = Lab()
    lab.open_long()
    lab.rows.positions[1] = replace(
        lab.rows.positions[1],
        state=TradeState.CLOSED,
        closed_time_ms=lab.now_ms - 5,
        exit_reason=ExitReason.TARGET,
        funding=D("-0.25"),
        flagged="by hand",
    )
    (found,) = restore_trades(lab.rows.restore(), "USDT", lab.now_ms)
    assert (found.state, found.closed_time_ms) == (TradeState.CLOSED, lab.now_ms - 5)
    assert (found.exit_reason, found.funding, found.flagged) == (ExitReason.TARGET, D("-0.25"), "by hand")
    assert found.entry_counted


def test_trades_are_restored_oldest_first_each_with_its_own_rows() -> None:
    lab = Lab()
    lab.open_long()
    lab.signal("ETHUSDT")
    lab.run(500)
    lab.rows.intents = dict(reversed(lab.rows.intents.items()))
    lab.rows.fills = dict(reversed(lab.rows.fills.items()))
    first, second = restore_trades(lab.rows.restore(), "USDT", lab.now_ms)
    assert [first.symbol, second.symbol] == ["BTCUSDT", "ETHUSDT"]
    for trade in (first, second):
        assert {fill.intent_id for fill in trade.fills} == {trade.intent_id}
        assert {ClientOrderId.parse(i).intent for i in trade.orders} == {trade.intent_id}  # type: ignore[union-attr]
        assert trade.leaves == trade.quantity


@pytest.mark.parametrize("changes", [{"client_order_id": "web_1"}, {"leg": None}, {"intent_id": None}])
def test_row_of_an_order_that_is_not_ours_is_not_restored(changes: dict[str, object]) -> None:
    lab = Lab()
    lab.open_long()
    row = lab.rows.orders["ft-1-1-S0"]
    assert restore_order(row, 5) is not None
    assert restore_order(replace(row, **changes), 5) is None  # type: ignore[arg-type]


def test_restored_order_keeps_every_field_of_its_row() -> None:
    lab = Lab()
    lab.open_long()
    for row in lab.rows.orders.values():
        odd = replace(row, price=D("1.5"), detail="why", average_price=D("99.5"), created_time_ms=3)
        order = restore_order(odd, 5)
        assert order is not None
        assert order.update_time_ms == odd.updated_time_ms
        assert order.sent_ms == 5
        assert order.to_record(odd.updated_time_ms) == odd
