"""What is refused, with file and line, and what `--allow-gaps` makes of it."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path

import pytest

from backtest.funding import load_funding
from backtest.load import load, load_tables, table_of
from core.errors import ConfigurationError
from tests.unit.backtest.support import START_MS


def rows(*minutes: int, price: str = "100.10") -> list[str]:
    return [f"{START_MS + minute * 60_000},{price},101,99.5,100.25,3.5" for minute in minutes]


def write(folder: Path, lines: list[str], name: str = "ETHUSDT-1m.csv") -> None:
    (folder / name).write_text("open_time,open,high,low,close,volume\n" + "\n".join(lines) + "\n")


def test_prices_are_exact_and_floats_are_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, rows(0, 1, 2))
    (candles,) = load(tmp_path).candles
    assert candles.price(int(candles.open[0])) == Decimal("100.10")
    assert candles.columns.open[0] == float("100.10")
    assert len(candles) == 3


def test_gap_is_refused_with_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, rows(0, 1, 5))
    with pytest.raises(ConfigurationError, match=r"ETHUSDT-1m.csv, line 4: 3 minutes missing"):
        load(tmp_path)


def test_gap_is_noted_when_allowed(tmp_path: Path) -> None:
    write(tmp_path, rows(0, 1, 5))
    loaded = load(tmp_path, allow_gaps=True)
    assert len(loaded.candles[0]) == 3
    assert "3 minutes missing" in loaded.notes[0]


def test_file_that_is_not_read_is_noted_and_one_of_funding_is_not(tmp_path: Path) -> None:
    write(tmp_path, rows(0, 1))
    for name in ("ETHUSDT-funding.csv", "ETHUSDT-mark-8h.csv"):
        (tmp_path / name).write_text("calc_time,last_funding_rate\n")
    assert load(tmp_path).notes == ("ETHUSDT-mark-8h.csv is not a file of 1m candles and is not played",)


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (rows(0, 1, 1), "line 4: the same minute"),
        (rows(0, 2, 1), "line 4: earlier than"),
        ([*rows(0), f"{START_MS + 60_000},100,99,98,100,1"], "line 3: impossible candle"),
        ([*rows(0), f"{START_MS + 60_000},nan,101,99,100,1"], "line 3: open is 'nan'"),
        ([*rows(0), f"{START_MS + 60_001},100,101,99,100,1"], "line 3: open_time is not a full minute"),
    ],
)
def test_faulty_row_is_refused_with_file_and_line(tmp_path: Path, lines: list[str], what: str) -> None:
    write(tmp_path, lines)
    with pytest.raises(ConfigurationError, match=what):
        load(tmp_path)


def test_duplicates_disorder_and_impossible_rows_are_left_out_when_allowed(tmp_path: Path) -> None:
    bad = f"{START_MS + 3 * 60_000},100,99,98,100,1"
    write(tmp_path, [*rows(0, 1, 1, 2), bad, *rows(1, 4)])
    loaded = load(tmp_path, allow_gaps=True)
    (candles,) = loaded.candles
    assert [(int(time) - START_MS) // 60_000 for time in candles.open_time] == [0, 1, 2, 4]
    assert len(loaded.notes) == 4


def test_overlapping_files_are_refused_and_adjacent_ones_joined(tmp_path: Path) -> None:
    write(tmp_path, rows(0, 1), "ETHUSDT-1m-a.csv")
    write(tmp_path, rows(2, 3), "ETHUSDT-1m-b.csv")
    assert len(load(tmp_path).candles[0]) == 4
    write(tmp_path, rows(3, 4), "ETHUSDT-1m-c.csv")
    with pytest.raises(ConfigurationError, match="also in another file"):
        load(tmp_path)


def test_span_cuts_and_an_empty_one_says_what_there_is(tmp_path: Path) -> None:
    write(tmp_path, rows(*range(10)))
    part = load(tmp_path, start_ms=START_MS + 120_000, end_ms=START_MS + 300_000).candles[0]
    assert [(int(time) - START_MS) // 60_000 for time in part.open_time] == [2, 3, 4]
    with pytest.raises(ConfigurationError, match="no candles in this span; the files hold 2026-01-01"):
        load(tmp_path, start_ms=START_MS + 10**9)


def test_unknown_symbol_names_those_that_are_there(tmp_path: Path) -> None:
    write(tmp_path, rows(0, 1))
    with pytest.raises(ConfigurationError, match="no 1m file for BTCUSDT; it has ETHUSDT"):
        load(tmp_path, ["BTCUSDT"])


def test_funding_files_are_read_to_the_minute(tmp_path: Path) -> None:
    text = f"funding_time,funding_rate\n{START_MS + 7},0.0001\n{START_MS + 28_800_003},-0.00002\n"
    (tmp_path / "ETHUSDT-funding.csv.gz").write_bytes(gzip.compress(text.encode()))
    points = load_funding(tmp_path, ["ETHUSDT", "BTCUSDT"])
    assert [(p.time_ms - START_MS, p.rate) for p in points["ETHUSDT"]] == [
        (0, Decimal("0.0001")),
        (28_800_000, Decimal("-0.00002")),
    ]
    assert "BTCUSDT" not in points


def test_funding_row_without_a_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ETHUSDT-funding.csv").write_text(f"calc_time,last_funding_rate\n{START_MS},abc\n")
    with pytest.raises(ConfigurationError, match=r"ETHUSDT-funding.csv, line 2"):
        load_funding(tmp_path, ["ETHUSDT"])


def at_five_minutes(count: int) -> list[str]:
    return rows(*range(0, 5 * count, 5))


@pytest.mark.parametrize("allow_gaps", [False, True])
@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (at_five_minutes(12), "line 2: from here on candles are 5 minutes apart"),
        ([*rows(*range(10)), *rows(*range(10, 70, 5))], "line 12: from here on candles are 5 minutes apart"),
    ],
)
def test_longer_or_mixed_intervals_are_refused_even_with_gaps_allowed(
    tmp_path: Path, lines: list[str], what: str, allow_gaps: bool
) -> None:
    write(tmp_path, lines)
    with pytest.raises(ConfigurationError, match=what):
        load(tmp_path, allow_gaps=allow_gaps)


@pytest.mark.parametrize(("candles", "is_refused"), [(8, False), (9, True)])
def test_nine_candles_at_an_even_distance_are_another_interval(tmp_path: Path, candles: int, is_refused: bool) -> None:
    write(tmp_path, [*rows(*range(10)), *rows(*range(14, 14 + 5 * (candles - 1), 5)), *rows(100, 101)])
    if is_refused:
        with pytest.raises(ConfigurationError, match="line 11: from here on candles are 5 minutes apart"):
            load(tmp_path, allow_gaps=True)
    else:
        assert len(load(tmp_path, allow_gaps=True).candles[0]) == 11 + candles


def test_irregular_gaps_are_no_other_interval(tmp_path: Path) -> None:
    write(tmp_path, rows(0, 1, 6, 11, 16, 17, 18, 25))
    assert len(load(tmp_path, allow_gaps=True).candles[0]) == 8


def test_table_of_texts_is_checked_like_a_file() -> None:
    times = [str(START_MS + 60_000 * minute) for minute in (0, 1, 4)]
    prices = [["100.10", "100.2", "100"], ["1000001.25"] * 3, ["99"] * 3, ["100"] * 3, ["1"] * 3]
    table = table_of("ETHUSDT in candles_1m", [times, *prices])
    with pytest.raises(ConfigurationError, match="ETHUSDT in candles_1m, row 3: 2 minutes missing"):
        load_tables({"ETHUSDT": table}, "a database")
    loaded = load_tables({"ETHUSDT": table}, "a database", allow_gaps=True)
    (candles,) = loaded.candles
    assert [candles.price(int(unit)) for unit in candles.open] == [Decimal("100.10"), Decimal("100.2"), Decimal(100)]
    assert candles.price(int(candles.high[0])) == Decimal("1000001.25")
    assert loaded.source == "a database"
