"""The command: what it prints, its exit codes, and that a seed replays to the byte."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation import __main__ as command
from tests.simulation.campaign import Job, SeedResult, Tally, run_seed

ROOT = Path(__file__).resolve().parents[2]


def replay(seed: int, log: Path, hash_seed: str) -> bytes:
    """Replay in a fresh process whose sets and hashes are ordered differently."""
    words = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--minutes", "10", "--log", str(log)]
    subprocess.run(words, cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": hash_seed}, check=True, capture_output=True)
    return log.read_bytes()


@pytest.mark.parametrize("seed", [3, 7])
def test_replay_of_a_seed_is_identical_to_the_byte(seed: int, tmp_path: Path) -> None:
    first = replay(seed, tmp_path / "first.log", "1")
    assert first == replay(seed, tmp_path / "second.log", "2")
    assert first.count(b"\n") > 1_000
    assert first != replay(seed + 1, tmp_path / "other.log", "1")


def test_campaign_prints_its_figures_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--seeds", "4", "--minutes", "10", "--jobs", "2"]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row["seeds"] == 4
    assert row["simulated_days"] == round(4 / 144, 3)
    assert row["violations"] == 0
    assert row["faults"] == sum(row["faults_by_kind"].values()) > 20
    assert row["checks"] == sum(row["checks_by_invariant"].values()) > 1_000
    assert row["trades"] > 0


def test_violation_is_printed_with_its_replay_and_exits_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_on_3(job: Job) -> SeedResult:
        found = ("12 I-4 naked",) if job.seed == 3 else ()
        return SeedResult(job.seed, job.minutes, Counter(), Counter(), 0, 1, 0.0, found)

    monkeypatch.setattr(command, "run_seed", fail_on_3)
    assert command.main(["--seeds", "5", "--minutes", "10", "--jobs", "1", "--hedge"]) == 1
    text = capsys.readouterr().out
    assert "I-4 naked" in text
    assert "--seed 3 --minutes 10 --hedge --log" in text
    assert json.loads(text.splitlines()[-1])["failing_seeds"] == [3]
    assert json.loads(text.splitlines()[-1])["seeds"] == 5
    assert command.main(["--seeds", "5", "--jobs", "1", "--stop-at-first"]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["seeds"] == 4


def test_interrupt_prints_what_is_finished(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop_at_2(job: Job) -> SeedResult:
        if job.seed == 2:
            raise KeyboardInterrupt
        return run_seed(job)

    monkeypatch.setattr(command, "run_seed", stop_at_2)
    assert command.main(["--seeds", "9", "--minutes", "8", "--jobs", "1"]) == 130
    text = capsys.readouterr().out
    assert "interrupted after 2 of 9 seeds" in text
    assert json.loads(text.splitlines()[-1])["seeds"] == 2


def test_crash_of_the_core_is_a_violation_of_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(self: Job, *, trace: bool = False) -> None:
        raise KeyError("boom")

    monkeypatch.setattr(Job, "run", crash)
    tally = Tally()
    tally.add(run_seed(Job(1)))
    assert tally.failing == {1: ("CRASH KeyError: 'boom'",)}


@pytest.mark.parametrize("words", [["--seeds", "0"], ["--minutes", "4"], ["--jobs", "x"]])
def test_impossible_figures_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(words)
    assert "must be" in capsys.readouterr().err
