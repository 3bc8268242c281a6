"""Faults of matching and of the algo service, on a market that does what the test writes down."""

from __future__ import annotations

import pytest

from core.enums import AlgoStatus, OrderStatus, OrderType, SymbolStatus, TimeInForce
from simulator.engine.errors import ApiError
from tests.unit.simulator_engine.support import BTC, BUY, ETH, SELL, assert_identity, refusal, words
from tests.unit.simulator_faults.support import D, FaultyEngine


@pytest.fixture
def engine() -> FaultyEngine:
    return FaultyEngine()


def stop(engine: FaultyEngine, trigger: str = "900") -> int:
    """Rest a stop that closes the position; returns its algo id."""
    return engine.algo(SELL, OrderType.STOP_MARKET, trigger, close_position=True).algo_id


# -- fills ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "filled"), [("0", "0.001"), ("0.3", "0.300"), ("0.999", "0.999")])
def test_market_order_fills_in_part_and_its_rest_expires(engine: FaultyEngine, share: str, filled: str) -> None:
    engine.inject("partial_fill", target=BTC, amount=share)
    order = engine.market_order(BUY, "1")
    assert (order.status, order.executed_quantity) == (OrderStatus.EXPIRED, D(filled))
    assert engine.position() == D(filled)
    assert engine.market_order(BUY, "1").status is OrderStatus.FILLED
    assert_identity(engine.exchange)


def test_limit_order_fills_in_part_and_its_rest_stays_in_the_book(engine: FaultyEngine) -> None:
    engine.inject("partial_fill", amount="0.5")
    order = engine.limit_order(BUY, "2", "1010")
    assert (order.status, order.executed_quantity) == (OrderStatus.PARTIALLY_FILLED, D(1))
    engine.trade("1009")
    assert engine.position() == 2


def test_resting_order_fills_by_parts_while_the_fault_lasts(engine: FaultyEngine) -> None:
    engine.limit_order(BUY, "1", "990")
    engine.inject("partial_fill", for_ms=1_000, amount="0.5")
    engine.trade("980", "980")
    assert engine.position() == D("0.750")
    engine.wait(1_000)
    engine.trade("980")
    assert engine.position() == 1


def test_fault_of_another_symbol_leaves_fills_alone(engine: FaultyEngine) -> None:
    engine.inject("partial_fill", for_ms=1_000, target=ETH)
    assert engine.market_order(BUY, "1").status is OrderStatus.FILLED


def test_empty_asks_refuse_buyers_only_and_the_stop_still_fires(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "1")
    engine.inject("empty_side", for_ms=1_000, target=BTC, detail="asks")
    with refusal(-1112):
        engine.market_order(BUY, "1")
    assert engine.limit_order(BUY, "1", "1040", time_in_force=TimeInForce.GTX).status is OrderStatus.NEW
    engine.market_order(SELL, "1", reduce_only=True)
    assert engine.position() == 0


def test_stop_into_an_empty_side_is_rejected_at_its_trigger(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "1")
    algo_id = stop(engine)
    engine.inject("empty_side", for_ms=1_000, detail="bids")
    engine.trade("890")
    assert engine.exchange.get_algo(algo_id).status is AlgoStatus.REJECTED
    assert engine.position() == 1
    engine.wait(1_000)
    engine.market_order(SELL, "1", reduce_only=True)


def test_partial_fill_of_one_order_does_not_bound_the_next(engine: FaultyEngine) -> None:
    engine.inject("partial_fill", amount="0.001")
    engine.market_order(BUY, "1")
    order = engine.limit_order(BUY, "5", "1010", time_in_force=TimeInForce.FOK)
    assert order.status is OrderStatus.FILLED


# -- prices and contracts -------------------------------------------------------------------------------------------


def test_gap_passes_the_stop_and_it_fills_beyond(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "1")
    algo_id = stop(engine, "990")
    engine.inject("price_gap", for_ms=1_000, target=BTC, amount="-0.05")
    engine.wait(0)
    assert engine.faulty_market.last_price(BTC) == D("950.0")
    assert engine.faulty_market.mark_price(BTC) == 950
    engine.trade("1000")
    assert engine.exchange.get_algo(algo_id).status is AlgoStatus.FINISHED
    assert engine.exchange.user_trades(BTC)[-1].price == D("950.0")
    engine.wait(1_000)
    assert engine.faulty_market.last_price(BTC) == 1000


def test_gap_alone_liquidates_what_it_must(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "100")
    engine.inject("hand_withdraw", amount="0.9")
    engine.inject("price_gap", for_ms=60_000, amount="-0.1")
    engine.wait(0)
    engine.trade("1000")
    assert engine.position() == 0
    assert engine.exchange.all_orders(BTC)[-1].client_order_id.startswith("autoclose-")


def test_settling_symbol_takes_no_entry_but_an_exit_and_then_trades_again(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "1")
    engine.inject("symbol_status", for_ms=5_000, target=BTC, detail="SETTLING")
    engine.wait(0)
    assert engine.faulty_market.specs[BTC].instrument.status is SymbolStatus.SETTLING
    with refusal(-4140):
        engine.market_order(BUY, "1")
    engine.market_order(SELL, "1", reduce_only=True)
    engine.market_order(BUY, "1", ETH)
    engine.wait(5_000)
    engine.market_order(BUY, "1")


