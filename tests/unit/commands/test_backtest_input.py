"""`main.py backtest`: where candles may come from, and one line with exit code 2 for what cannot be replayed."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from backtest import run as backtest_run
from backtest.load import load
from backtest.output import data_digest, own_folder
from backtest.parameters import HISTORY_MS, history_of, on_any_symbol
from commands.backtest import backtest
from commands.candle_source import load_candles
from commands.replay_options import strategies_of
from commands.search import open_market
from core.candle import ClosedCandle
from core.errors import ConfigurationError
from core.records import CandleRecord
from database.database import open_database
from database.runs import RunBook

ROOT = Path(__file__).resolve().parents[3]
D = Decimal
T0 = 1_767_225_600_000
HEADER = "open_time,open,high,low,close,volume"
app = typer.Typer()
app.command()(backtest)


def closes(count: int) -> list[Decimal]:
    """A price that wanders a little, always the same way."""
    prices, state = [D("100.00")], 7
    for _ in range(count - 1):
        state = state * 1_103_515_245 % 2**31
        prices.append(prices[-1] + D(state % 61 - 30).scaleb(-2))
    return prices


def candles(count: int = 3_000) -> list[tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal]]:
    ends = closes(count + 1)
    return [
        (T0 + 60_000 * at, a, max(a, b) + D("0.05"), min(a, b) - D("0.05"), b, D("12.125"))
        for at, (a, b) in enumerate(pairwise(ends))
    ]


def write(folder: Path, rows: Sequence[Sequence[object]], name: str = "ETHUSDT-1m.csv") -> None:
    (folder / name).write_text("\n".join([HEADER, *(",".join(map(str, row)) for row in rows)]) + "\n")


def record(url: str, rows: Sequence[tuple[int, Decimal, Decimal, Decimal, Decimal, Decimal]], symbol: str) -> None:
    database = open_database(url, "sim")
    records = [
        CandleRecord(ClosedCandle(symbol, "1m", at, open_, high, low, close, volume, volume * close, 3))
        for at, open_, high, low, close, volume in rows
    ]
    asyncio.run(database.writer.commit(records))
    database.close()


def run(*arguments: str) -> tuple[int, list[str], str]:
    """Return exit code, the lines of stderr, stdout."""
    result = CliRunner().invoke(app, ["vwap_reversion", *arguments])
    return result.exit_code, [line for line in result.stderr.splitlines() if line.strip()], result.stdout


@pytest.fixture
def own(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/own/trader.db"


def test_own_candles_give_the_result_of_the_same_candles_in_a_file(tmp_path: Path, own: str) -> None:
    rows = candles()
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder, rows)
    record(own, rows, "ETHUSDT")
    for name, data in (("file", str(folder)), ("url", own), ("db", "db")):
        code, errors, _ = run("--data", data, "--out", str(tmp_path / name), "--db", own, "--no-report", "--no-risk")
        assert code == 0, errors
    trades = (tmp_path / "file" / "trades.csv").read_text()
    assert trades.count("\n") > 5
    assert (tmp_path / "url" / "trades.csv").read_text() == trades
    assert (tmp_path / "db" / "trades.csv").read_text() == trades
    book = RunBook(own)
    stored = book.runs()
    book.close()
    assert [run.id for run in stored] == [3, 2, 1]
    assert len({run.data_sha256 for run in stored}) == 1, "the same candles, wherever they are from"
    assert {run.data_source for run in stored} == {own, str(folder)}
    metrics = json.loads((tmp_path / "db" / "metrics.json").read_text())
    assert json.loads(stored[0].metrics)["trades"] == metrics["trades"]
    assert stored[0].net_pnl == D(metrics["net_pnl"])


def test_own_candles_are_exact_and_cut_to_the_span(own: str) -> None:
    rows = candles(10)
    record(own, rows, "ETHUSDT")
    loaded = load_candles("db", own, None, start_ms=T0 + 120_000, end_ms=T0 + 300_000)
    (found,) = loaded.candles
    assert found.open_time.tolist() == [T0 + 120_000, T0 + 180_000, T0 + 240_000]
    assert [found.price(int(unit)) for unit in found.close] == [row[4] for row in rows[2:5]]
    assert found.columns.volume.tolist() == [12.125] * 3


def test_gap_in_own_candles_is_refused_or_noted(own: str) -> None:
    rows = candles(10)
    record(own, [*rows[:4], *rows[6:]], "ETHUSDT")
    with pytest.raises(ConfigurationError, match="ETHUSDT in candles_1m, row 5: 2 minutes missing"):
        load_candles("db", own, None)
    assert "2 minutes missing" in load_candles("db", own, None, allow_gaps=True).notes[0]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--data", "db", "--symbols", "BTCUSDT"), "trader.db has no candles of BTCUSDT; it has ETHUSDT"),
        (("--data", "db", "--from", "2027-01-01"), "ETHUSDT: sqlite"),
        (("--data", "sqlite:///nowhere/x.db"), "there is no database at nowhere/x.db"),
        (("--data", "sqlite://"), "a database in memory, which forgets everything"),
    ],
)
def test_unusable_database_gets_one_line_and_exit_code_2(own: str, tmp_path: Path, arguments, what) -> None:
    record(own, candles(5), "ETHUSDT")
    code, errors, _ = run(*arguments, "--db", own, "--out", str(tmp_path / "out"), "--no-store")
    assert (code, len(errors)) == (2, 1), errors
    assert what in errors[0]


def test_database_without_candles_gets_one_line_and_exit_code_2(own: str, tmp_path: Path) -> None:
    open_database(own, "sim").close()
    code, errors, _ = run("--data", "db", "--db", own, "--out", str(tmp_path / "out"))
    assert (code, len(errors)) == (2, 1)
    assert "holds no candles yet" in errors[0]


MINUTES = [(T0 + 60_000 * at, 100, 101, 99, 100, 1) for at in range(30)]


def with_row(*row: object) -> list[tuple[object, ...]]:
    return [*MINUTES[:5], row, *MINUTES[6:]]


@pytest.mark.parametrize(
    ("rows", "arguments", "what"),
    [
        (MINUTES, ("--symbols", "BTCUSDT"), "no 1m file for BTCUSDT; it has ETHUSDT"),
        (MINUTES, ("--from", "2027-01-01"), "no candles in this span"),
        (MINUTES, ("--to", "2020-01-01"), "no candles in this span"),
        (MINUTES, ("--from", "2026-01-01 00:20", "--to", "2026-01-01 00:10"), "--from is not before --to"),
        (MINUTES, ("--from", "soon"), "--from: 'soon' is not a time"),
        (MINUTES, ("--set", "nope=1"), "nope"),
        (MINUTES, ("--set", "both_hit_rule=COIN"), "both_hit_rule"),
        (MINUTES, ("--fee", "nan"), "--fee nan: must be 0 or more"),
        (MINUTES, ("--out", os.devnull + "/x"), "cannot be written"),
        (MINUTES, ("--data", "absent"), "absent: no such directory"),
        (with_row(T0 + 300_000, "nan", 101, 99, 100, 1), (), "ETHUSDT-1m.csv, line 7: open is 'nan', not a number"),
        (with_row(T0 + 300_000, 100, 101, 99, 100), (), "line 7: 5 columns, the lines before have 6"),
        (with_row(T0 + 300_000, 100, 99, 99, 100, 1), (), "line 7: impossible candle"),
        (with_row(T0 + 240_000, 100, 101, 99, 100, 1), (), "line 7: the same minute"),
        ([*MINUTES[:9], *MINUTES[12:]], (), "line 11: 3 minutes missing"),
        (MINUTES[::2], (), "line 2: from here on candles are 2 minutes apart"),
        ([], (), "ETHUSDT-1m.csv: the file has no candles"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(tmp_path: Path, rows, arguments, what) -> None:
    write(tmp_path, rows)
    given = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--no-store", *arguments]
    code, errors, _ = run(*given)
    assert (code, len(errors)) == (2, 1), errors
    assert what in errors[0]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("ETHUSDT-1m.csv", b"time,price\n1,2\n", "line 1: unknown columns 'time,price'"),
        ("ETHUSDT-1m.csv", b"1,2,3\n", "line 1: 3 columns; 1m candle files have 6 or 12"),
        ("ETHUSDT-1m.csv.gz", gzip.compress(b"open_time", mtime=0)[:-4], "cannot be read as candle text"),
        ("ETHUSDT-1m.zip", b"no archive", "cannot be read as candle text"),
        ("ETHUSDT-1m.parquet", b"no parquet", "cannot be read as parquet"),
        ("notes.txt", b"", "no <SYMBOL>-1m"),
    ],
    ids=["header", "columns", "gzip", "zip", "parquet", "none"],
)
def test_file_that_holds_no_candles_gets_one_line_and_exit_code_2(tmp_path: Path, name, content, what) -> None:
    (tmp_path / name).write_bytes(content)
    code, errors, _ = run("--data", str(tmp_path), "--out", str(tmp_path / "out"), "--no-store")
    assert (code, len(errors)) == (2, 1), errors
    assert what in errors[0]


def test_unknown_strategy_gets_one_line_and_exit_code_2(tmp_path: Path) -> None:
    write(tmp_path, MINUTES)
    result = CliRunner().invoke(app, ["vwap_revers", "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "strategy 'vwap_revers' is not in strategies" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_database_that_takes_no_run_leaves_the_results_and_exit_code_0(tmp_path: Path) -> None:
    write(tmp_path, candles(1_600))
    (tmp_path / "bad.db").write_text("no database, " * 100)
    out = tmp_path / "out"
    code, errors, shown = run(
        "--data", str(tmp_path), "--out", str(out), "--db", f"sqlite:///{tmp_path}/bad.db", "--no-report"
    )
    assert code == 0
    assert "the run is not stored: " in errors[-1]
    assert "Net result" in shown
    assert (out / "trades.csv").is_file()


def test_finer_rule_says_which_symbol_has_no_finer_candles(tmp_path: Path) -> None:
    write(tmp_path, candles(1_600))
    code, errors, _ = run(
        "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--no-store", "--no-report",
        "--set", "both_hit_rule=FINER",
    )  # fmt: skip
    assert code == 0
    assert errors == [
        "ETHUSDT: no candles of seconds; where a candle touches stop and target the stop counts",
        f"{tmp_path} holds no funding: none is paid, and no entry is held back around its times",
    ]
    assert load(tmp_path).candles[0].finer is None


def test_ctrl_c_keeps_the_finished_days_and_exits_130(
    tmp_path: Path, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = backtest_run.run

    def interrupted(*args: Any, **more: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return whole(*args, **more)

    monkeypatch.setattr(backtest_run, "run", interrupted)
    write(tmp_path, candles())
    out = tmp_path / "out"
    code, errors, shown = run("--data", str(tmp_path), "--out", str(out), "--db", own, "--no-report")
    assert code == 130
    assert errors[-1] == "stopped as asked; what follows is the part that was finished"
    assert "2026-01-01 to 2026-01-02" in shown, "two days were given"
    assert (out / "trades.csv").is_file()
    book = RunBook(own)
    assert [one.is_complete for one in book.runs()] == [False]
    book.close()


@pytest.mark.parametrize("named", ["", " , "])
def test_no_strategy_gets_one_line_and_exit_code_2(tmp_path: Path, named: str) -> None:
    write(tmp_path, MINUTES)
    result = CliRunner().invoke(app, [named, "--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "no strategy is named" in result.stderr


def test_strategy_named_twice_trades_once() -> None:
    assert strategies_of("b, a,b") == ["b", "a"]


def test_runs_without_a_folder_get_one_of_their_own(tmp_path: Path) -> None:
    folders = [own_folder(tmp_path / "backtests", "told", T0) for _ in range(3)]
    names = ["20260101-000000-told", "20260101-000000-told-2", "20260101-000000-told-3"]
    assert [folder.relative_to(tmp_path / "backtests").as_posix() for folder in folders] == names
    assert all(folder.is_dir() for folder in folders)


def test_span_is_read_from_as_far_before_it_as_the_strategy_looks_back() -> None:
    def reach(*overrides: str, warmup: int | None = None) -> int:
        (one,) = on_any_symbol(ROOT / "strategies", ["vwap_reversion"], ["BTCUSDT"], overrides)
        return history_of(one, warmup)

    (hourly,) = on_any_symbol(ROOT / "strategies", ["vwap_reversion"], ["BTCUSDT"], ["interval=1h"])
    needed = hourly.make().history(hourly.make().indicators()).candles
    assert needed > 48, "two days would not do"
    assert reach() == HISTORY_MS
    assert reach("interval=1h") == needed * 3_600_000
    assert reach("interval=1h", warmup=1_000) == 1_001 * 3_600_000


def test_search_takes_the_same_candles_from_a_database_as_from_a_file(tmp_path: Path, own: str) -> None:
    rows = candles()
    record(own, rows, "ETHUSDT")
    (folder := tmp_path / "data").mkdir()
    space, env = tmp_path / "space.yaml", tmp_path / "env"
    write(folder, rows)
    space.write_text("k: {low: 1, high: 2}\ninterval: [1m, 1h]\n")
    env.write_text(f"DB_URL={own}\n")
    markets = [
        open_market(
            "vwap_reversion", space, data, None, ("2026-01-02", None), (None, "0", None), False, (), False,
            tmp_path / "out", env, "sharpe", 1,
        )
        for data in (str(folder), own, "db")
    ]  # fmt: skip
    digests = {data_digest(one.world.candles, one.world.funding) for one in markets}
    assert len(digests) == 1
    assert all(one.world.history_ms > HISTORY_MS for one in markets), "trials on 1h look back longer"
    assert [note.split(":")[0] for one in markets for note in one.notes] == [
        f"{folder} holds no funding", *["candles of a database are replayed without funding"] * 2,
    ]  # fmt: skip
