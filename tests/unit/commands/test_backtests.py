"""`main.py backtests`: what it says of stored runs."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from commands.backtests import app
from core.clock import VirtualClock
from database.runs import add_run
from database.tables import BacktestRunRow
from utils.side_by_side import differences, flatten
from utils.timefmt import to_datetime

T0 = 1_767_225_600_000


def test_flatten_gives_dotted_paths_and_texts() -> None:
    nested = {"BTCUSDT": {"told": {"k": 2.50, "none": None, "list": [1, 2]}}, "n": 1}
    assert flatten(nested) == {"BTCUSDT.told.k": "2.5", "BTCUSDT.told.none": "-", "BTCUSDT.told.list": "1,2", "n": "1"}


def test_differences_leave_out_what_is_the_same_and_show_what_is_absent() -> None:
    columns = [{"a": "1", "b": "2"}, {"a": "1", "b": "3", "c": "4"}]
    assert differences(columns) == [("b", "2", "3"), ("c", "-", "4")]
    assert differences(columns, everything=True)[0] == ("a", "1", "1")


@pytest.fixture
def url(tmp_path) -> str:
    url = f"sqlite:///{tmp_path}/t.db"
    for number, k in enumerate((2.0, 2.5)):
        metrics = {"trades": 7 + number, "sharpe": None, "max_drawdown_pct": 1.5, "start_time_ms": T0}
        run = BacktestRunRow(
            created_time=to_datetime(T0 + number),
            duration_ms=900,
            is_complete=number == 0,
            strategies="told",
            symbols="BTCUSDT",
            start_time=to_datetime(T0),
            end_time=to_datetime(T0),
            net_pnl=Decimal("12.5"),
            parameters=json.dumps({"BTCUSDT": {"told": {"k": k, "stop_pct": "0.3"}}}),
            settings=json.dumps({"settings": {"fee_rate": "0.0005"}}),
            metrics=json.dumps(metrics),
            data_source="data",
            data_sha256="ab" * 32,
            code_version="0.1.0",
            report="out/report.html",
        )
        add_run(url, run, environment="sim", clock=VirtualClock(T0))
    return url


def lines(*arguments: str, code: int = 0) -> list[str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result.output.splitlines()


def test_list_shows_a_line_a_run_newest_first(url) -> None:
    head, second, first = lines("--db", url)
    assert head.split("\t")[:3] == ["ID", "run (UTC)", "strategies"]
    assert second.split("\t") == [
        "2", "2026-01-01 00:00 *", "told", "BTCUSDT", "2026-01-01", "2026-01-01", "+12.50", "8", "-", "1.50 %", "900ms",
    ]  # fmt: skip
    assert first.startswith("1\t2026-01-01 00:00\t")


def test_list_by_its_name_shows_the_same(url) -> None:
    assert lines("list", "--db", url) == lines("--db", url)
    assert len(lines("list", "--limit", "1", "--db", url)) == 2


def test_list_says_that_nothing_fits(url) -> None:
    assert lines("--symbol", "ETHUSDT", "--db", url) == [
        "no stored backtest fits; without --strategy and --symbol all are listed"
    ]


def test_show_tells_everything_and_that_the_report_was_overwritten(url) -> None:
    shown = lines("show", "1", "--db", url)
    assert "BTCUSDT.told.k\t2" in shown
    assert "settings.fee_rate\t0.0005" in shown
    assert "trades\t7" in shown
    assert "report\tout/report.html (overwritten by backtest 2)" in shown


def test_compare_shows_only_what_differs_and_all_numbers(url) -> None:
    shown = lines("compare", "1", "2", "--db", url)
    assert "BTCUSDT.told.k\t2\t2.5" in shown
    assert not any("stop_pct" in line or line.startswith("data\t") for line in shown)
    assert "settings: the same" in shown
    assert "max_drawdown_pct\t1.5\t1.5" in shown


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("compare", "1"), "compare takes 2 to 6 different backtests"),
        (("compare", "1", "1"), "compare takes 2 to 6 different backtests"),
        (("compare", "1", "9"), "there is no backtest 9"),
        (("show", "9"), "there is no backtest 9"),
    ],
)
def test_bad_numbers_get_one_line_and_exit_code_2(url, arguments, what) -> None:
    (line,) = lines(*arguments, "--db", url, code=2)
    assert what in line
