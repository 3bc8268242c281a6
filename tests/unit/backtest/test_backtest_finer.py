"""Stop and target in one minute: what candles of seconds tell of their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from backtest.finer import FinerCandles, target_comes_first
from backtest.load import load
from backtest.load_finer import with_finer
from backtest.replay import ReplayResult
from backtest.run import replay
from backtest.settings import BothHitRule, ReplaySettings
from core.errors import ConfigurationError
from tests.unit.backtest.support import FLAT, LONG, SHORT, START_MS, candles_of, config_of, told

D = Decimal
BOTH = ("100", "103", "97", "100")
MINUTE = START_MS + 60_000
"""The minute after the signal: it is entered at 100 and touches both levels."""


def seconds(*bars: tuple[int, str, str], decimals: int = 2, interval_ms: int = 1_000) -> FinerCandles:
    """Candles of (second of the minute, low, high)."""
    times = np.array([MINUTE + 1_000 * second for second, _, _ in bars], dtype=np.int64)
    low, high = (np.array([int(D(bar[at]).scaleb(decimals)) for bar in bars], dtype=np.int64) for at in (1, 2))
    return FinerCandles(interval_ms, decimals, times, low, high)


def play(finer: FinerCandles | None, plan=LONG, *, rule: BothHitRule | None = None, **params: str) -> ReplayResult:
    settings = ReplaySettings(deposit=D(10_000), fee_rate=D("0.001"), quantity=D(1), both_hit_rule=rule)
    candles = replace(candles_of([FLAT, BOTH, FLAT]), finer=finer)
    _, result = replay([candles], [told("ETHUSDT", {0: plan}, **params)], config_of("ETHUSDT"), settings)
    return result


UP_FIRST = seconds((0, "100", "100"), (3, "100", "102"), (9, "98", "99"))
DOWN_FIRST = seconds((0, "100", "100"), (3, "98", "100"), (9, "100", "102"))


@pytest.mark.parametrize(
    ("plan", "finer", "reason", "price"),
    [
        (LONG, UP_FIRST, "target", "102"),
        (LONG, DOWN_FIRST, "stop", "99"),
        (SHORT, UP_FIRST, "stop", "101"),
        (SHORT, DOWN_FIRST, "target", "98"),
    ],
)
def test_both_levels_with_finer_candles_exits_at_the_one_touched_first(plan, finer, reason, price) -> None:
    result = play(finer, plan, rule=BothHitRule.FINER)
    (trade,) = result.trades
    assert (trade.exit_reason, trade.exit_price, trade.ambiguous) == (reason, D(price), False)
    assert (result.ambiguous_exits, result.finer_exits) == (0, 1)


@pytest.mark.parametrize(
    "finer",
    [
        None,
        seconds(),
        seconds((0, "100", "100"), (5, "98", "102")),  # one second holds both
        seconds((5, "100", "102")),  # the other touch is missing, it may have come before
        seconds((61, "100", "102"), (62, "98", "100")),  # another minute
    ],
)
def test_both_levels_untold_by_finer_candles_take_the_stop_and_stay_ambiguous(finer) -> None:
    result = play(finer, rule=BothHitRule.FINER)
    (trade,) = result.trades
    assert (trade.exit_reason, trade.ambiguous) == ("stop", True)
    assert (result.ambiguous_exits, result.finer_exits) == (1, 0)


def test_second_that_gaps_through_a_level_has_touched_it() -> None:
    first, seen = target_comes_first(
        BothHitRule.FINER, seconds((0, "100", "100"), (1, "96", "97"), (2, "103", "104")), MINUTE, D("99"), D("102")
    )
    assert (first, seen) == (False, True)


@pytest.mark.parametrize("rule", [BothHitRule.SL_FIRST, BothHitRule.TP_FIRST])
def test_other_rules_do_not_look_at_finer_candles(rule) -> None:
    result = play(UP_FIRST if rule is BothHitRule.SL_FIRST else DOWN_FIRST, rule=rule)
    assert result.trades[0].exit_reason == ("stop" if rule is BothHitRule.SL_FIRST else "target")
    assert (result.ambiguous_exits, result.finer_exits) == (1, 0)


def test_rule_of_the_strategys_parameters_counts_unless_the_run_names_one() -> None:
    assert play(UP_FIRST, both_hit_rule="FINER").trades[0].exit_reason == "target"
    assert play(None, both_hit_rule="TP_FIRST").trades[0].exit_reason == "target"
    assert play(None, both_hit_rule="TP_FIRST", rule=BothHitRule.SL_FIRST).trades[0].exit_reason == "stop"


def test_levels_between_two_steps_of_the_finer_grid_are_not_touched_early() -> None:
    coarse = seconds((0, "100", "100"), (1, "99", "101"), (2, "98", "101"), (3, "100", "102"), decimals=0)
    assert target_comes_first(BothHitRule.FINER, coarse, MINUTE, D("98.5"), D("101.5")) == (False, True)
    assert coarse.first_touches(MINUTE, D("98.5"), D("101.5")) == (MINUTE + 2_000, MINUTE + 3_000)


# --- files ----------------------------------------------------------------------------------------------------------


def write(folder: Path, name: str, times: Sequence[int], price: str = "100.5") -> None:
    lines = ["open_time,open,high,low,close,volume", *(f"{time},{price},101,99.5,{price},1" for time in times)]
    (folder / name).write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "ETHUSDT-1m.csv", [START_MS + 60_000 * minute for minute in range(3)])
    return tmp_path


def test_shortest_candles_beside_the_minutes_are_read(folder: Path) -> None:
    write(folder, "ETHUSDT-5s-2026-01.csv", [START_MS, START_MS + 5_000])
    write(folder, "ETHUSDT-1s-2026-01-02.csv", [START_MS + 60_000])
    write(folder, "ETHUSDT-1s-2026-01-01.csv", [START_MS, START_MS + 7_000], price="100.25")
    loaded = with_finer(load(folder), folder, ["ETHUSDT"])
    finer = loaded.candles[0].finer
    assert finer is not None
    assert (finer.interval_ms, finer.decimals) == (1_000, 1)
    assert finer.open_time.tolist() == [START_MS, START_MS + 7_000, START_MS + 60_000]
    assert (finer.low.tolist(), finer.high.tolist()) == ([995] * 3, [1010] * 3)
    assert not any("-1s" in note for note in loaded.notes)


def test_symbol_without_finer_candles_is_told(folder: Path) -> None:
    loaded = with_finer(load(folder), folder, ["ETHUSDT"])
    assert loaded.candles[0].finer is None
    assert "ETHUSDT: no candles of seconds" in loaded.notes[-1]


@pytest.mark.parametrize(
    ("name", "times", "what"),
    [
        ("ETHUSDT-1s.csv", [0, 0], r"ETHUSDT-1s.csv, line 3: the same time"),
        ("ETHUSDT-5s.csv", [0, 7_000], r"line 3: open_time is not a multiple of 5s: these are no 5s candles"),
        ("ETHUSDT-7s.csv", [0], r"ETHUSDT-7s.csv: candles of 7 s do not divide a minute"),
    ],
)
def test_faulty_finer_file_is_refused_with_file_and_line(folder: Path, name: str, times: list[int], what: str) -> None:
    write(folder, name, [START_MS + time for time in times])
    with pytest.raises(ConfigurationError, match=what):
        with_finer(load(folder), folder, ["ETHUSDT"])


def test_finer_files_that_overlap_are_refused(folder: Path) -> None:
    write(folder, "ETHUSDT-1s-a.csv", [START_MS, START_MS + 2_000])
    write(folder, "ETHUSDT-1s-b.csv", [START_MS + 2_000])
    with pytest.raises(ConfigurationError, match=r"ETHUSDT-1s-b.csv, line 2: this time is also in ETHUSDT-1s-a.csv"):
        with_finer(load(folder), folder, ["ETHUSDT"])
