"""Health: red when any loop is wedged, whatever else goes well; the heartbeat file; the lag probe."""

from __future__ import annotations

import asyncio
import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from core.clock import VirtualClock
from status.health import HealthBoard
from status.heartbeat import HeartbeatWriter
from status.looplag import SAMPLES_MAX, LoopLagProbe, percentile

START = 1_767_182_602_123
LOOPS = {"market": 5_000, "signals": 120_000, "reconcile": 60_000, "keepalive": 1_800_000, "database": 2_000}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def board(clock: VirtualClock) -> HealthBoard:
    board = HealthBoard(clock, mode="sim", version="1.2.3")
    for loop, max_age_ms in LOOPS.items():
        board.register(loop, max_age_ms)
    return board


def advance(clock: VirtualClock, span_ms: int) -> None:
    clock.advance_to(clock.now_ms() + span_ms)


def test_snapshot_fresh_loops_are_green(board: HealthBoard, clock: VirtualClock) -> None:
    advance(clock, 2_000)
    snapshot = board.snapshot()
    assert snapshot["health"] == "green" and snapshot["reasons"] == []
    assert (snapshot["mode"], snapshot["version"], snapshot["pid"]) == ("sim", "1.2.3", os.getpid())
    assert snapshot["uptime_s"] == 2
    assert snapshot["time"] == "2025-12-31T12:03:24.123Z"
    assert snapshot["loops"]["database"] == {"age_ms": 2_000, "max_age_ms": 2_000, "ok": True, "steps": 0}


@pytest.mark.parametrize("wedged", sorted(LOOPS))
def test_snapshot_one_wedged_loop_makes_health_red(board: HealthBoard, clock: VirtualClock, wedged: str) -> None:
    end = clock.now_ms() + LOOPS[wedged] + 1
    while clock.now_ms() < end:
        clock.advance_to(min(end, clock.now_ms() + 1_000))
        for loop in LOOPS:
            if loop != wedged:
                board.beat(loop)
    snapshot = board.snapshot()
    assert snapshot["health"] == "red"
    assert [reason.split(":")[0] for reason in snapshot["reasons"]] == [wedged]
    assert board.wedged() == {wedged: LOOPS[wedged] + 1}
    board.beat(wedged)
    assert board.snapshot()["health"] == "green"


def test_beat_of_an_unregistered_loop_is_an_error(board: HealthBoard) -> None:
    with pytest.raises(KeyError, match="typo"):
        board.beat("typo")


def test_unregister_ends_the_watch(board: HealthBoard, clock: VirtualClock) -> None:
    advance(clock, 5_000)
    board.unregister("database")
    assert board.snapshot()["health"] == "green"
    assert "database" not in board.snapshot()["loops"]


def test_problem_is_red_until_cleared_and_holds_no_secret(board: HealthBoard) -> None:
    board.set_problem("reconcile", "query failed: signature=abc123")
    assert board.snapshot()["reasons"] == ["query failed: signature=****"]
    board.clear_problem("reconcile")
    assert board.snapshot()["health"] == "green"


def test_failing_probe_is_red_and_does_not_cost_the_snapshot(board: HealthBoard) -> None:
    board.watch("queues", lambda: {"signals": 3})
    board.watch("risk", lambda: {}["absent"])
    snapshot = board.snapshot()
    assert snapshot["queues"] == {"signals": 3}
    assert snapshot["risk"] is None
    assert snapshot["reasons"] == ["risk: cannot be read (KeyError)"]


async def test_write_once_puts_the_snapshot_on_disk(board: HealthBoard, tmp_path: Path) -> None:
    board.watch("equity", lambda: Decimal("10000.10"))
    writer = HeartbeatWriter(board, tmp_path / "status")
    assert await writer.write_once()
    written = json.loads((tmp_path / "status" / "heartbeat.json").read_text(encoding="utf-8"))
    assert written["equity"] == "10000.10"
    assert written == json.loads(json.dumps(board.snapshot(), default=str))


async def test_run_writes_every_interval(board: HealthBoard, clock: VirtualClock, tmp_path: Path) -> None:
    seen: list[int] = []

    async def sleep(seconds: float) -> None:
        seen.append(json.loads(writer.path.read_text(encoding="utf-8"))["time_ms"])
        advance(clock, round(seconds * 1_000))
        if len(seen) == 3:
            raise asyncio.CancelledError

    writer = HeartbeatWriter(board, tmp_path, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await writer.run()
    assert seen == [START, START + 5_000, START + 10_000]


async def test_write_once_full_disk_is_reported_and_survived(
    board: HealthBoard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = HeartbeatWriter(board, tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("status.heartbeat.write_atomic", full)
        assert not await writer.write_once()
    assert await writer.write_once()


async def lagging_probe(clock: VirtualClock, lags_ms: list[int]) -> LoopLagProbe:
    remaining = iter(lags_ms)

    async def sleep(seconds: float) -> None:
        lag = next(remaining, None)
        if lag is None:
            raise asyncio.CancelledError
        advance(clock, round(seconds * 1_000) + lag)

    probe = LoopLagProbe(clock, sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await probe.run()
    return probe


async def test_lag_probe_gives_percentiles_of_its_window(clock: VirtualClock) -> None:
    probe = await lagging_probe(clock, [*([1] * 98), 40, 500])
    assert probe.take() == {"p50": 1.0, "p99": 40.0, "max": 500.0, "samples": 100}
    assert probe.take() == {"p50": 0.0, "p99": 0.0, "max": 0.0, "samples": 0}
    assert probe.lag_ms_max == 500.0


async def test_lag_probe_early_timer_counts_as_no_lag(clock: VirtualClock) -> None:
    assert (await lagging_probe(clock, [-1, -2])).take()["max"] == 0.0


async def test_lag_probe_unread_window_stays_bounded(clock: VirtualClock) -> None:
    probe = await lagging_probe(clock, [0] * (SAMPLES_MAX + 5))
    assert probe.take()["samples"] == SAMPLES_MAX


@pytest.mark.parametrize(("percent", "expected"), [(50, 2.0), (51, 3.0), (99, 4.0), (1, 1.0), (100, 4.0)])
def test_percentile_is_nearest_rank(percent: float, expected: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], percent) == expected
