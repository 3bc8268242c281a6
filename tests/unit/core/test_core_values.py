"""Rounding, ids, clocks and the bus."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bus import Bus
from core.clock import SystemClock, VirtualClock
from core.enums import Direction, Leg, Side, SymbolStatus
from core.ids import ClientOrderId, is_ours
from core.instrument import Instrument, Rounding, plain
from core.signal import ExitPlan


def instrument(tick: str = "0.10", step: str = "0.001") -> Instrument:
    return Instrument(
        symbol="BTCUSDT",
        base_asset="BTC",
        quote_asset="USDT",
        status=SymbolStatus.TRADING,
        tick_size=Decimal(tick),
        min_price=Decimal("0.1"),
        max_price=Decimal("1000000"),
        step_size=Decimal(step),
        min_quantity=Decimal(step),
        max_quantity=Decimal("1000"),
        market_step_size=Decimal(step),
        market_min_quantity=Decimal(step),
        market_max_quantity=Decimal("120"),
        min_notional=Decimal("100"),
        multiplier_up=Decimal("1.05"),
        multiplier_down=Decimal("0.95"),
        market_take_bound=Decimal("0.05"),
        trigger_protect=Decimal("0.05"),
    )


@given(
    price=st.decimals(min_value="0.00000001", max_value="1000000", places=8),
    tick=st.sampled_from(["0.10", "0.01", "0.00001", "1", "10", "0.5", "0.0000001"]),
)
def test_instrument_round_price_lands_on_the_grid_on_the_named_side(price: Decimal, tick: str) -> None:
    rules = instrument(tick=tick)
    down = rules.round_price(price, Rounding.DOWN)
    up = rules.round_price(price, Rounding.UP)
    assert down <= price <= up
    assert up - down in (0, rules.tick_size)
    assert rules.is_on_tick(down)
    assert rules.is_on_tick(up)
    assert "E" not in plain(down)


def test_instrument_round_quantity_never_exceeds_what_was_asked() -> None:
    assert instrument().round_quantity(Decimal("0.0299999")) == Decimal("0.029")


@given(
    epoch=st.integers(0, 36**5 - 1),
    intent=st.integers(0, 36**8 - 1),
    leg=st.sampled_from(Leg),
    attempt=st.integers(0, 36**3 - 1),
)
def test_client_order_id_text_parses_back_and_fits_the_venue(epoch: int, intent: int, leg: Leg, attempt: int) -> None:
    identity = ClientOrderId(epoch, intent, leg, attempt)
    assert ClientOrderId.parse(str(identity)) == identity
    assert len(str(identity)) <= 36


@pytest.mark.parametrize("text", ["", "web_abc", "ft-1-2", "ft-1-2-X0", "autoclose-123", "FT-1-2-E0"])
def test_client_order_id_foreign_text_is_not_ours(text: str) -> None:
    assert ClientOrderId.parse(text) is None
    assert not is_ours(text)


def test_virtual_clock_refuses_to_go_back() -> None:
    clock = VirtualClock(1_000)
    clock.advance_to(2_000)
    clock.skew_wall(-500)
    assert (clock.now_ms(), clock.wall_ms(), clock.monotonic_ns()) == (2_000, 1_500, 2_000_000_000)
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance_to(1_999)


def test_system_clock_is_anchored_to_the_wall() -> None:
    clock = SystemClock()
    assert abs(clock.now_ms() - clock.wall_ms()) < 1_000


@pytest.mark.parametrize(
    ("direction", "stop", "target"),
    [(Direction.LONG, "99.7", "100.6"), (Direction.SHORT, "100.3", "99.4")],
)
def test_exit_plan_places_stop_against_and_target_with_the_position(
    direction: Direction, stop: str, target: str
) -> None:
    plan = ExitPlan(stop_fraction=Decimal("0.003"), target_fraction=Decimal("0.006"))
    assert plan.stop_for(Decimal(100), direction) == Decimal(stop)
    assert plan.target_for(Decimal(100), direction) == Decimal(target)


def test_direction_and_side_agree_on_signs() -> None:
    assert Direction.LONG.entry_side is Side.BUY
    assert Direction.SHORT.exit_side is Side.BUY
    assert Side.SELL.sign == Direction.SHORT.sign == -1


def test_bus_takes_what_there_is_room_for_and_wakes_its_consumer() -> None:
    bus: Bus[int] = Bus(capacity=2)
    woken: list[int] = []
    bus.on_put = lambda: woken.append(bus.depth)
    assert bus.put_now([]) == []
    assert bus.put_now([0]) == []
    assert bus.put_now([1, 2, 3]) == [2, 3]
    assert bus.put_now([2, 3]) == [2, 3]
    assert woken == [1, 2]
    assert bus.take_now() == [0, 1]
    assert bus.take_now() == []
    assert bus.depth_max == 2


async def test_bus_given_many_at_once_takes_what_there_is_room_for_and_makes_the_rest_wait() -> None:
    bus: Bus[int] = Bus(capacity=3)
    woken: list[int] = []
    bus.on_put = lambda: woken.append(bus.depth)
    producer = asyncio.create_task(bus.publish_all(range(7)))
    await asyncio.sleep(0)
    assert bus.depth == 3 and not producer.done()
    received: list[int] = []
    while len(received) < 7:
        await asyncio.sleep(0)
        received += bus.take_now()
    await producer
    assert received == list(range(7))
    assert len(woken) >= 3
    assert bus.depth_max == 3
