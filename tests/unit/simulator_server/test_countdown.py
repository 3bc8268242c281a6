"""Countdown-cancel: timers a symbol, with and without the conditional orders."""

from __future__ import annotations

import pytest

from simulator.server.countdown import Countdowns
from tests.unit.simulator_server.support import Desk, frames

BTC, ETH = "BTCUSDT", "ETHUSDT"
PATH = "/fapi/v1/countdownCancelAll"


def rest_orders(desk: Desk) -> None:
    """Rest a plain order on both symbols and a stop on BTC."""
    for symbol, quantity in ((BTC, "0.010"), (ETH, "0.200")):
        price = format(desk.market.last_price(symbol).quantize(1) - 50, "f")
        order = {"symbol": symbol, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": quantity}
        desk.call("POST", "/fapi/v1/order", price=price, **order)
    trigger = format(desk.market.last_price(BTC).quantize(1) + 5_000, "f")
    stop = {"algoType": "CONDITIONAL", "symbol": BTC, "side": "BUY", "type": "STOP_MARKET", "quantity": "0.010"}
    desk.call("POST", "/fapi/v1/algoOrder", triggerPrice=trigger, **stop)


def let_run_out(desk: Desk, milliseconds: int) -> list[str]:
    desk.wall_ms += milliseconds
    over = desk.gateway.venue.countdowns.run_out(desk.exchange, desk.wall_ms)
    desk.hub.publish(desk.exchange.drain_events())
    return over


@pytest.mark.parametrize("cancels_algos", [False, True])
def test_timer_that_runs_out_cancels_its_symbol_once(desk: Desk, cancels_algos: bool) -> None:
    desk.gateway.venue.countdowns = Countdowns(cancels_algos=cancels_algos)
    rest_orders(desk)
    session = desk.user_stream()
    assert desk.call("POST", PATH, symbol=BTC, countdownTime=5_000) == {"symbol": BTC, "countdownTime": "5000"}
    assert let_run_out(desk, 4_999) == [] and len(desk.exchange.open_orders(BTC)) == 1
    assert let_run_out(desk, 1) == [BTC]
    assert desk.exchange.open_orders(BTC) == [] and len(desk.exchange.open_orders(ETH)) == 1
    assert len(desk.exchange.open_algos(BTC)) == (0 if cancels_algos else 1)
    kinds = [frame["e"] for frame in frames(session)]
    assert kinds == ["ORDER_TRADE_UPDATE", "ALGO_UPDATE"][: 2 if cancels_algos else 1]
    rest_orders(desk)
    assert let_run_out(desk, 60_000) == []


def test_timer_is_started_anew_by_each_call_and_stopped_by_zero(desk: Desk) -> None:
    rest_orders(desk)
    desk.call("POST", PATH, symbol=BTC, countdownTime=5_000)
    desk.call("POST", PATH, symbol=ETH, countdownTime=5_000)
    assert let_run_out(desk, 4_000) == []
    desk.call("POST", PATH, symbol=BTC, countdownTime=5_000)
    desk.call("POST", PATH, symbol=ETH, countdownTime=0)
    assert let_run_out(desk, 4_000) == []
    assert let_run_out(desk, 1_000) == [BTC]


def test_bad_timers_are_refused_and_cost_ten(desk: Desk) -> None:
    assert desk.error("POST", PATH, symbol="NONEUSDT", countdownTime=5) == (400, -1121)
    assert desk.error("POST", PATH, symbol=BTC, countdownTime=-5) == (400, -1130)
    assert desk.error("POST", PATH, symbol=BTC) == (400, -1102)
    assert desk.refused("POST", PATH, symbol=BTC, countdownTime=1).headers["X-MBX-USED-WEIGHT-1M"] == "40"
