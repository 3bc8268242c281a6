"""Same seed and same requests: byte-identical events, however finely time is sliced, on the real market too."""

from __future__ import annotations

import random
from contextlib import suppress
from decimal import Decimal

import msgspec
import pytest

from core.enums import OrderType, Side, TimeInForce
from core.instrument import Rounding
from simulator.engine.errors import ApiError
from simulator.engine.exchange import Exchange
from simulator.engine.requests import PlaceAlgo, PlaceOrder
from simulator.market.catalog import generated_specs
from simulator.market.market import Market

START_MS = 1_764_000_000_000
PERIOD_MS = 20_000
PERIODS = 60


def trade_at_random(exchange: Exchange, rng: random.Random) -> None:
    """Enter at market with a stop and a target near by, or rest a limit order, or cancel everything."""
    symbol = rng.choice(list(exchange.market.specs))
    instrument = exchange.market.specs[symbol].instrument
    last = exchange.market.last_price(symbol)
    side = rng.choice(list(Side))
    quantity = instrument.round_quantity(Decimal(300) / last) + instrument.step_size
    near = instrument.round_price(last * (1 - side.sign * Decimal("0.0005")), Rounding.NEAREST)
    far = instrument.round_price(last * (1 + side.sign * Decimal("0.0008")), Rounding.NEAREST)
    kind = rng.random()
    if kind < 0.1:
        exchange.cancel_all(symbol)
    elif kind < 0.4:
        exchange.place_order(
            PlaceOrder(symbol, side, OrderType.LIMIT, quantity=quantity, price=near, time_in_force=TimeInForce.GTC)
        )
    else:
        exchange.place_order(PlaceOrder(symbol, side, OrderType.MARKET, quantity=quantity))
        for order_type, price in ((OrderType.STOP_MARKET, near), (OrderType.TAKE_PROFIT_MARKET, far)):
            exchange.place_algo(PlaceAlgo(symbol, side.opposite, order_type, trigger_price=price, close_position=True))


def new_exchange(seed: int, at_ms: int = START_MS) -> Exchange:
    market = Market.generated(generated_specs(4), seed=seed, start_ms=START_MS)
    market.seek(at_ms)
    return Exchange(market)


def event_log(seed: int, slices: int, restart_every: int = PERIODS) -> bytes:
    """Play all periods; after every `restart_every` of them, go on with an exchange rebuilt from its facts."""
    exchange = new_exchange(seed)
    facts = exchange.take_changes()
    rng = random.Random(seed)
    log: list[object] = []
    for period in range(1, PERIODS + 1):
        end_ms = START_MS + period * PERIOD_MS
        for part in range(1, slices + 1):
            log += exchange.advance(end_ms - PERIOD_MS + PERIOD_MS * part // slices)
        with suppress(ApiError):
            trade_at_random(exchange, rng)
        log += exchange.drain_events()
        facts += exchange.take_changes()
        if period % restart_every == 0:
            exchange = new_exchange(seed, exchange.now_ms)
            exchange.restore(facts)
    return msgspec.json.encode([(type(event).__name__, event) for event in log])


@pytest.fixture(scope="module")
def reference() -> bytes:
    return event_log(seed=7, slices=1)


def test_same_seed_and_requests_give_identical_bytes(reference: bytes) -> None:
    assert event_log(seed=7, slices=1) == reference


@pytest.mark.parametrize("slices", [3, 1000])
def test_slicing_of_time_leaves_no_trace(reference: bytes, slices: int) -> None:
    assert event_log(seed=7, slices=slices) == reference


@pytest.mark.parametrize("restart_every", [1, 7])
def test_restart_from_the_journal_leaves_no_trace(reference: bytes, restart_every: int) -> None:
    assert event_log(seed=7, slices=1, restart_every=restart_every) == reference


def test_log_of_another_seed_differs(reference: bytes) -> None:
    assert event_log(seed=8, slices=1) != reference


def test_the_run_is_worth_comparing(reference: bytes) -> None:
    """The compared log holds fills, triggers, expiries and finished conditional orders, not just market trades."""
    for word in (b'"FINISHED"', b'"EXPIRED"', b'"TRADE"', b'"FILLED"', b'"TRIGGERED"', b"KlineClosed"):
        assert word in reference
