"""The search space out of YAML: what it means, and one line for everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from backtest.optimize.space import Dimension, read_space
from core.errors import ConfigurationError
from strategies.vwap_reversion.strategy import Params
from tests.unit.optimize.support import written


def test_read_space_takes_kinds_from_the_parameters(tmp_path: Path) -> None:
    text = (
        "k: {low: 1.5, high: 3, step: 0.5}\nadx_window: {low: 7, high: 9}\nstop_pct: {low: 0.1, high: 1, log: true}\n"
    )
    space = read_space(written(tmp_path / "s.yaml", text + "interval: [1m, 5m]\n"), Params())
    assert space.dimensions == (
        Dimension("k", low=1.5, high=3.0, step=0.5),
        Dimension("adx_window", is_whole=True, low=7, high=9),
        Dimension("stop_pct", low=0.1, high=1, is_log=True),
        Dimension("interval", choices=("1m", "5m")),
    )
    assert space.dimensions[0].grid() == (1.5, 2.0, 2.5, 3.0)
    assert space.dimensions[1].grid() == (7, 8, 9)
    assert space.endless() == ("stop_pct",)


def test_values_are_short_numbers_of_the_right_kind(tmp_path: Path) -> None:
    space = read_space(written(tmp_path / "s.yaml", "k: {low: 1, high: 3}\nadx_window: {low: 7, high: 9}\n"), Params())
    found = space.values({"k": 1.2000000000000002, "adx_window": 8.0})
    assert found == {"k": 1.2, "adx_window": 8}
    assert type(found["adx_window"]) is int


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kk: {low: 1, high: 2}", "s.yaml:1: kk: is no parameter to search; did you mean 'k'?"),
        ("enabled: [true, false]", "s.yaml:1: enabled: is no parameter to search"),
        ("k: {low: 3, high: 1}", "s.yaml:1: k.high: must be above low (3)"),
        ("k: {low: 1}", "s.yaml:1: k.high: is missing"),
        ("k: {low: one, high: 2}", "s.yaml:1: k.low: must be a number"),
        ("k: {low: 1, hihg: 2}", "s.yaml:1: k.hihg: is unknown; did you mean 'high'?"),
        ("k: {low: 1, high: 2, step: 3}", "s.yaml:1: k.step: must be above 0 and at most high - low (1)"),
        ("k: {low: 1, high: 2, step: 0.5, log: true}", "s.yaml:1: k.log: needs low above 0 and no step"),
        ("k: 3", "s.yaml:1: k: write {low: ..., high: ...} or a list of choices"),
        ("k: [1, 1]", "s.yaml:1: k: a choice is there twice"),
        ("k: {low: 1, high: 99}", "s.yaml:1: k: must be above 0 and at most 10"),
        ("adx_window: {low: 2.5, high: 9}", "s.yaml:1: adx_window.low: must be a whole number (got 2.5)"),
        ("interval: {low: 1, high: 2}", "s.yaml:1: interval: is not a number; give a list of choices"),
        ("interval: [1m, 7m]", "s.yaml:1: interval: "),
        ("", "s.yaml: names no parameter"),
    ],
)
def test_read_space_says_in_one_line_what_is_wrong(tmp_path: Path, text: str, line: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_space(written(tmp_path / "s.yaml", text), Params())
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
