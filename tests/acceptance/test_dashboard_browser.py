"""The dashboard in a real Chromium: the numbers seen are the database's, on a desk and on a phone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.clock import SystemClock
from dashboard.formatting import exact, money, percent, signed
from database.database import open_repository
from tests.unit.dashboard.run_sample import write_runs
from tests.unit.dashboard.sample import write, write_sample
from tests.unit.database import examples

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 60


def chromium() -> str | None:
    return next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)


@dataclass
class Served:
    """A running dashboard and the database that it reads."""

    page_url: str
    db_url: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("dashboard")
    db_url = f"sqlite:///{folder}/trader.db"
    write_sample(db_url, folder / "status", wall_ms=SystemClock().wall_ms())
    write_runs(db_url, folder / "backtests", count=8)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "dashboard/main.py", "--server.port", str(port)]
    environment = {**os.environ, "DB_URL": db_url, "STATUS_DIR": str(folder / "status")}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_until_served(f"http://127.0.0.1:{port}/_stcore/health", server, folder / "log")
        yield Served(f"http://127.0.0.1:{port}/", db_url)
    finally:
        server.terminate()
        server.wait(10)


def wait_until_served(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"the dashboard did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def browser():
    path = chromium()
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["desk", "phone"])
def page(request, browser, served):
    width, height = request.param
    opened = browser.new_page(viewport={"width": width, "height": height})
    opened.set_default_timeout(30_000)
    opened.goto(served.page_url)
    opened.get_by_test_id("kpi-equity").wait_for()
    yield opened
    opened.close()


def value_of(page, key: str):
    return page.get_by_test_id(f"kpi-{key}").locator(".value .num")


def test_browser_sees_the_databases_numbers(page, served):
    repository = open_repository(served.db_url)
    stat = repository.latest_account_stat()
    assert stat is not None
    results = repository.results_by_strategy()
    wins, losses = sum(r.wins for r in results), sum(r.losses for r in results)
    assert value_of(page, "equity").inner_text() == money(stat.equity)
    assert value_of(page, "equity").get_attribute("title") == exact(stat.equity)
    assert value_of(page, "day-pnl").inner_text() == signed(repository.day_pnl())
    assert value_of(page, "open-positions").inner_text() == str(len(repository.open_positions()))
    assert value_of(page, "win-rate").inner_text() == percent(examples.D(wins) / (wins + losses), places=1)
    for view in repository.open_positions():
        row = page.locator("tr", has=page.locator(f'span[title="{exact(view.unrealized_pnl)}"]')).first
        assert view.record.symbol in row.inner_text()
        assert signed(view.unrealized_pnl) in row.inner_text()


def test_browser_draws_both_charts_and_shows_no_error(page, served):
    for card in ("equity-card", "candle-card"):
        page.locator(f".st-key-{card} .js-plotly-plot .main-svg").first.wait_for()
    assert page.locator('[data-testid="stException"]').count() == 0
    candles = page.locator(".st-key-candle-card .js-plotly-plot").evaluate(
        "plot => plot.data.find(trace => trace.type === 'candlestick').close.length"
    )
    assert candles == 180


def test_browser_page_has_no_horizontal_scroll(page, served):
    page.locator(".st-key-candle-card .js-plotly-plot .main-svg").first.wait_for()
    for selector in ("document.documentElement", 'document.querySelector("[data-testid=stMain]")'):
        assert page.evaluate(f"{selector}.scrollWidth - {selector}.clientWidth") <= 0


def test_browser_page_refreshes_itself(page, served):
    repository = open_repository(served.db_url)
    stat = repository.latest_account_stat()
    assert stat is not None
    newer = examples.made(stat, {"event_time_ms": stat.event_time_ms + 1000, "equity": stat.equity + 1000})
    write(served.db_url, [newer])
    page.locator(f'[data-testid="kpi-equity"] .value .num[title="{exact(newer.equity)}"]').wait_for()
    assert value_of(page, "equity").inner_text() == money(newer.equity)


def test_browser_page_lists_the_pages_once(page, served):
    assert page.get_by_role("link", name="Backtests").count() == 1
    assert page.get_by_test_id("stSidebarNav").count() == 0


def test_browser_goes_to_the_backtests_and_compares_them(page, served):
    page.get_by_role("link", name="Backtests").click()
    page.locator(".st-key-curves-card .js-plotly-plot .main-svg").first.wait_for()
    assert page.locator('[data-testid="stException"]').count() == 0
    drawn = ".st-key-curves-card .js-plotly-plot"
    assert page.locator(drawn).evaluate("plot => plot.data.map(trace => trace.name)") == [
        "#8 vwap_reversion",
        "#7 vwap_reversion",
    ]
    for selector in ("document.documentElement", 'document.querySelector("[data-testid=stMain]")'):
        assert page.evaluate(f"{selector}.scrollWidth - {selector}.clientWidth") <= 0
    page.get_by_role("combobox", name="Compare").click()
    page.get_by_role("option", name="#3 vwap_reversion").click()
    page.wait_for_function(f"document.querySelector('{drawn}')?.data?.length === 3")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Trading").click()
    page.get_by_test_id("kpi-equity").wait_for()
