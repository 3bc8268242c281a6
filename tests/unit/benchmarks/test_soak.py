"""The soak: a short run finds nothing wrong, and what is taken away or grows is seen."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.soak import Days, soak
from benchmarks.soak_check import SoakCheck, container_sizes
from benchmarks.soak_world import START_MS, Plan, SoakWorld
from executor.book import Book

HALF_A_DAY = 0.5


def _plan(folder: Path) -> Plan:
    return Plan(HALF_A_DAY, symbols=8, fault_every_ms=240_000, seed=3, folder=folder)


@pytest.mark.extended
def test_short_soak_trades_under_faults_and_loses_nothing(tmp_path: Path) -> None:
    found, problems = soak(_plan(tmp_path))
    assert problems == []
    assert found["trades"] > 2 and found["faults"] > 60 and found["core_starts"] == 3
    assert found["growth_per_day"]["candles_1m"]["rows"] == 8 * 720


@pytest.mark.extended
def test_check_sees_a_fill_that_was_lost_and_money_that_does_not_add_up(tmp_path: Path) -> None:
    world = SoakWorld(_plan(tmp_path))
    world.run_until(world.end_ms + 180_000)
    check = SoakCheck(world)
    check.compare_day(START_MS, world.now_ms + 1)
    check.compare_end()
    assert check.problems == []
    with closing(sqlite3.connect(tmp_path / "trader.db", timeout=10)) as connection:
        connection.execute("delete from fills where rowid = (select max(rowid) from fills)")
        connection.commit()
    check.compare_day(START_MS, world.now_ms + 1)
    check.compare_end()
    world.disk.close()
    assert ["fills differ" in text or "money" in text for text in check.problems] == [True, True]


def test_slope_counts_the_warm_part_only() -> None:
    days = Days(memory=[(day, 100 + 9 * day if day < 20 else 280.0 + day / 10) for day in range(31)])
    assert days.slope_mb() == pytest.approx(0.1)
    assert Days(memory=[(0.0, 1.0), (1.0, 2.0)]).slope_mb() is None


def test_containers_are_named_by_their_path_and_summed() -> None:
    book = Book(recent_max=2)
    for symbol in ("A", "B"):
        for number in range(3):
            book.mark_seen(symbol, number)
    sizes = container_sizes(book)
    assert (sizes["Book._seen"], sizes["Book._seen[]"]) == (2, 6)
