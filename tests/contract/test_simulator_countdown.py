"""Countdown-cancel through the official SDK: the resting entry goes when its timer is not armed again."""

from __future__ import annotations

import pytest

from core.clock import SystemClock
from core.commands import Accepted, SetCountdownCancel
from core.enums import Environment
from exchange.binance.gateway import BinanceGateway
from exchange.binance.settings import VenueSettings
from executor.deadman import VenueCountdown, refusal_of_venue
from executor.policy import ExecutionPolicy
from simulator.remote import ask_market
from simulator.service import DEFAULT_API_KEY, DEFAULT_API_SECRET, ExchangeOptions
from tests.contract.simulator_support import START_MS, running
from tests.unit.executor.lab import Lab
from tests.unit.executor.test_deadman import rest_an_entry

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


@pytest.mark.parametrize("cancels_algos", [False, True])
async def test_trader_knows_from_the_exchange_whether_its_countdown_takes_stops(cancels_algos: bool) -> None:
    async with running(ExchangeOptions(start_ms=START_MS, countdown_cancels_algos=cancels_algos)) as exchange:
        facts = await ask_market(exchange.info.rest_url)
        assert facts is not None
        refusal = refusal_of_venue(VenueCountdown(Environment.SIM, facts.countdown))
        assert (refusal is not None) is cancels_algos


async def test_entry_of_a_trader_that_falls_silent_is_cancelled_and_its_stop_stays() -> None:
    async with running(ExchangeOptions(start_ms=START_MS)) as exchange:
        rest, call, info = exchange.rest, exchange.call, exchange.info
        mark = float((await call(rest.mark_price, symbol=BTC)).actual_instance.mark_price)
        order = {"symbol": BTC, "side": "BUY", "quantity": "0.010"}
        await call(rest.new_order, type="LIMIT", time_in_force="GTC", price=f"{mark * 0.97:.1f}", **order)
        trigger = f"{mark * 1.1:.1f}"
        await call(rest.new_algo_order, algo_type="CONDITIONAL", type="STOP_MARKET", trigger_price=trigger, **order)
        settings = VenueSettings(info.rest_url, info.stream_url, DEFAULT_API_KEY, DEFAULT_API_SECRET)
        gateway = BinanceGateway(settings, SystemClock())
        await gateway.start()
        try:
            lab = Lab(policy=ExecutionPolicy(countdown_ms=1_500))
            lab.fault(Accepted(None), kind=SetCountdownCancel, times=100)
            rest_an_entry(lab)
            for _ in range(12):  # the core's own commands, each carried out at the real protocol
                before = len(lab.sent(SetCountdownCancel))
                lab.run(250)
                for command in lab.sent(SetCountdownCancel)[before:]:
                    assert isinstance((await gateway.execute(command)).outcome, Accepted)
            assert len(lab.sent(SetCountdownCancel)) >= 3
            assert len(await call(rest.current_all_open_orders, symbol=BTC)) == 1
            while await call(rest.current_all_open_orders, symbol=BTC):
                pass
            assert len(await call(rest.current_all_algo_open_orders, symbol=BTC)) == 1
            released = await gateway.execute(SetCountdownCancel(BTC, 0))
            assert isinstance(released.outcome, Accepted)
        finally:
            await gateway.close()
