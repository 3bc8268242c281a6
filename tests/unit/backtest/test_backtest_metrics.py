"""The numbers against values reckoned by hand."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from backtest.equity import EquityCurve
from backtest.metrics import daily_returns, drawdown, ratios, wilson_interval, yearly
from backtest.output import COLUMNS, write_equity, write_metrics, write_trades
from backtest.report import write_report
from backtest.run import Backtest, run
from backtest.settings import ReplaySettings
from tests.unit.backtest.support import FLAT, LONG, SHORT, START_MS, candles_of, config_of, told

D = Decimal
DAY_MS = 86_400_000
WIN, LOSS = ("100", "102", "100", "100"), ("100", "100", "99", "100")


@pytest.fixture
def done() -> Backtest:
    bars = [FLAT, WIN, LOSS, FLAT, FLAT]
    settings = ReplaySettings(quantity=D(1), fee_rate=D("0.001"))
    return run([candles_of(bars)], [told("ETHUSDT", {0: LONG, 1: LONG, 3: SHORT})], config_of("ETHUSDT"), settings)


def curve_of(*daily: float) -> EquityCurve:
    times = START_MS + DAY_MS * np.arange(1, len(daily) + 1, dtype=np.int64)
    return EquityCurve(times, np.array(daily, dtype=float), np.zeros(len(daily)))


def test_metrics_of_a_win_a_loss_and_an_open_trade(done: Backtest) -> None:
    metrics = done.metrics
    assert (metrics.trades, metrics.open_trades, metrics.wins, metrics.losses) == (2, 1, 1, 1)
    assert D(metrics.fees) == D("0.202") + D("0.199") + D("0.1")
    assert D(metrics.net_pnl) == D(2) - D(1) - D(metrics.fees)
    assert D(metrics.gross_pnl) == D(1)
    assert metrics.profit_factor == pytest.approx((2 - 0.202) / (1 + 0.199))
    assert D(metrics.turnover) == D(202) + D(199) + D(100)
    assert metrics.win_rate_pct == 50
    assert metrics.candles == 5


def test_equity_ends_at_the_wallet_and_what_is_open(done: Backtest) -> None:
    assert done.curve.equity[-1] == pytest.approx(float(done.result.wallet))
    assert len(done.curve.equity) == 5
    assert done.curve.exposure[-1] == pytest.approx(100)
    assert done.curve.exposure[0] == 0


@pytest.mark.parametrize(
    ("wins", "trades", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_equals_the_published_examples(wins: int, trades: int, low: float, high: float) -> None:
    """R. G. Newcombe, "Two-sided confidence intervals for the single proportion: comparison of seven methods",
    Statistics in Medicine 17, 1998, 857-872, table I, method 3 (Wilson's score without correction for continuity)."""
    assert wilson_interval(wins, trades) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_wilson_interval_is_mirrored_and_none_without_trades() -> None:
    assert wilson_interval(0, 0) == (None, None)
    low, high = wilson_interval(20, 20)
    assert (low, high) == (pytest.approx(1 - 0.1611, abs=5e-5), 1.0)
    assert wilson_interval(0, 10)[0] == 0


def test_drawdown_is_the_deepest_fall_and_the_longest_time_below_a_peak() -> None:
    depth, length_ms = drawdown(curve_of(110, 99, 104.5, 115, 114), 100)
    assert depth == pytest.approx(0.1)
    assert length_ms == 2 * 60_000  # two points below the peak


def test_loss_from_the_first_day_on_falls_from_the_deposit() -> None:
    assert drawdown(curve_of(90, 95), 100)[0] == pytest.approx(0.1)


def test_daily_returns_and_ratios_follow_their_formulas() -> None:
    curve = curve_of(101, 100, 102)
    returns = [0.01, -1 / 101, 0.02]
    assert daily_returns(curve, 100) == pytest.approx(returns)
    mean = sum(returns) / 3
    deviation = (sum((value - mean) ** 2 for value in returns) / 2) ** 0.5
    downside = ((1 / 101) ** 2 / 3) ** 0.5
    assert ratios(curve, 100) == pytest.approx((mean / deviation * 365**0.5, mean / downside * 365**0.5))
    assert ratios(curve_of(101), 100) == (None, None)


def test_trades_csv_has_the_columns_and_exact_numbers(done: Backtest, tmp_path: Path) -> None:
    write_trades(tmp_path / "trades.csv", done.result.trades)
    lines = (tmp_path / "trades.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert lines[1].startswith(
        "ETHUSDT,told,LONG,2026-01-01T00:00:59.999Z,2026-01-01T00:01:00.000Z,100.00,2026-01-01T00:01:00.000Z,102.00,"
        "1.000,0.20200000,0,1.79800000,"
    )
    assert lines[1].endswith(",target,false")
    assert lines[3].split(",")[6:8] == ["", ""]
    total = sum(D(line.split(",")[11]) for line in lines[1:])
    assert done.result.deposit + total == done.result.wallet


def test_metrics_json_and_equity_parquet_can_be_read_back(done: Backtest, tmp_path: Path) -> None:
    from pyarrow import parquet

    write_metrics(tmp_path / "metrics.json", done.metrics, {"strategies": ["told"]})
    assert json.loads((tmp_path / "metrics.json").read_text())["trades"] == 2
    write_equity(tmp_path / "equity.parquet", done.curve)
    table = parquet.read_table(tmp_path / "equity.parquet")
    assert table.column("equity").to_pylist() == done.curve.equity.tolist()


def test_report_is_one_file_without_links_to_other_hosts(done: Backtest, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, "told on <ETHUSDT>", done.metrics, done.result.trades, done.curve, done.candles, ["a note"])
    page = path.read_text()
    head, _, body = page.partition("</script>")
    assert "<script src=" not in page
    assert "told on &lt;ETHUSDT&gt;" in body
    for section in ("Equity and drawdown", "Monthly returns", "Distribution of R", "Exposure", "From gross to net"):
        assert section in body
    assert "Plotly" in head


def test_yearly_growth_is_compounded_and_unknown_where_no_float_holds_it() -> None:
    assert yearly(1.1, 365.0) == pytest.approx(0.1)
    assert yearly(1.01, 36.5) == pytest.approx(1.01**10 - 1)
    assert yearly(1.5, 0.9) is None
    assert yearly(0.0, 10.0) is None
    assert yearly(8.0, 1.0) is None
