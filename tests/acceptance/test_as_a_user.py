"""What a user tries in the first hour, each judged by what the program says and leaves behind."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.support import Place, assert_sound, wait_for

pytestmark = pytest.mark.slow
START_MS = 1_746_057_600_000
ADDRESS = re.compile(r"REST +(http://\S+)")


def record(folder: Path, minutes: int) -> Path:
    """Write a quiet recorded market of one symbol in the short form of six columns."""
    folder.mkdir()
    lines = []
    for minute in range(minutes):
        opened, low = START_MS + minute * 60_000, 90_000 + minute % 7
        lines.append(f"{opened},{low},{low + 2},{low - 1},{low + 1},9.5")
    (folder / "BTCUSDT-1m.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_recorded_market_that_ends_ends_the_run_and_another_market_sets_its_account_aside(tmp_path: Path) -> None:
    place, data = Place(tmp_path), record(tmp_path / "data", 600)
    recorded = ("--data", str(data), "--speed", "1200", "--for", "200")
    begun = time.monotonic()

    finished = place.run(*recorded)

    assert finished.returncode == 0, finished.stderr
    assert time.monotonic() - begun < 120
    assert "the recorded market has come to its end" in finished.stdout
    assert "(equals net PnL)" in finished.stdout
    assert "LOST" not in finished.stdout + finished.stderr
    assert place.number("SELECT max(open_time) FROM candles_1m") == START_MS + 599 * 60_000

    broken = place.run("--data", str(record(tmp_path / "none", 0)), "--for", "2")
    assert broken.returncode == 2
    assert not (tmp_path / "backups").exists()  # nothing is set aside for data that cannot be played

    other = place.run("--symbols", "3", "--for", "3")
    assert other.returncode == 0, other.stderr
    assert "the database belongs to another market" in other.stdout
    assert "symbols: 3" in other.stdout
    (kept,) = (tmp_path / "backups").iterdir()
    assert {"trader.db", "trader.journal.jsonl"} <= {file.name for file in kept.iterdir()}
    assert place.number("SELECT count(DISTINCT symbol) FROM candles_1m") == 3

    fresh = place.run("--fresh", "--symbols", "3", "--for", "2")
    assert fresh.returncode == 0, fresh.stderr
    assert "starting over: the old database and account are kept in" in fresh.stdout
    assert len(list((tmp_path / "backups").iterdir())) == 2


def test_second_interrupt_ends_at_once_and_the_next_run_is_sound(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.running("--for", "600") as trader:
        wait_for(lambda: "vwap_reversion)" in trader.output, 90, "a position was opened")
        trader.process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        asked = time.monotonic()
        assert trader.stop(signal.SIGINT, 10) in (0, 130)
        assert time.monotonic() - asked < 5
        assert "Traceback" not in trader.output

    again = place.run("--for", "5")

    assert again.returncode == 0, again.stderr[-2_000:]
    assert_sound(place)


def test_paper_trades_on_the_public_market_of_another_venue(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.running("exchange", "--port", "0", "--speed", "600", "--start", "2026-01-03T04:00") as live:
        wait_for(lambda: ADDRESS.search(live.output), 60, "the exchange printed its address")
        found = ADDRESS.search(live.output)
        assert found is not None
        url = found[1]
        venue = {"PAPER_REST_URL": url, "PAPER_STREAM_URL": url.replace("http", "ws", 1)}
        with place.running("--mode", "paper", "--for", "600", **venue) as trader:
            wait_for(lambda: "vwap_reversion)" in trader.output, 90, "a position was opened")
            assert trader.stop() == 0, trader.output[-2_000:]
            assert "mode: paper" in trader.output
            assert "(equals net PnL)" in trader.output
        assert_sound(place)
