"""Whole generated schedules against an exchange in use: it never breaks, its books stay right, and it replays."""

from __future__ import annotations

import hashlib
from random import Random

import orjson
import pytest

from core.instrument import Rounding
from simulator.faults.kinds import RULES, FaultKind, Site
from simulator.faults.schedule import FaultSchedule
from simulator.server.stream_names import Category
from tests.unit.simulator_engine.support import assert_identity
from tests.unit.simulator_faults.support import BTC, ETH, FaultyVenue

HORIZON_MS = 240_000
ALGO = {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "closePosition": "true", "workingType": "MARK_PRICE"}


def ask(venue: FaultyVenue, rng: Random) -> tuple[str, str, dict[str, str]]:
    """Return one request of a client that trades, protects, looks up and cancels at random."""
    symbol, side = rng.choice((BTC, ETH)), rng.choice(("BUY", "SELL"))
    quantity = "0.020" if symbol == BTC else "0.400"
    price = venue.market.last_price(symbol)
    spec = venue.market.specs[symbol].instrument
    near = format(spec.round_price(price * (99 if side == "SELL" else 101) / 100, Rounding.NEAREST), "f")
    order = {"symbol": symbol, "side": side, "quantity": quantity}
    return rng.choice(
        (
            ("POST", "/fapi/v1/order", {**order, "type": "MARKET"}),
            ("POST", "/fapi/v1/order", {**order, "type": "LIMIT", "timeInForce": "GTC", "price": near}),
            ("POST", "/fapi/v1/algoOrder", {**ALGO, "symbol": symbol, "side": side, "triggerPrice": near}),
            ("DELETE", "/fapi/v1/algoOpenOrders", {"symbol": symbol}),
            ("DELETE", "/fapi/v1/allOpenOrders", {"symbol": symbol}),
            ("GET", "/fapi/v1/openOrders", {}),
            ("GET", "/fapi/v1/userTrades", {"symbol": symbol}),
            ("GET", "/fapi/v3/positionRisk", {}),
            ("GET", "/fapi/v1/klines", {"symbol": symbol, "interval": "1m", "limit": "5"}),
            ("POST", "/fapi/v1/listenKey", {}),
        )
    )


def play(seed: int) -> tuple[str, FaultyVenue]:
    """Play one schedule and return the digest of all that a client saw, and the venue."""
    schedule = FaultSchedule.generate(seed, horizon_ms=HORIZON_MS, symbols=(BTC, ETH), mean_pause_ms=2_500)
    venue = FaultyVenue(*schedule.faults)
    rng, seen = Random(seed), hashlib.sha256()
    sessions = [venue.user_stream(), venue.connect(Category.MARKET, "btcusdt@kline_1m", "ethusdt@markPrice@1s")]
    for step in range(HORIZON_MS // 500 + 20):
        method, path, parameters = ask(venue, rng)
        answer = venue.send(method, path, **parameters)
        status = answer.response.status if answer.response is not None else 0
        seen.update(f"{step} {status} {answer.delay_ms}".encode())
        if answer.response is not None:
            assert answer.response.status != 500 or b"Unknown error" in answer.response.body
            seen.update(answer.response.body)
        venue.wait(500)
        for session in sessions:
            for frame in session.outgoing:
                seen.update(frame)
            session.outgoing.clear()
        if step % 60 == 59:
            sessions.append(venue.connect(Category.MARKET, "btcusdt@markPrice@1s"))
        if step % 20 == 0:
            assert_identity(venue.exchange)
    assert_identity(venue.exchange)
    return seen.hexdigest(), venue


@pytest.mark.parametrize("seed", range(8))
def test_books_stay_right_under_a_whole_schedule_and_it_replays_to_the_byte(seed: int) -> None:
    first, venue = play(seed)
    again, other = play(seed)
    assert first == again
    assert venue.injector.fired == other.injector.fired
    assert len(venue.injector.fired) > 30
    assert orjson.dumps([change.value for change in venue.exchange.take_changes()])


def test_whole_schedules_reach_every_site() -> None:
    kinds = {kind for seed in range(4) for kind in play(seed)[1].injector.counts}
    assert {RULES[kind].site for kind in kinds} == set(Site)
    assert len(kinds) > len(FaultKind) * 0.7, sorted(set(FaultKind) - kinds)
