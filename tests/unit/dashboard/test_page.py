"""The page, run by Streamlit's own test driver: empty, filled, failing."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest
import streamlit as st

from core.clock import SystemClock
from core.errors import RuntimeFailure
from core.records import SignalStatus
from dashboard import queries, source
from dashboard.formatting import exact, money, signed
from database.database import open_database, open_repository
from tests.unit.dashboard.conftest import html_of
from tests.unit.dashboard.sample import write, write_sample
from tests.unit.database import examples


def test_page_without_database_says_how_to_start(url, page):
    page.run()
    assert not page.exception
    assert "uv run python main.py" in html_of(page)
    assert "start the trader first" in html_of(page)


def test_page_fills_once_there_is_a_database(url, page):
    page.run()
    write_sample(url)
    page.run()
    assert not page.exception
    assert 'data-testid="kpi-equity"' in html_of(page)


def test_page_of_an_empty_database_has_friendly_gaps(url, page):
    open_database(url, "paper").close()
    page.run()
    text = html_of(page)
    assert not page.exception
    assert 'class="badge mode-paper"' in text
    for words in ("Flat. The next signal opens one.", "No order yet.", "No signal yet", "No trade is closed yet."):
        assert words in text


def test_page_shows_the_databases_numbers(url, page):
    write_sample(url)
    page.run()
    text = html_of(page)
    repository = open_repository(url)
    stat = repository.latest_account_stat()
    assert stat is not None
    assert f'title="{exact(stat.equity)}">{money(stat.equity)}</span>' in text
    assert signed(repository.day_pnl()) in text
    for view in repository.open_positions():
        assert f'title="{exact(view.unrealized_pnl)}"' in text
    for result in [*repository.results_by_symbol(), *repository.results_by_strategy()]:
        assert f'title="{exact(result.net_pnl)}">{signed(result.net_pnl)}</span>' in text
    assert not page.exception


def test_page_chooses_a_symbol_with_an_open_position_and_can_change_it(url, page):
    write_sample(url)
    page.run()
    newest = open_repository(url).open_positions()[-1].record.symbol
    assert page.selectbox(key="symbol").value == newest
    page.selectbox(key="symbol").select("BTCUSDT").run()
    assert not page.exception
    assert page.selectbox(key="symbol").value == "BTCUSDT"


def test_page_explains_the_last_decision(url, page):
    write_sample(url)
    page.run()
    assert "no trade: adx" in html_of(page)
    assert "adx 26.41, adx max 20" in html_of(page)


def test_page_shows_the_heartbeat_and_its_reasons(url, page, tmp_path):
    write_sample(url, tmp_path / "status", wall_ms=SystemClock().wall_ms())
    page.run()
    assert "healthy · heartbeat" in html_of(page)
    file = tmp_path / "status" / "heartbeat.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"health": "red", "reasons": ["executor: wedged"]}))
    page.run()
    assert "unhealthy · heartbeat" in html_of(page)
    assert "executor: wedged" in html_of(page)


def test_page_says_when_the_trader_is_silent(url, page, tmp_path):
    write_sample(url, tmp_path / "status", wall_ms=SystemClock().wall_ms() - 245_000)
    page.run()
    assert "no heartbeat for 4m " in html_of(page)


def test_page_escapes_what_comes_from_outside(url, page):
    evil = '<img src=x onerror="alert(1)">'
    write(url, [examples.denial(symbol=evil, strategy=evil), examples.order(symbol=evil, detail=evil)])
    page.run()
    assert "<img" not in html_of(page)
    assert html.escape(evil) in html_of(page)


def test_page_when_the_database_vanishes_says_so_in_a_line(url, page):
    write_sample(url)
    page.run()
    Path(url.removeprefix("sqlite:///")).unlink()
    page.run()
    assert not page.exception
    assert "the database cannot be read: unable to open database file" in html_of(page)


@pytest.mark.parametrize("address", ["0.0.0.0", None])
def test_page_refuses_to_be_served_beyond_this_machine(url, page, monkeypatch, address):
    write_sample(url)
    real = st.get_option
    monkeypatch.setattr(st, "get_option", lambda key: address if key == "server.address" else real(key))
    page.run()
    assert "for this machine only" in html_of(page)
    assert "kpi-equity" not in html_of(page)
    monkeypatch.setenv("DASHBOARD_ALLOW_REMOTE", "yes")
    page.run()
    assert "kpi-equity" in html_of(page)


def test_shipped_configuration_is_loopback():
    assert st.get_option("server.address") == "127.0.0.1"
    assert st.get_option("browser.gatherUsageStats") is False


def test_setting_as_a_secret_reference_points_to_the_command_that_resolves_it(monkeypatch):
    monkeypatch.setenv("DB_URL", "op://vault/item/url")
    with pytest.raises(RuntimeFailure, match=r"DB_URL is a 1Password reference; .*main\.py dashboard"):
        source.setting("DB_URL", "")


def test_setting_prefers_the_environment_over_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("STATUS_DIR=from-file\n")
    monkeypatch.delenv("STATUS_DIR", raising=False)
    assert source.setting("STATUS_DIR", "default") == "from-file"
    monkeypatch.setenv("STATUS_DIR", "from-environment")
    assert source.setting("STATUS_DIR", "default") == "from-environment"


def test_feed_joins_signals_and_their_denials_newest_first(url):
    denied = examples.signal("a", event_time_ms=examples.T0 + 1)
    lone = examples.denial("c", event_time_ms=examples.T0 + 3)
    write(url, [denied, examples.denial("a"), examples.signal("b", event_time_ms=examples.T0 + 2), lone])
    items = queries.feed(open_repository(url))
    assert [(item.time_ms - examples.T0, item.status) for item in items] == [
        (3, SignalStatus.DENIED),
        (2, SignalStatus.APPROVED),
        (1, SignalStatus.DENIED),
    ]
    assert items[2].text == "the stop is too close (distance 0.0001, least 0.0005)"
    assert items[1].text == "close below the band"


def test_feed_folds_what_a_symbol_repeats_and_nothing_else(url):
    same = {"context": {}, "code": "position_open"}
    rows = [examples.denial(str(n), event_time_ms=examples.T0 + n, **same) for n in range(5)]
    rows.append(examples.denial("eth", symbol="ETHUSDT", event_time_ms=examples.T0 + 2, **same))
    rows.append(examples.signal("entered", event_time_ms=examples.T0 - 1))
    write(url, [*rows, examples.denial("older", event_time_ms=examples.T0 - 2, **same)])
    items = queries.feed(open_repository(url))
    assert [(item.symbol, item.status.value, item.times) for item in items] == [
        ("BTCUSDT", "denied", 5),
        ("ETHUSDT", "denied", 1),
        ("BTCUSDT", "approved", 1),
        ("BTCUSDT", "denied", 1),
    ]


def test_results_without_a_closed_trade_are_not_listed(url):
    write(url, [examples.performance(), examples.performance("ETHUSDT", trades=0, wins=0, losses=0)])
    assert [result.name for result in queries.by_symbol(open_repository(url))] == ["BTCUSDT"]


def test_overview_drawdown_and_win_rate(url):
    write(url, [examples.account_stat(equity="9009", peak_equity=examples.D("10010")), examples.performance()])
    overview = queries.overview(open_repository(url))
    assert overview.drawdown == 1 - examples.D("9009") / examples.D("10010")
    assert overview.win_rate == examples.D(2) / 3
