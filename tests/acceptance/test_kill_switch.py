"""The kill switch through the real program: while the trader runs, when it does not, by file, and back again."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.support import Place, Venue, entries_at, exchange_of, wait_for

pytestmark = pytest.mark.slow

FLAT = "flat: the venue confirms that no position and no order of ours is left"


def is_empty(place: Place) -> bool:
    venue = place.venue()
    return not venue.open_positions() and not venue.live_algos()


def wait_for_position(place: Place) -> None:
    wait_for(lambda: place.journal.exists() and place.venue().open_positions(), 90, "a position is open")


def test_kill_flatten_and_resume_while_the_trader_runs(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.running("--for", "300") as trader:
        wait_for_position(place)
        symbol = next(iter(place.venue().open_positions()))
        flattened = place.run("flatten", symbol, timeout_s=60)
        assert flattened.returncode == 0, flattened.stdout + flattened.stderr
        assert FLAT in flattened.stdout

        killed = place.run("kill", timeout_s=60)
        assert killed.returncode == 0, killed.stdout + killed.stderr
        assert FLAT in killed.stdout
        assert is_empty(place)
        entries = entries_at(place)

        refused = place.run("resume", timeout_s=30)
        assert refused.returncode == 2
        assert "resume --yes" in refused.stderr
        assert entries_at(place) == entries

        resumed = place.run("resume", "--yes", timeout_s=30)
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert trader.stop() == 0
    halts = place.rows("SELECT active FROM halts WHERE reason = 'kill'")
    assert [row["active"] for row in halts] == [0]


def test_kill_without_a_running_trader_empties_and_keeps_the_next_run_from_entering(tmp_path: Path) -> None:
    place = Place(tmp_path)
    trader = place.start("--for", "300")
    try:
        wait_for_position(place)
        exchange = exchange_of(trader.pid)
    finally:
        os.kill(trader.pid, signal.SIGKILL)
        trader.wait(10)
    wait_for(lambda: not Path(f"/proc/{exchange}").exists(), 20, "the orphaned exchange ended")
    entries = entries_at(place)

    killed = place.run("kill", timeout_s=90)

    assert killed.returncode == 0, killed.stdout + killed.stderr
    assert "no trader runs" in killed.stdout
    assert FLAT in killed.stdout
    assert is_empty(place)
    again = place.run("--for", "6")
    assert again.returncode == 0, again.stdout[-2_000:] + again.stderr[-2_000:]
    assert entries_at(place) == entries
    resumed = place.run("resume", "--yes", timeout_s=30)
    assert resumed.returncode == 0, resumed.stderr
    assert "the next run may enter again" in resumed.stdout


@pytest.mark.extended
def test_file_kills_a_running_trader_and_resume_removes_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.running("--for", "300") as trader:
        wait_for_position(place)
        (tmp_path / "KILL").touch()
        query = "SELECT count(*) FROM halts WHERE reason = 'kill' AND active AND detail LIKE '%verified flat'"
        wait_for(lambda: place.number(query) == 1, 60, "the account is verified flat")
        assert is_empty(place)
        assert place.run("resume", "--yes", timeout_s=30).returncode == 0
        assert not (tmp_path / "KILL").exists()
        assert trader.stop() == 0


def test_kill_where_nothing_ever_traded_says_so(tmp_path: Path) -> None:
    result = Place(tmp_path).run("kill", timeout_s=30)
    assert result.returncode == 1
    assert "nothing has traded there" in result.stderr
    assert not (tmp_path / "trader.db").exists()


@pytest.mark.parametrize("command", ["kill", "flatten", "resume"])
def test_help_of_each_command_explains_it(tmp_path: Path, command: str) -> None:
    result = Place(tmp_path).run(command, "--help", timeout_s=30)
    assert result.returncode == 0
    assert "--db" in result.stdout


@pytest.mark.extended
def test_trader_whose_lease_was_taken_sends_nothing_more_and_ends(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.running("--for", "300") as trader:
        wait_for_position(place)
        with closing(sqlite3.connect(place.database, timeout=10)) as connection:
            connection.execute("UPDATE lease SET epoch = epoch + 1, holder = 'another trader'")
            connection.commit()
        assert trader.wait(60) == 1
        assert "another process took over" in trader.output
    lost = next(i for i, line in enumerate(place.log_lines()) if "took this account over" in str(line))
    later = [line for line in place.log_lines()[lost:] if " at " in str(line.get("event", "")) and "stop " in str(line)]
    assert later == []
    assert place.rows("SELECT holder FROM lease")[0]["holder"] == "another trader"


@pytest.mark.extended
def test_kill_finds_the_market_of_the_last_run_by_itself(tmp_path: Path) -> None:
    place = Place(tmp_path)
    ran = place.run("--for", "12", "--seed", "11", "--symbols", "BTCUSDT,ETHUSDT,SOLUSDT,BNBUSDT,XRPUSDT,ADAUSDT")
    assert ran.returncode == 0, ran.stdout[-2_000:] + ran.stderr[-2_000:]
    killed = place.run("kill", timeout_s=90)
    assert killed.returncode == 0, killed.stdout + killed.stderr
    assert FLAT in killed.stdout
    assert is_empty(place)


@pytest.mark.extended
def test_kill_finds_the_exchange_that_runs_by_itself(tmp_path: Path) -> None:
    place = Place(tmp_path)
    other = tmp_path / "other.journal"
    with place.running("exchange", "--port", "0", "--speed", "600", "--seed", "9", "--journal", str(other)) as exchange:
        address = exchange.wait_for(r"(http://127\.0\.0\.1:\d+)").group(1)
        trader = place.start("--for", "300", "--exchange", address)
        try:
            wait_for(lambda: other.exists() and Venue.read(other).open_positions(), 90, "a position is open")
        finally:
            trader.kill()
            trader.wait(10)
        killed = place.run("kill", timeout_s=90)
        assert killed.returncode == 0, killed.stdout + killed.stderr
        assert FLAT in killed.stdout
        assert not Venue.read(other).open_positions()
        assert not place.journal.exists()
