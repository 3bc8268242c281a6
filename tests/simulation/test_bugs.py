"""The check is checked: each deliberate bug in `bugs/` is found by the simulation within 200 seeds.

A bug is a patch with one line of context, applied to a copy of the tree; one that does not apply any more fails here
and has to be made again from the code as it is now.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUGS = sorted((Path(__file__).parent / "bugs").glob("*.patch"))
ROOMS = ("backtest", "config", "core", "exchange", "executor", "simulator", "strategies", "utils")
SEEDS = 200
MINUTES = 10


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the simulation runs."""
    leave_out = shutil.ignore_patterns("__pycache__", ".*_cache")
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=leave_out)
    for part in ("", "simulation", "unit", "unit/executor"):
        (tmp_path / "tests" / part).mkdir(parents=True, exist_ok=True)
        for file in (ROOT / "tests" / part).glob("*.py"):
            shutil.copy(file, tmp_path / "tests" / part / file.name)
    return tmp_path


def apply_bug(tree: Path, bug: Path) -> None:
    """Apply a patch to the copy; fails with the reason when the code has moved away from it."""
    command = ["git", "apply", "--recount", "--include=executor/*", str(bug)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{bug.name} does not apply to the code any more, make it again: {done.stderr.strip()}")


def search(tree: Path) -> dict[str, object]:
    """Run the simulation on the copy until a seed fails; returns its closing JSON line."""
    command = [sys.executable, "-m", "tests.simulation", "--stop-at-first", "--jobs", "1"]
    command += ["--seeds", str(SEEDS), "--minutes", str(MINUTES)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-2_000:]
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found | {"text": done.stdout}


def test_at_least_ten_bugs_are_kept() -> None:
    assert len(BUGS) >= 10


def test_every_bug_applies_to_the_code_as_it_is(tree: Path) -> None:
    for bug in BUGS:
        apply_bug(tree, bug)
        subprocess.run(["git", "apply", "--recount", "-R", str(bug)], cwd=tree, check=True)


@pytest.mark.extended
@pytest.mark.parametrize("bug", BUGS, ids=lambda path: path.stem)
def test_simulation_finds_the_bug_within_200_seeds(tree: Path, bug: Path) -> None:
    apply_bug(tree, bug)
    found = search(tree)
    assert found["failing_seeds"], f"{bug.stem}: {found['seeds']} seeds and no violation"
    assert "CRASH" not in str(found["text"]), f"{bug.stem} breaks the code instead of its behaviour: {found['text']}"
