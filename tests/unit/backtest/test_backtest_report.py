"""The report: what it was made with stands in it, and nothing of it needs a network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backtest.page import Section, write_page
from backtest.report import write_report
from backtest.run import run
from backtest.settings import ReplaySettings
from tests.unit.backtest.support import FLAT, LONG, candles_of, config_of, told

MADE_WITH = {
    "data": "some/folder",
    "data_sha256": "ab" * 32,
    "code": "0.1.0 1a2b3c",
    "settings": {"deposit": "10000", "fee_rate": None, "has_risk": "True"},
    "options": {"warmup": None, "allow_gaps": False},
    "parameters": {"ETHUSDT": {"told": {"k": 2.5, "max_holding_minutes": None}}},
}


@pytest.mark.parametrize("plans", [{}, {0: LONG}])
def test_report_shows_what_it_was_made_with_and_loads_nothing(tmp_path: Path, plans) -> None:
    candles = candles_of([FLAT, ("100", "103", "97", "100"), FLAT])
    done = run([candles], [told("ETHUSDT", plans)], config_of("ETHUSDT"), ReplaySettings())
    path = tmp_path / "report.html"
    write_report(path, "told", done.metrics, done.result.trades, done.curve, done.candles, ["a <note>"], MADE_WITH)
    page = path.read_text()
    body = page[page.index("<body>") :]
    for shown in ("a &lt;note&gt;", "some/folder", "ab" * 32, "0.1.0 1a2b3c"):
        assert shown in body
    assert "<tr><td>k</td><td>2.5</td></tr>" in body
    assert "<td>max_holding_minutes</td><td>-</td>" in body
    assert "<td>fee_rate</td>" not in body, "what was not set is left out"
    assert "<td>allow_gaps</td>" not in body
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", page)
    assert body.count('class="plotly-graph-div"') == 8


def test_page_escapes_tables(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, "t", (), (), [Section("s", table=[("a<b", "c"), ("<i>", "d")])])
    assert "<th>a&lt;b</th>" in path.read_text()
    assert "<td>&lt;i&gt;</td>" in path.read_text()