def test_changed_filters_refuse_what_was_fine_and_let_the_exit_pass(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "0.006")
    engine.inject("filter_change", for_ms=5_000, target=BTC, amount=10)
    engine.inject("filter_change", target=ETH, amount=10, detail="tick")
    engine.wait(0)
    with refusal(-4164):
        engine.market_order(BUY, "0.006")
    engine.market_order(SELL, "0.006", reduce_only=True)
    with refusal(-4014):
        engine.limit_order(BUY, "1", "990.1", ETH)
    engine.wait(60_000)
    with refusal(-4014):
        engine.limit_order(BUY, "1", "990.1", ETH)  # without a length it stays


def test_step_change_leaves_a_position_off_the_grid_that_only_close_position_ends(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "0.015")
    engine.inject("filter_change", for_ms=5_000, amount=10, detail="step")
    engine.wait(0)
    with refusal(-4023):
        engine.market_order(SELL, "0.015", reduce_only=True)
    stop(engine, "990")
    engine.trade("980")
    assert engine.position() == 0


def test_smaller_brackets_bound_the_next_order(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "40")
    engine.inject("bracket_change", for_ms=5_000, amount="0.1")
    engine.wait(0)
    first, second, _ = engine.exchange.brackets(BTC)[BTC]
    assert (first.notional_cap, second.notional_floor, second.cum) == (5_000, 5_000, 75)
    with pytest.raises(ApiError):
        engine.market_order(BUY, "40")
    engine.wait(5_000)
    engine.market_order(BUY, "40")


def test_changed_brackets_liquidate_at_once_what_they_no_longer_allow(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "100")
    engine.inject("hand_withdraw", amount="1")
    engine.wait(0)
    engine.market.marks[BTC] = D(995)
    engine.wait(0)
    assert engine.position() == 100
    engine.inject("bracket_change", for_ms=5_000, amount="0.05")
    engine.wait(0)
    assert engine.position() == 0


def test_levels_that_a_gap_moves_onto_one_tick_keep_their_quantity(engine: FaultyEngine) -> None:
    engine.market.book([("1000.0", "1"), ("999.9", "2"), ("999.8", "3")], [("1000.1", "4"), ("1000.2", "5")])
    engine.inject("price_gap", for_ms=1_000, amount="-0.5")
    engine.wait(0)
    bids, asks = engine.faulty_market.depth(BTC, 5)
    assert (sum(quantity for _, quantity in bids), sum(quantity for _, quantity in asks)) == (6, 9)
    assert len(bids) < 3 and bids[0][0] == 500


# -- forced closes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "amount", "prefix", "left"),
    [
        ("liquidate", None, "autoclose-", "0"),
        ("adl", "0.4", "adl_autoclose", "0.6"),
        ("adl", "1", "adl_autoclose", "0"),
        ("settle", None, "settlement_autoclose-", "0"),
    ],
)
def test_forced_close_of_the_position_that_there_is(
    engine: FaultyEngine, kind: str, amount: str | None, prefix: str, left: str
) -> None:
    engine.market_order(BUY, "1", ETH)
    engine.events()
    fault = engine.inject(kind, amount=amount)
    engine.wait(0)
    assert engine.position(ETH) == D(left)
    assert engine.exchange.all_orders(ETH)[-1].client_order_id.startswith(prefix)
    assert "CALCULATED:FILLED" in words(engine.events())
    assert [(fired.fault, fired.subject) for fired in engine.injector.fired] == [(fault, ETH)]


@pytest.mark.parametrize("kind", ["liquidate", "adl", "settle", "hand_close", "hand_add", "algo_vanish"])
def test_fault_without_anything_to_hit_is_not_counted(engine: FaultyEngine, kind: str) -> None:
    engine.inject(kind)
    engine.wait(0)
    assert engine.injector.fired == [] and words(engine.events()) == []


# -- algo service ---------------------------------------------------------------------------------------------------


def test_stuck_stop_hangs_in_triggering_then_makes_its_order_late(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "1")
    algo_id = stop(engine)
    engine.inject("algo_stuck", amount=20_000)
    engine.trade("890")
    assert engine.exchange.get_algo(algo_id).status is AlgoStatus.TRIGGERING
    with refusal(-4117):
        engine.exchange.cancel_algo(algo_id)
    engine.wait(19_999)
    assert engine.position() == 1
    engine.wait(1)
    assert engine.exchange.get_algo(algo_id).status is AlgoStatus.FINISHED
    assert engine.position() == 0


