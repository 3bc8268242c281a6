"""A disk on which nothing more can be written, for the trader and for the exchange: said clearly, and nothing lost."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.acceptance.support import Place, Running, assert_sound, entries_at, exchange_of, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits what another process may write: Linux only"),
]


def limit_files(pid: int, size: int) -> None:
    """Let the process write no file beyond `size` bytes (-1: as it likes). What is refused fails as on a full disk."""
    import resource

    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size < 0 else size, hard))


def started(place: Place, trader: Running) -> None:
    wait_for(lambda: place.journal.exists() and entries_at(place) >= 1, 90, "an entry was sent")
    assert trader.process.poll() is None


def test_trader_that_cannot_write_says_so_takes_no_entry_and_loses_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.running("--for", "600") as trader:
        started(place, trader)
        limit_files(trader.process.pid, 1)
        wait_for(lambda: "the database cannot be written" in trader.output, 30, "the full disk was noticed")
        said = next(line for line in trader.output.splitlines() if "the database cannot be written" in line)
        assert "space" in said
        wait_for(lambda: place.venue().of("order"), 5, "the journal can be read")
        entries = entries_at(place)
        wait_for(lambda: "signal denied" in trader.output.partition(said)[2], 60, "a signal was denied")
        assert entries_at(place) <= entries + 1  # at most one was on its way when the disk filled up
        limit_files(trader.process.pid, -1)
        wait_for(lambda: "the database can be written again" in trader.output, 60, "the database is written again")

        assert trader.stop() == 0, trader.output[-2_000:]

        assert "(equals net PnL)" in trader.output
        assert "Traceback" not in trader.output
    assert_sound(place)


def test_exchange_that_cannot_write_its_journal_is_started_again_and_nothing_is_lost(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with place.running("--for", "600") as trader:
        started(place, trader)
        limit_files(exchange_of(trader.process.pid), 1)
        wait_for(lambda: "exchange ended, starting it again" in trader.output, 30, "the exchange has ended")
        before = entries_at(place)
        wait_for(lambda: entries_at(place) > before, 60, "trading goes on")

        assert trader.stop(signal.SIGINT) == 0, trader.output[-2_000:]

        assert "(equals net PnL)" in trader.output
        assert "Traceback" not in trader.output
    assert_sound(place)
