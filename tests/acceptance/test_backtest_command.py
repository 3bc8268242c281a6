"""`main.py backtest` from the shell: files, exit codes, one line for what is wrong."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
START_MS = 1_767_225_600_000


def backtest(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "main.py"), "backtest", *arguments]
    environment = {**os.environ, "COLUMNS": "120", "LOG_DIR": os.devnull}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120, check=False)


def test_backtest_of_a_month_writes_files_that_add_up(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    data = str(shared_data / "klines" / "um_1m_2025-05")
    url = f"sqlite:///{tmp_path}/t.db"
    result = backtest("vwap_reversion", "--data", data, "--symbols", "BTCUSDT,XRPUSDT", "--out", str(out), "--db", url)
    assert result.returncode == 0, result.stderr
    assert "stored as backtest 1" in result.stdout
    assert "Net result" in result.stdout
    assert {path.name for path in out.iterdir()} == {"trades.csv", "equity.parquet", "metrics.json", "report.html"}
    metrics = json.loads((out / "metrics.json").read_text())
    with (out / "trades.csv").open() as file:
        trades = list(csv.DictReader(file))
    assert len(trades) == metrics["trades"] + metrics["open_trades"] > 50
    net = sum(Decimal(trade["pnl"]) for trade in trades)
    assert Decimal(metrics["deposit"]) + net == Decimal(metrics["wallet"])
    assert Decimal(metrics["net_pnl"]) == net


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = ["open_time,open,high,low,close,volume"]
    lines += [f"{START_MS + minute * 60_000},100,101,99,100,1" for minute in (0, 1, 2, 5)]
    (tmp_path / "ETHUSDT-1m.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((), "2 minutes missing"),
        (("--allow-gaps", "--both-hit-rule", "COIN"), "Invalid value for '--both-hit-rule'"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(folder: Path, arguments: tuple[str, ...], what: str) -> None:
    result = backtest("vwap_reversion", "--data", str(folder), "--out", str(folder / "out"), *arguments)
    assert result.returncode == 2
    assert what in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.strip()]) == 1
    assert "Traceback" not in result.stderr