@pytest.mark.parametrize(("detail", "end"), [("", AlgoStatus.REJECTED), ("expire", AlgoStatus.EXPIRED)])
def test_stuck_stop_of_a_position_that_was_closed_meanwhile_opens_nothing(
    engine: FaultyEngine, detail: str, end: AlgoStatus
) -> None:
    engine.market_order(BUY, "1")
    algo_id = stop(engine)
    engine.inject("algo_stuck", amount=1_000, detail=detail)
    engine.trade("890")
    engine.market_order(SELL, "1", reduce_only=True)
    engine.wait(1_000)
    assert engine.exchange.get_algo(algo_id).status is end
    assert engine.position() == 0 and engine.exchange.open_algos() == []


def test_stop_is_rejected_at_its_trigger_with_a_reason(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "1")
    algo_id = stop(engine)
    engine.events()
    engine.inject("algo_reject", detail="Margin is gone.")
    engine.trade("890")
    found = engine.exchange.get_algo(algo_id)
    assert (found.status, found.reject_reason) == (AlgoStatus.REJECTED, "Margin is gone.")
    assert engine.position() == 1
    stop(engine, "880")
    engine.trade("870")
    assert engine.position() == 0


@pytest.mark.parametrize(("detail", "told"), [("silent", []), ("event", ["ALGO:EXPIRED"])])
def test_vanished_stop_is_gone_with_or_without_a_word(engine: FaultyEngine, detail: str, told: list[str]) -> None:
    engine.market_order(BUY, "1")
    engine.algo(SELL, OrderType.TAKE_PROFIT_MARKET, "1100", close_position=True)
    algo_id = stop(engine)
    engine.events()
    engine.inject("algo_vanish", target=BTC, detail=detail)
    engine.wait(0)
    assert words(engine.events()) == told
    assert engine.exchange.get_algo(algo_id).status is AlgoStatus.EXPIRED
    assert [order.type for order in engine.exchange.open_algos()] == [OrderType.TAKE_PROFIT_MARKET]
    engine.trade("890")
    assert engine.position() == 1


# -- the owner's hand -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "amount", "left"),
    [("hand_close", None, "0"), ("hand_reduce", "0.3", "-1.400"), ("hand_add", "0.25", "-2.500")],
)
def test_hand_changes_the_position_by_an_order_of_its_own(
    engine: FaultyEngine, kind: str, amount: str | None, left: str
) -> None:
    engine.market_order(SELL, "2")
    engine.inject(kind, amount=amount)
    engine.wait(0)
    assert engine.position() == D(left)
    assert engine.exchange.all_orders(BTC)[-1].client_order_id.startswith("web_")


def test_hand_that_reduces_never_turns_the_position_round(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "1")
    engine.inject("hand_reduce", amount=3)
    engine.wait(0)
    assert engine.position() == 0


def test_hand_cancels_the_stop_and_leaves_the_target(engine: FaultyEngine) -> None:
    engine.market_order(BUY, "1")
    engine.algo(SELL, OrderType.TAKE_PROFIT_MARKET, "1100", close_position=True)
    algo_id = stop(engine)
    engine.inject("hand_cancel_stop")
    engine.wait(0)
    assert engine.exchange.get_algo(algo_id).status is AlgoStatus.CANCELED
    assert len(engine.exchange.open_algos()) == 1


def test_hand_changes_leverage_and_takes_money_out(engine: FaultyEngine) -> None:
    engine.inject("hand_leverage", target=ETH, amount=3)
    engine.inject("hand_withdraw", amount="0.3")
    before = engine.wallet()
    engine.wait(0)
    assert engine.exchange.symbol_config(ETH)[0].leverage == 3
    assert engine.wallet() == before * D("0.7")
    assert_identity(engine.exchange)


def test_foreign_order_rests_and_foreign_position_stands(engine: FaultyEngine) -> None:
    engine.inject("foreign_order", target=ETH, amount="0.9")
    engine.inject("foreign_position", target=BTC, amount=200)
    engine.wait(0)
    assert [order.price for order in engine.exchange.open_orders(ETH)] == [D("900.0")]
    assert engine.position() == D("0.200")


def test_hand_that_the_exchange_refuses_has_done_nothing(engine: FaultyEngine) -> None:
    engine.inject("hand_leverage", target=BTC, amount=1_000)
    engine.wait(0)
    assert engine.injector.fired == []


def test_hand_switches_the_position_mode_unless_a_position_forbids_it(engine: FaultyEngine) -> None:
    engine.inject("hand_position_mode")
    engine.wait(0)
    assert engine.exchange.is_hedge_mode
    engine.inject("foreign_position")
    engine.wait(0)
    engine.inject("hand_position_mode")
    engine.wait(0)
    assert engine.exchange.is_hedge_mode
    assert engine.injector.counts["hand_position_mode"] == 1  # type: ignore[index]


def test_hand_works_on_the_legs_of_a_hedge(engine: FaultyEngine) -> None:
    engine.exchange.set_position_mode(True)
    engine.inject("foreign_position", target=BTC, amount=1_000)
    engine.wait(0)
    engine.inject("hand_add", amount="1")
    engine.wait(0)
    engine.inject("hand_close")
    engine.inject("foreign_order", target=BTC)
    engine.wait(0)
    assert all(not view.quantity for view in engine.exchange.positions())
    assert engine.injector.counts.total() == 4
