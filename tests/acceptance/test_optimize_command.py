"""`main.py optimize` and `walkforward` from the shell: files, words, Ctrl-C and resume, one line for what is wrong."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from main import app

ROOT = Path(__file__).resolve().parents[2]
SPACE = "k: {low: 1.4, high: 2.6, step: 0.2}\nadx_max: {low: 15, high: 40}\n"


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "main.py"), name, *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "120", "LOG_DIR": os.devnull}


def run(name: str, *arguments: str) -> Result:
    """Run a command in this process: the heavy imports are there already."""
    return CliRunner().invoke(app, [name, *arguments], env={"COLUMNS": "120"})


def strategies_hash() -> str:
    files = sorted((ROOT / "strategies").rglob("*.yaml"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


@pytest.fixture
def asked(shared_data: Path, tmp_path: Path) -> list[str]:
    """A strategy, its space, and twelve days of candles."""
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    data = str(shared_data / "klines" / "um_1m_2025-05")
    span = ["--from", "2025-05-06", "--to", "2025-05-16"]
    out = str(tmp_path / "out")
    return ["vwap_reversion", "--space", str(space), "--data", data, "--symbols", "BTCUSDT", *span, "--out", out]


def test_optimize_writes_what_it_found_and_applies_nothing(asked: list[str], tmp_path: Path) -> None:
    before = strategies_hash()
    result = run("optimize", *asked, "--trials", "12", "--jobs", "2", "--permutations", "16", "--min-trades", "3")
    assert result.exit_code == 0, result.stderr
    assert "With 12 tries, a Sharpe this high appears by luck in" in result.stdout
    assert "On 16 markets whose every minute goes up or down by lot" in result.stdout
    assert "on candles that no trial saw" in result.stdout
    assert "not applied. To apply them: cp " in result.stdout
    assert strategies_hash() == before
    out = tmp_path / "out"
    found = json.loads((out / "optimize.json").read_text())
    with (out / "trials.csv").open() as file:
        trials = list(csv.DictReader(file))
    assert [int(one["trial"]) for one in trials] == list(range(12))
    scores = [float(one["score_sharpe"]) for one in trials if one["state"] == "complete"]
    assert found["best"]["scores"] == [max(scores)]
    yaml = (out / "best" / "vwap_reversion" / "BTCUSDT.yaml").read_text()
    assert f"k: {found['best']['parameters']['k']}" in yaml
    assert "volatility_halt_pct: 0.7" in yaml  # what the symbol's own file says stays
    page = (out / "report.html").read_text()
    assert all(f"<h2>{title}" in page for title in ("History", "Importance", "Heat map", "In-sample", "Permutation"))
    assert 'src="http' not in page

    again = run("optimize", *asked, "--trials", "12")
    assert again.exit_code == 2
    assert "holds a study already: --resume goes on with it" in again.stderr


def test_optimize_stopped_by_ctrl_c_keeps_trials_and_resumes(asked: list[str], tmp_path: Path) -> None:
    more = ["--jobs", "2", "--permutations", "0", "--no-report", "--holdout", "0", "--min-trades", "1"]
    with subprocess.Popen(
        command("optimize", *asked, *more, "--trials", "320"),
        cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        said = next(line for line in process.stderr if line.startswith("optimising:"))  # a first share is done
        process.send_signal(signal.SIGINT)
        text = said + process.communicate(timeout=120)[1]
    assert process.returncode == 130, text
    assert "--resume goes on" in text
    with (tmp_path / "out" / "trials.csv").open() as file:
        kept = len(list(csv.DictReader(file)))
    assert kept >= 8
    result = run("optimize", *asked, *more, "--resume", "--trials", str(kept + 8))
    assert result.exit_code == 0, result.stderr
    with (tmp_path / "out" / "trials.csv").open() as file:
        assert len(list(csv.DictReader(file))) == kept + 8


def test_walkforward_shows_both_sides_and_stitches_the_tests(asked: list[str], tmp_path: Path) -> None:
    lengths = ["--train", "5d", "--test", "60h", "--trials", "5", "--min-trades", "1"]
    result = run("walkforward", *asked, *lengths)
    assert result.exit_code == 0, result.stderr
    assert "sharpe in" in result.stdout and "Out of sample: net" in result.stdout
    found = json.loads((tmp_path / "out" / "walkforward.json").read_text())
    assert len(found["windows"]) == 2 == found["windows_planned"]
    nets = [float(one["out_of_sample"]["net_pnl"]) for one in found["windows"] if one["out_of_sample"]]
    assert float(found["out_of_sample"]["net_pnl"]) == pytest.approx(sum(nets))
    assert "Equity of the test stretches" in (tmp_path / "out" / "report.html").read_text()


LENGTHS = ["--train", "5d", "--test", "60h", "--min-trades", "1", "--no-report"]


def test_walkforward_stopped_by_ctrl_c_goes_on_where_it_was(asked: list[str], tmp_path: Path) -> None:
    out, more = tmp_path / "out", [*LENGTHS, "--trials", "48"]
    with subprocess.Popen(
        command("walkforward", *asked, *more),
        cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        said = next(line for line in process.stderr if line.startswith("window 2 of 2:"))  # a part of it is done
        busy = run("walkforward", *asked, *more)
        process.send_signal(signal.SIGINT)
        text = said + process.communicate(timeout=120)[1]
    assert busy.exit_code == 2 and "another walk-forward is at work there" in busy.stderr
    assert process.returncode == 130, text
    assert "1 of 2 windows are finished and kept" in text and "the same command goes on" in text
    first = json.loads((out / "walkforward.json").read_text())["windows"]
    result = run("walkforward", *asked, *more)
    assert result.exit_code == 0, result.stderr
    assert "going on with window 2 of 2 after " in result.stderr and "window 1 of 2:" not in result.stderr
    found = json.loads((out / "walkforward.json").read_text())
    assert found["windows"][0] == first[0] and len(found["windows"]) == 2

    elsewhere = [*asked[:-1], str(tmp_path / "straight")]
    assert run("walkforward", *elsewhere, *more).exit_code == 0
    assert json.loads((tmp_path / "straight" / "walkforward.json").read_text()) == found
    assert (tmp_path / "straight" / "trades.csv").read_text() == (out / "trades.csv").read_text()


def test_walkforward_refuses_another_walk_and_begins_anew_on_request(asked: list[str], tmp_path: Path) -> None:
    one = [*LENGTHS, "--trials", "3"]
    assert run("walkforward", *asked, *one).exit_code == 0
    again = run("walkforward", *asked, *one)
    assert again.exit_code == 0 and "all 2 windows are searched already" in again.stderr
    for change, differs in (
        (["--test", "72h"], "split"),
        (["--seed", "9"], "seed"),
        (["--fee", "0.001"], "settings"),
        (["--set", "max_holding_minutes=90"], "parameters"),
        (["--to", "2025-05-15"], "data, split"),
    ):
        refused = run("walkforward", *asked, *one, *change)
        assert refused.exit_code == 2, change
        assert refused.stderr.strip().endswith("begin anew with --fresh")
        assert all(name in refused.stderr for name in differs.split(", ")), refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    assert run("walkforward", *asked, *one, "--test", "72h", "--fresh").exit_code == 0
    (tmp_path / "out" / "walk.journal").write_text("no journal")
    damaged = run("walkforward", *asked, *one)
    assert damaged.exit_code == 2 and "walk.journal cannot be read" in damaged.stderr


BAD = [
    ("optimize", {"--space": "absent.yaml"}, "absent.yaml: file not found"),
    ("optimize", {"0": "nothing_like_it"}, "strategy 'nothing_like_it' is not in"),
    ("optimize", {"--objective": "sharp"}, "--objective 'sharp' is unknown; did you mean 'sharpe'?"),
    ("optimize", {"--sampler": "grid"}, "adx_max need a step for --sampler grid"),
    ("optimize", {"--storage": "oracle://here"}, "oracle:// is unknown"),
    ("optimize", {"--objective": "sharpe,net_pnl", "--prune": None}, "--prune goes with one objective"),
    ("optimize", {"--resume": None}, "there is no study in"),
    ("optimize", {"--from": "2025-05-17"}, "--from is not before --to"),
    ("walkforward", {"--train": "soon"}, "--train 'soon': write a length"),
    ("walkforward", {"--train": "90d"}, "too short for --train 90d"),
    ("walkforward", {"--objective": "sharpe,net_pnl"}, "walk-forward needs one objective"),
]


@pytest.mark.parametrize(("name", "changes", "says"), BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    asked: list[str], name: str, changes: dict[str, str | None], says: str
) -> None:
    arguments = list(asked)
    for option, value in changes.items():
        if option == "0":
            arguments[0] = str(value)
        elif option in arguments:
            arguments[arguments.index(option) + 1] = str(value)
        else:
            arguments += [option] if value is None else [option, value]
    result = run(name, *arguments)
    assert result.exit_code == 2, result.stderr
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
