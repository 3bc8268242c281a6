"""Kill -9 of the trader, of the exchange, or of both, and start again: nothing doubled, nothing naked, nothing lost."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.acceptance.support import Place, assert_sound, entries_at, exchange_of, wait_for

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("victims", "entries"),
    [pytest.param("trader", 1, marks=pytest.mark.extended), ("exchange", 3), ("both", 5), ("trader", 8)],
)
def test_killed_processes_start_again_without_doubled_order_or_naked_position(
    tmp_path: Path, victims: str, entries: int
) -> None:
    place = Place(tmp_path)
    trader = place.start("--for", "600")
    try:
        wait_for(lambda: place.journal.exists() and entries_at(place) >= entries, 90, f"{entries} entries were sent")
        exchange = exchange_of(trader.pid)
        if victims in ("exchange", "both"):
            os.kill(exchange, signal.SIGKILL)
        if victims in ("trader", "both"):
            trader.kill()
            trader.wait(10)
            wait_for(lambda: not Path(f"/proc/{exchange}").exists(), 20, "the orphaned exchange ended")
        else:
            time.sleep(12)  # it is started again by the trader, which goes on trading
            trader.send_signal(signal.SIGTERM)
            output, _ = trader.communicate(timeout=60)
            assert trader.returncode == 0, output[-2_000:]
            assert "(equals net PnL)" in output
    finally:
        trader.kill()
        trader.wait(10)

    again = place.run("--for", "8")

    assert again.returncode == 0, again.stdout[-2_000:] + again.stderr[-2_000:]
    assert "(equals net PnL)" in again.stdout
    assert_sound(place)


def test_second_run_continues_the_account_and_keeps_its_rows(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert place.run("--for", "12").returncode == 0
    first_wallet, first_fills = place.venue().wallet(), place.number("SELECT count(*) FROM fills")

    again = place.run("--for", "5")

    assert again.returncode == 0, again.stderr[-2_000:]
    assert f"wallet: {first_wallet} ->" in again.stdout or place.number("SELECT count(*) FROM fills") > first_fills
    assert place.number("SELECT count(DISTINCT epoch) FROM intents") <= 2
    assert_sound(place)


def test_sigterm_stops_cleanly_with_a_summary(tmp_path: Path) -> None:
    place = Place(tmp_path)
    trader = place.start("--for", "600")
    try:
        wait_for(lambda: place.journal.exists() and entries_at(place) >= 1, 90, "an entry was sent")
        trader.send_signal(signal.SIGTERM)
        output, _ = trader.communicate(timeout=60)
    finally:
        trader.kill()
    assert trader.returncode == 0, output[-2_000:]
    assert "net PnL:" in output
    assert_sound(place)
