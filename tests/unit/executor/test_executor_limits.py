"""Limits of size and loss exactly at their edge, and beside what is open already."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.limits import RiskLimits, SizingPolicy
from executor.denials import DenialCode, Denied
from executor.risk import daily_loss_hit, drawdown_hit
from executor.sizing import Sized, size_entry
from tests.unit.executor.lab import D
from tests.unit.executor.test_executor_pure import bracket, sizing_input


@pytest.mark.parametrize(
    ("changes", "bound_by", "notional"),
    [
        ({"max_position_notional": D(50)}, "max_position_notional", D(20)),
        ({"max_exposure_fraction": D("0.004")}, "symbol_exposure", D(10)),
        ({"max_total_exposure_fraction": D("0.006")}, "total_exposure", D(20)),
        ({"brackets": (bracket(5, 0, 60),)}, "leverage_bracket", D(30)),
    ],
)
def test_size_is_what_a_cap_leaves_beside_the_open_exposure(
    changes: dict[str, object], bound_by: str, notional: Decimal
) -> None:
    data = sizing_input(symbol_exposure=D(30), total_exposure=D(40), **changes)
    sized = size_entry(SizingPolicy(risk_usd=D(1000)), data)
    assert isinstance(sized, Sized)
    assert (sized.bound_by, sized.quantity * 100) == (bound_by, notional)


def test_size_without_room_says_what_is_open() -> None:
    data = sizing_input(symbol_exposure=D(50), total_exposure=D(70), max_position_notional=D(50))
    refusal = size_entry(SizingPolicy(), data)
    assert isinstance(refusal, Denied)
    assert refusal.code is DenialCode.MAX_POSITION_NOTIONAL
    assert refusal.context == {"room": "0", "symbol_exposure": "50", "total_exposure": "70"}


def test_size_without_a_budget_says_of_which_equity() -> None:
    refusal = size_entry(SizingPolicy(risk_usd=D(0)), sizing_input())
    assert isinstance(refusal, Denied)
    assert refusal.context == {"risk_usd": "0", "equity": "10000"}


@pytest.mark.parametrize(("loss", "hit"), [("499.99", False), ("500", True), ("500.01", True), ("0", False)])
def test_days_loss_is_hit_when_it_reaches_its_limit(loss: str, hit: bool) -> None:
    limits = RiskLimits(max_daily_loss=None, max_daily_loss_fraction=D("0.05"))
    assert (daily_loss_hit(D(loss), D(10_000), limits) is not None) is hit
    limits = RiskLimits(max_daily_loss=D(500), max_daily_loss_fraction=None)
    assert (daily_loss_hit(D(loss), D(10_000), limits) is not None) is hit


@pytest.mark.parametrize(("equity", "hit"), [("8000.01", False), ("8000", True), ("7999.99", True)])
def test_drawdown_is_hit_when_it_reaches_its_limit(equity: str, hit: bool) -> None:
    limits = RiskLimits(max_drawdown_fraction=D("0.2"))
    assert (drawdown_hit(D(equity), D(10_000), limits) is not None) is hit
