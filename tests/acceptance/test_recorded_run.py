"""Trading recorded candles: what the database holds afterwards is what the files hold."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import pytest

from tests.acceptance.support import Place

pytestmark = pytest.mark.slow
FOLDER = "klines/um_1m_2025-05"


def recorded(folder: Path, symbol: str) -> dict[int, tuple[Decimal, ...]]:
    """Read a file with nothing of ours: open time -> open, high, low, close, volume."""
    with gzip.open(folder / f"{symbol}-1m.csv.gz", "rt") as file:
        rows = (line.strip().split(",") for line in file)
        return {int(row[0]): tuple(Decimal(text) for text in row[1:6]) for row in rows if row[0].isdigit()}


def test_run_on_recorded_candles_stores_exactly_what_the_files_hold(shared_data: Path, tmp_path: Path) -> None:
    folder, place = shared_data / FOLDER, Place(tmp_path)

    finished = place.run("--data", str(folder), "--for", "45", "--speed", "600")

    assert finished.returncode == 0, finished.stderr[-2_000:]
    assert "(equals net PnL)" in finished.stdout
    symbols = [row[0] for row in place.rows("SELECT DISTINCT symbol FROM candles_1m ORDER BY symbol")]
    assert len(symbols) >= 16
    compared = 0
    for symbol in symbols:
        truth = recorded(folder, symbol)
        for row in place.rows("SELECT * FROM candles_1m WHERE symbol = ?", symbol):
            stored = tuple(Decimal(row[name]) for name in ("open", "high", "low", "close", "volume"))
            assert stored == truth[row["open_time"]], (symbol, row["open_time"])
            compared += 1
    assert compared > 16 * 300
    assert place.number("SELECT count(*) FROM positions WHERE state = 'closed'") > 0
