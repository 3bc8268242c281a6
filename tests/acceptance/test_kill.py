"""Kill -9 of the trader, of the exchange, or of both, and start again: nothing doubled, nothing naked, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.support import Place, Venue, wait_for

pytestmark = pytest.mark.slow


def exchange_of(trader: subprocess.Popen[str]) -> int:
    """Return the process id of the trader's child, the embedded exchange."""
    children = Path(f"/proc/{trader.pid}/task/{trader.pid}/children")
    if not children.exists():
        pytest.skip("this system does not list child processes under /proc")
    return int(children.read_text().split()[0])


def entries_at(place: Place) -> int:
    return sum(1 for row in place.venue().of("order") if row["client_order_id"].rpartition("-")[2].startswith("E"))


def assert_sound(place: Place) -> None:
    """What must hold after a clean end, whatever happened before."""
    venue: Venue = place.venue()
    stops = {row["symbol"] for row in venue.live_algos() if row["type"] == "STOP_MARKET"}
    assert set(venue.open_positions()) <= stops, "a position without a stop"
    flat = {row["symbol"] for row in venue.live_algos()} - set(venue.open_positions())
    assert flat == set(), "orders left on a flat symbol"
    plain = Counter(row["client_order_id"] for row in venue.of("order") if row["client_order_id"].startswith("ft-"))
    assert [name for name, count in plain.items() if count > 1] == [], "an order sent twice"
    entries = Counter(name.rpartition("-")[0] for name in plain if name.rpartition("-")[2].startswith("E"))
    assert [intent for intent, count in entries.items() if count > 1] == [], "an intent entered twice"
    intents = {row[0] for row in place.rows("SELECT client_order_id FROM intents")}
    sent = {name for name in plain if name.rpartition("-")[2].startswith("E")}
    assert sent <= intents, "an entry at the venue that was never written down"
    booked = sorted((row[0], row[1]) for row in place.rows("SELECT symbol, trade_id FROM fills"))
    assert booked == sorted((row["symbol"], row["trade_id"]) for row in venue.of("trade"))
    ours = {row[0] for row in place.rows("SELECT symbol FROM positions WHERE state NOT IN ('closed', 'refused')")}
    assert ours == set(venue.open_positions())


@pytest.mark.parametrize(("victims", "entries"), [("trader", 1), ("exchange", 3), ("both", 5), ("trader", 8)])
def test_killed_processes_start_again_without_doubled_order_or_naked_position(
    tmp_path: Path, victims: str, entries: int
) -> None:
    place = Place(tmp_path)
    trader = place.start("--for", "600")
    try:
        wait_for(lambda: place.journal.exists() and entries_at(place) >= entries, 90, f"{entries} entries were sent")
        exchange = exchange_of(trader)
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
