"""Schedules through sockets. The default run plays a handful; `python -m tests.simulation.sockets` plays them all."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from database.writer import DatabaseWriter
from executor import protection
from tests.simulation.sockets import __main__ as command
from tests.simulation.sockets.campaign import RunResult, Tally, run_seed
from tests.simulation.sockets.plan import SYSTEMATIC

SEEDS = (2, 50, 80, 1_006, 1_029)
"""Faults while it starts, on its orders, on its streams; at random with a failing disk, kills and a kill switch."""


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A run sets logging up as the trader does; the tests after it shall not notice."""
    root = logging.getLogger()
    level, filters, factory = root.level, root.filters[:], logging.getLogRecordFactory()
    hooks = sys.excepthook, threading.excepthook
    levels = {name: logging.getLogger(name).level for name in ("urllib3", "slack_sdk", "aiohttp")}
    yield
    root.setLevel(level)
    root.filters[:] = filters
    logging.setLogRecordFactory(factory)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_invariants_hold_through_sockets(seed: int) -> None:
    result = run_seed(seed)
    assert not result.violations, f"{result.violations}; replay: python -m tests.simulation.sockets --seed {seed}"
    assert result.checks.total() > 300
    assert result.fills > 0
    if seed < len(SYSTEMATIC):
        assert set(SYSTEMATIC[seed]) & set(result.faults)


@pytest.mark.slow
def test_trader_that_never_places_a_stop_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "guard", lambda *_: None)
    assert any("I-4" in text for text in run_seed(80).violations)


@pytest.mark.slow
def test_writer_that_keeps_nothing_is_found_at_the_first_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forget(*_: object) -> None: ...

    monkeypatch.setattr(DatabaseWriter, "commit", forget)
    assert any("I-2" in text for text in run_seed(80).violations)


def test_command_names_the_failing_seed_and_exits_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_on_3(seed: int) -> RunResult:
        return RunResult(seed, violations=("12 I-4 naked",) if seed == 3 else ())

    monkeypatch.setattr(command, "run_seed", fail_on_3)
    assert command.main(["--schedules", "5", "--jobs", "1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any("--seed 3" in line for line in lines)
    row = json.loads(lines[-1])
    assert (row["schedules"], row["violations"], row["failing_seeds"]) == (5, 1, [3])
    assert row["pairs_possible"] == len(row["pairs_missing"])


@pytest.mark.extended
def test_every_hook_is_met_at_every_call_site_and_no_invariant_breaks() -> None:
    tally = Tally()
    for seed in range(200):
        tally.add(run_seed(seed))
    assert not tally.failing
    assert not tally.missing()
