"""Countdown-cancel through the official SDK: the resting entry goes when its timer is not armed again."""

from __future__ import annotations

import pytest

from simulator.service import ExchangeOptions
from tests.contract.simulator_support import START_MS, running

BTC = "BTCUSDT"


@pytest.mark.parametrize("cancels_algos", [False, True])
async def test_orders_are_cancelled_when_the_timer_runs_out(cancels_algos: bool) -> None:
    async with running(ExchangeOptions(start_ms=START_MS, countdown_cancels_algos=cancels_algos)) as exchange:
        rest, call = exchange.rest, exchange.call
        mark = float((await call(rest.mark_price, symbol=BTC)).actual_instance.mark_price)
        order = {"symbol": BTC, "side": "BUY", "quantity": "0.010"}
        await call(rest.new_order, type="LIMIT", time_in_force="GTC", price=f"{mark * 0.97:.1f}", **order)
        trigger = f"{mark * 1.1:.1f}"
        await call(rest.new_algo_order, algo_type="CONDITIONAL", type="STOP_MARKET", trigger_price=trigger, **order)
        armed = await call(rest.auto_cancel_all_open_orders, symbol=BTC, countdown_time=400)
        assert (armed.symbol, str(armed.countdown_time)) == (BTC, "400")
        assert len(await call(rest.current_all_open_orders, symbol=BTC)) == 1
        while await call(rest.current_all_open_orders, symbol=BTC):
            pass
        assert len(await call(rest.current_all_algo_open_orders, symbol=BTC)) == (0 if cancels_algos else 1)
