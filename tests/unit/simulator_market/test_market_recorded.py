"""Recorded files: every format, exact numbers, and one clear line for each fault."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from simulator.market.market import KlineClosed, Market
from simulator.market.recorded import Recording, load_directory
from tests.unit.simulator_market.markets import HEADER_12, MINUTE_MS, NEW_YEAR_MS, six, twelve, write

START = NEW_YEAR_MS // MINUTE_MS


def load(folder: Path, *lines: str, name: str = "BTCUSDT-1m.csv") -> Recording:
    write(folder / name, lines)
    return load_directory(folder)


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".zip", ".parquet"])
@pytest.mark.parametrize("width", [6, 12])
def test_every_format_gives_the_same_candles(tmp_path: Path, header: bool, ending: str, width: int) -> None:
    body = [twelve(0), twelve(1, quote="1001.25", taker_quote="399.75")]
    names = HEADER_12
    if width == 6:
        body, names = [",".join(line.split(",")[:6]) for line in body], ",".join(HEADER_12.split(",")[:6])
    text = "\n".join([names, *body] if header else body) + "\n"
    path = tmp_path / f"LTCUSDT-1m-2026-01{ending}"
    if ending == ".csv":
        path.write_text(text)
    elif ending == ".csv.gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif ending == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("LTCUSDT-1m-2026-01.csv", text)
    else:
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        fields = [line.split(",") for line in body]
        columns = {name: [row[at] for row in fields] for at, name in enumerate(names.split(","))}
        numbers = {name: [float(value) if header else value for value in column] for name, column in columns.items()}
        parquet.write_table(arrow.table(numbers), path)
    recording = load_directory(tmp_path)
    rows = recording.columns("LTCUSDT", START, START + 2).rows()
    assert [row[:6] for row in rows] == [(START + at, 1000, 1050, 950, 1020, 100_000) for at in range(2)]
    if width == 12:
        unit = recording.grid("LTCUSDT").quote_unit
        assert [row[6] * unit for row in rows] == [Decimal("1000.00"), Decimal("1001.25")]
        assert [row[7:10:2] for row in rows] == [(12, Decimal("400.00") / unit), (12, Decimal("399.75") / unit)]


def test_six_columns_get_plausible_volumes(tmp_path: Path) -> None:
    row = load(tmp_path, six(0), six(1)).columns("BTCUSDT", START, START + 1).rows()[0]
    _, open_, high, low, close, volume, quote, count, taker, taker_quote, parts, _, _ = row
    assert quote == volume * (open_ + high + low + close) // 4
    assert 0 < taker < volume
    assert low * taker <= taker_quote <= high * taker
    assert count == parts >= 8


def test_numbers_with_too_many_digits_for_a_double_stay_exact(tmp_path: Path) -> None:
    quote, volume = "12345678901.12345678", "1234567890"
    opens = [NEW_YEAR_MS, NEW_YEAR_MS + MINUTE_MS]
    lines = [f"{at},10.0,10.5,9.5,10.0,{volume},{at + 59_999},{quote},12,40,400.0,0" for at in opens]
    recording = load(tmp_path, *lines, name="XYZUSDT-1m.csv")
    row = recording.columns("XYZUSDT", START, START + 1).rows()[0]
    assert row[6] * recording.grid("XYZUSDT").quote_unit == Decimal(quote)


def test_several_files_of_a_symbol_are_joined_in_time_order(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT-1m-2026-01-b.csv", [six(5), six(6)])
    write(tmp_path / "BTCUSDT-1m-2026-01-a.csv", [six(0), six(1)])
    recording = load_directory(tmp_path)
    columns = recording.columns("BTCUSDT", START, START + 100)
    assert columns.minute.tolist() == [START, START + 1, START + 5, START + 6]
    assert columns.first_part.tolist() == [1 + sum(columns.parts[:at]) for at in range(4)]


def test_other_files_are_left_alone_and_noted(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT-5m.csv", ["nonsense"])
    write(tmp_path / "README.md", ["nothing"])
    recording = load(tmp_path, six(0), six(1))
    assert list(recording.specs) == ["BTCUSDT"]
    assert any("BTCUSDT-5m.csv" in note for note in recording.notes)


def test_symbols_come_in_catalogue_order_then_by_name_or_as_asked_for(tmp_path: Path) -> None:
    for symbol in ("ZZZUSDT", "ETHUSDT", "AAAUSDT", "BTCUSDT"):
        write(tmp_path / f"{symbol}-1m.csv", [six(0), six(1)])
    assert list(load_directory(tmp_path).specs) == ["BTCUSDT", "ETHUSDT", "AAAUSDT", "ZZZUSDT"]
    assert list(load_directory(tmp_path, ["ZZZUSDT", "BTCUSDT"]).specs) == ["ZZZUSDT", "BTCUSDT"]
    with pytest.raises(ConfigurationError, match="no 1m file for SOLUSDT; it has AAAUSDT, BTCUSDT"):
        load_directory(tmp_path, ["SOLUSDT"])


def test_play_starts_a_day_after_the_last_symbol_joined(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT-1m.csv", [six(at) for at in range(3000)])
    write(tmp_path / "ETHUSDT-1m.csv", [six(at) for at in range(100, 3000)])
    recording = load_directory(tmp_path)
    assert recording.start_ms == NEW_YEAR_MS + (100 + 1440) * MINUTE_MS
    assert recording.end_ms == NEW_YEAR_MS + 3000 * MINUTE_MS


def test_play_of_a_short_recording_starts_halfway(tmp_path: Path) -> None:
    assert load(tmp_path, *[six(at) for at in range(60)]).start_ms == NEW_YEAR_MS + 30 * MINUTE_MS


def test_start_outside_the_recording_is_refused(tmp_path: Path) -> None:
    recording = load(tmp_path, six(0), six(1))
    for start_ms in (NEW_YEAR_MS - 1, recording.end_ms):
        with pytest.raises(ConfigurationError, match="lies outside the market"):
            Market.recorded(recording, seed=1, start_ms=start_ms)


BAD_LINES: dict[str, tuple[list[str], str]] = {
    "not a number": ([six(0), six(1).replace("10.5", "ten")], "line 2: high is 'ten', not a number"),
    "not a finite number": ([six(0), six(1).replace("10.5", "nan")], "line 2: high is 'nan', not a number"),
    "empty field": ([HEADER_12, twelve(0), twelve(1, quote="")], "line 3: quote_volume is '', not a number"),
    "missing column": ([six(0), six(1).rsplit(",", 1)[0]], "line 2: 5 columns, the lines before have 6"),
    "wrong width": (["1,2,3"], "line 1: 3 columns; 1m candle files have 6 or 12"),
    "unknown header": (["time,o,h,l,c,v", six(0)], "line 1: unknown columns 'time,o,h,l,c,v'"),
    "torn last line": ([six(0), six(1)[:24]], "line 2: 4 columns"),
    "duplicate": ([six(0), six(1), six(1)], "line 3: the same minute as the line before"),
    "disorder": ([HEADER_12, twelve(1), twelve(0)], "line 3: earlier than the line before"),
    "five-minute candles": ([f"{NEW_YEAR_MS + 30_000},1,1,1,1,1"], "line 1: open_time is not a full minute"),
    "seconds": (["1767225600,1,1,1,1,1"], "line 1: open_time is no UTC time in milliseconds"),
    "microseconds": (["1767225600000000,1,1,1,1,1"], "line 1: open_time is no UTC time in milliseconds (micro"),
    "high below close": ([six(0), six(1, close="10.6")], "line 2: impossible candle: high is below"),
    "low above open": ([six(0), six(1, open_="9.4")], "line 2: impossible candle: low is above"),
    "price zero": ([six(0, low="0")], "line 1: a price is not above zero"),
    "negative volume": ([six(0)[:-3] + "-1"], "line 1: volume is negative"),
    "quote volume off": ([twelve(0, quote="2000.0")], "line 1: quote_volume does not fit the prices"),
    "taker above volume": ([twelve(0, taker="101")], "line 1: taker_buy_volume is not within volume"),
    "taker quote off": ([twelve(0, taker_quote="1001")], "line 1: taker_buy_quote_volume is not within"),
    "trades missing": ([twelve(0, count=0)], "line 1: count does not fit volume"),
    "no candles": ([HEADER_12], "the file has no candles"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_bad_data_is_refused_with_file_line_and_reason(tmp_path: Path, case: str) -> None:
    lines, reason = BAD_LINES[case]
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, *lines)
    message = str(caught.value)
    assert message.startswith("BTCUSDT-1m.csv")
    assert reason in message
    assert "\n" not in message


def break_gzip(folder: Path) -> None:
    (folder / "BTCUSDT-1m.csv.gz").write_bytes(gzip.compress(six(0).encode())[:-9])


def break_zip(folder: Path) -> None:
    (folder / "BTCUSDT-1m.zip").write_bytes(b"PK no archive")


def two_members(folder: Path) -> None:
    with zipfile.ZipFile(folder / "BTCUSDT-1m.zip", "w") as archive:
        archive.writestr("a.csv", six(0))
        archive.writestr("b.csv", six(1))


def break_parquet(folder: Path) -> None:
    (folder / "BTCUSDT-1m.parquet").write_bytes(b"PAR1 nothing")


def break_text(folder: Path) -> None:
    (folder / "BTCUSDT-1m.csv").write_bytes(b"\xff\xfe\x00")


def overlap(folder: Path) -> None:
    write(folder / "BTCUSDT-1m-a.csv", [six(0), six(1)])
    write(folder / "BTCUSDT-1m-b.csv", [six(1), six(2)])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (break_gzip, "BTCUSDT-1m.csv.gz: cannot be read as candle text"),
        (break_zip, "BTCUSDT-1m.zip: cannot be read as candle text"),
        (two_members, "BTCUSDT-1m.zip: an archive of candles holds one .csv file, this one 2"),
        (break_parquet, "BTCUSDT-1m.parquet: cannot be read as parquet"),
        (break_text, "BTCUSDT-1m.csv: cannot be read as candle text"),
        (overlap, "BTCUSDT-1m-b.csv, line 1: this time is also in BTCUSDT-1m-a.csv"),
    ],
)
def test_broken_file_is_refused_with_its_name(tmp_path: Path, spoil: Callable[[Path], None], reason: str) -> None:
    spoil(tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        load_directory(tmp_path)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_or_empty_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such directory"):
        load_directory(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="to play"):
        load_directory(tmp_path)


def test_minutes_without_a_candle_stay_empty(tmp_path: Path) -> None:
    write(tmp_path / "BTCUSDT-1m.csv", [six(at) for at in (0, 1, 2, 3, 7, 8)])
    market = Market.recorded(load_directory(tmp_path), seed=1, start_ms=NEW_YEAR_MS + 2 * MINUTE_MS)
    events = list(market.advance(NEW_YEAR_MS + DAY))
    closed = [event.kline.open_time_ms for event in events if isinstance(event, KlineClosed)]
    assert closed == [NEW_YEAR_MS + at * MINUTE_MS for at in (2, 3, 7, 8)]
    assert market.now_ms == market.end_ms == NEW_YEAR_MS + 9 * MINUTE_MS
    assert list(market.advance(NEW_YEAR_MS + 2 * DAY)) == []
    assert len(market.klines("BTCUSDT", "1m", None, None, 100)) == 6


DAY = 86_400_000


def test_recorded_market_closes_exactly_the_recorded_candles(shared_data: Path) -> None:
    folder = shared_data / "klines" / "um_1m_12col"
    market = Market.recorded(load_directory(folder, ["AVAXUSDT", "LTCUSDT", "LINKUSDT"]), seed=3)
    lines = {}
    for symbol in ("LTCUSDT", "LINKUSDT"):
        with gzip.open(folder / f"{symbol}-1m-2026-02.csv.gz", "rt") as text:
            lines[symbol] = {int(line.split(",", 1)[0]): line.strip().split(",") for line in list(text)[1:]}
    compared = 0
    for event in market.advance(market.start_ms + 200 * MINUTE_MS):
        if not isinstance(event, KlineClosed):
            continue
        view, row = event.kline, lines[event.symbol][event.kline.open_time_ms]
        shown = [view.open, view.high, view.low, view.close, view.volume, view.close_time_ms, view.quote_volume,
                 view.trade_count, view.taker_buy_volume, view.taker_buy_quote_volume]  # fmt: skip
        assert shown == [Decimal(text) for text in row[1:11]]
        assert event.time_ms == view.close_time_ms + 1
        compared += 1
    assert compared == 400
