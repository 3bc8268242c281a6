"""The page of backtests, run by Streamlit's own test driver: none, some, without files, from outside."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import runs
from dashboard.formatting import exact, signed
from database.database import open_database
from database.runs import RunBook
from tests.unit.dashboard.conftest import html_of
from tests.unit.dashboard.run_sample import write_run, write_runs

PAGE = Path(__file__).resolve().parents[3] / "dashboard" / "pages" / "backtests.py"


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_file(str(PAGE), default_timeout=60)


def chart_names(page: AppTest) -> list[str]:
    return [trace["name"] for chart in page.get("plotly_chart") for trace in json.loads(chart.proto.spec)["data"]]


def test_page_without_database_says_how_to_run_one(url, page):
    page.run()
    assert not page.exception
    assert "holds no backtests yet" in html_of(page)
    assert "uv run python main.py backtest" in html_of(page)


def test_page_of_a_trader_that_ran_no_backtest_says_how_to_run_one(url, page):
    open_database(url, "sim").close()
    page.run()
    assert not page.exception
    assert "The database holds none." in html_of(page)


def test_page_lists_runs_and_compares_the_two_newest(url, page, tmp_path):
    write_runs(url, tmp_path)
    page.run()
    assert not page.exception
    text = html_of(page)
    assert "Stored backtests · 3" in text
    assert page.multiselect[0].value == [3, 2]
    assert chart_names(page) == ["#3 vwap_reversion", "#2 vwap_reversion"]
    for run in RunBook(url).runs():
        assert f'title="{exact(run.net_pnl)}">{signed(run.net_pnl)}</span>' in text
    for words in ("Sharpe", "41.2 % (31 to 52)", "47m 15s", "−1.75", str(tmp_path / "run-2" / "report.html")):  # noqa: RUF001
        assert words in text
    assert "BTCUSDT.vwap_reversion.k" in text and "2.1" in text and "settings.slippage_bps" in text
    assert "adx_max" not in text, "what is the same is left out"


def test_page_compares_what_is_chosen(url, page, tmp_path):
    write_runs(url, tmp_path)
    page.run()
    page.multiselect[0].set_value([1]).run()
    assert not page.exception
    assert chart_names(page) == ["#1 vwap_reversion"]
    assert "What they differ in" not in html_of(page)
    page.multiselect[0].set_value([]).run()
    assert not page.exception
    assert "Choose one or more" in html_of(page) and not chart_names(page)


def test_page_lists_one_strategy_on_request(url, page, tmp_path):
    write_runs(url, tmp_path, count=2)
    write_run(url, tmp_path / "other", 3, strategy="range_fade")
    page.run()
    page.selectbox(key="strategy").select("range_fade").run()
    assert not page.exception
    assert page.multiselect[0].value == [3]
    assert "Stored backtests · 1" in html_of(page)


def test_page_says_which_curves_are_gone_and_shows_the_numbers_still(url, page, tmp_path):
    write_runs(url, tmp_path, count=2)
    shutil.rmtree(tmp_path / "run-1")
    (tmp_path / "run-0" / "equity.parquet").write_text("not parquet")
    page.run()
    assert not page.exception
    text = html_of(page)
    assert "No curve of #2: " in text and "equity.parquet is gone" in text
    assert "No curve of #1: " in text and "cannot be read" in text
    assert "Side by side" in text and not chart_names(page)


def test_page_shows_no_curve_that_a_later_run_wrote(url, page, tmp_path):
    write_run(url, tmp_path / "out", 1)
    write_run(url, tmp_path / "out", 2)
    page.run()
    assert chart_names(page) == ["#2 vwap_reversion"]
    assert "No curve of #1: backtest 2 wrote into the same folder." in html_of(page)
    assert "(overwritten by backtest 2)" in html_of(page)


def test_page_of_an_older_run_without_some_numbers_has_gaps(url, page, tmp_path):
    write_run(url, tmp_path / "out", 1, metrics="{}", is_complete=False)
    page.run()
    assert not page.exception
    assert "stopped early" in html_of(page) and "No curve of #1" in html_of(page)


def test_page_escapes_what_comes_from_outside(url, page, tmp_path):
    evil = '<img src=x onerror="alert(1)">'
    for seed in (1, 2):
        write_run(url, tmp_path / f"{seed}", seed, strategies=evil, symbols=evil, data_source=f"{evil}{seed}")
    page.run()
    assert not page.exception
    assert "<img" not in html_of(page)
    assert html.escape(evil) in html_of(page)


def test_page_refuses_to_be_served_beyond_this_machine(url, page, tmp_path, monkeypatch):
    write_runs(url, tmp_path, count=1)
    real = st.get_option
    monkeypatch.setattr(st, "get_option", lambda key: "0.0.0.0" if key == "server.address" else real(key))
    page.run()
    assert "for this machine only" in html_of(page)
    assert "Stored backtests" not in html_of(page)


def test_thinned_curve_keeps_ends_and_extremes():
    values = np.random.default_rng(3).normal(0, 1, 50_000)
    values[31_007], values[123] = 99.0, -99.0
    at = runs.thinned(values)
    assert {0, 123, 31_007, 49_999} <= set(at.tolist()) and len(at) <= runs.POINTS_MAX + 2
    assert (np.diff(at) > 0).all()
    assert runs.thinned(values[:5]).tolist() == [0, 1, 2, 3, 4]
