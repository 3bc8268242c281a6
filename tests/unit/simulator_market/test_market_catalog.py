"""The contracts: consistent filters, brackets and distinct made-up symbols."""

from __future__ import annotations

from decimal import Decimal

import pytest

from core.errors import ConfigurationError
from simulator.market.catalog import CATALOG, SymbolSpec, generated_specs, select_specs, spec_for_recorded

TEN = ["BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "AVAXUSDT", "LINKUSDT", "LTCUSDT", "SUIUSDT"]


def test_catalog_lists_the_ten_symbols_in_order() -> None:
    assert list(CATALOG) == TEN


def test_catalog_minimum_notionals_follow_the_venue() -> None:
    assert [CATALOG[symbol].instrument.min_notional for symbol in TEN] == [100, 20, *[5] * 8]


def test_brackets_are_continuous_in_maintenance_margin() -> None:
    for spec in generated_specs(300):
        check_brackets(spec)


def check_brackets(spec: SymbolSpec) -> None:
    for before, after in zip(spec.brackets, spec.brackets[1:], strict=False):
        at = before.notional_cap
        assert after.notional_floor == at
        assert at * before.maint_margin_ratio - before.cum == at * after.maint_margin_ratio - after.cum
        assert after.initial_leverage < before.initial_leverage
        assert after.maint_margin_ratio > before.maint_margin_ratio
    for bracket in spec.brackets:
        assert bracket.maint_margin_ratio <= Decimal(1) / bracket.initial_leverage


def test_filters_admit_an_order_at_the_symbols_own_price() -> None:
    for spec in generated_specs(300):
        check_filters(spec)


def check_filters(spec: SymbolSpec) -> None:
    rules = spec.instrument
    assert rules.is_on_tick(spec.reference_price)
    assert rules.min_price < spec.reference_price < rules.max_price
    for quantity in (rules.max_quantity, rules.market_max_quantity, spec.level_quantity, spec.base_volume):
        assert rules.is_on_step(quantity)
        assert rules.min_quantity < quantity
    assert rules.market_max_quantity <= rules.max_quantity
    assert rules.tick_size / spec.reference_price < Decimal("0.001")
    assert rules.step_size * spec.reference_price < 200
    assert rules.tick_size == Decimal(1).scaleb(-rules.price_precision)
    assert 0 < spec.volatility < 0.002


def test_generated_specs_have_distinct_symbols_and_prices() -> None:
    specs = generated_specs(300)
    assert len({spec.symbol for spec in specs}) == len({spec.reference_price for spec in specs}) == 300
    assert len({(spec.instrument.tick_size, spec.instrument.step_size) for spec in specs}) > 10
    assert specs[10].symbol == "SYM011USDT"


@pytest.mark.parametrize("count", [0, -1, 301])
def test_generated_specs_beyond_the_range_are_refused(count: int) -> None:
    with pytest.raises(ConfigurationError, match="allowed: 1 to 300"):
        generated_specs(count)


def test_select_specs_keeps_the_order_asked_for() -> None:
    assert [spec.symbol for spec in select_specs(["SUIUSDT", "SYM123USDT", "BTCUSDT"])] == [
        "SUIUSDT",
        "SYM123USDT",
        "BTCUSDT",
    ]


def test_select_specs_names_the_nearest_symbol_for_a_typo() -> None:
    with pytest.raises(ConfigurationError, match="'BTCUSD'; did you mean BTCUSDT"):
        select_specs(["BTCUSD"])


def test_recorded_spec_of_a_listed_symbol_takes_the_finer_grid() -> None:
    spec = spec_for_recorded("SOLUSDT", Decimal("0.001"), Decimal("0.01"), Decimal("170.190"), Decimal(900))
    assert (spec.instrument.tick_size, spec.instrument.step_size) == (Decimal("0.001"), Decimal("0.01"))
    assert spec.instrument.price_precision == 3
    coarse = spec_for_recorded("SOLUSDT", Decimal(1), Decimal(1), Decimal(170), Decimal(900))
    assert coarse.instrument.tick_size == CATALOG["SOLUSDT"].instrument.tick_size


def test_recorded_spec_of_an_unlisted_symbol_follows_the_data() -> None:
    spec = spec_for_recorded("XMRUSDT", Decimal("0.01"), Decimal("0.001"), Decimal("340.50"), Decimal("65.870"))
    assert spec.instrument.tick_size == Decimal("0.01")
    assert spec.base_volume == Decimal("65.870")
    assert spec.instrument.base_asset == "XMR"
