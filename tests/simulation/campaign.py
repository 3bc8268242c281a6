"""Many seeds: what one world comes down to, and the sum over all of them. Values only: processes share them."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from core.records import TradeState
from tests.simulation.liveness import run_world
from tests.simulation.watcher import Watcher
from tests.simulation.world import World

HOUR = 60
"""From this many minutes on worlds are paced like an hour of trading, below it every minute is packed with trouble."""


@dataclass(frozen=True, slots=True)
class Job:
    """One seed to run. Everything that its history depends on."""

    seed: int
    minutes: int = HOUR
    hedge: bool = False

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            "minutes": self.minutes,
            "hedge": self.hedge,
            "symbols": 2,
            "step_ms": 2_000,
            "fault_pause_ms": 8_000,
        }
        if self.minutes >= HOUR:
            options |= {"signal_pause_s": 60, "fault_pause_ms": 20_000}
        return options

    def run(self, *, trace: bool = False) -> tuple[World, Watcher]:
        return run_world(self.seed, **self.options(), trace=trace)

    def replay_command(self) -> str:
        mode = " --hedge" if self.hedge else ""
        log = f"--log seed-{self.seed}.log"
        return f"uv run python -m tests.simulation --seed {self.seed} --minutes {self.minutes}{mode} {log}"


@dataclass(frozen=True, slots=True)
class SeedResult:
    """What one seed showed. A core that raised counts as a violation."""

    seed: int
    minutes: int
    faults: Counter[str]
    checks: Counter[str]
    trades: int
    starts: int
    cpu_s: float
    violations: tuple[str, ...]


@contextmanager
def _collected_at_the_end() -> Iterator[None]:
    """Look for garbage once, after a world, and among what was made since it began: it is one knot of references that
    comes undone as a whole, and nearly all else goes by itself. Looking while it runs, or at everything that is loaded,
    costs a tenth of the time each and finds nothing."""
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()
        gc.unfreeze()


def run_seed(job: Job) -> SeedResult:
    """Run one world to its end; never raises, so that a campaign goes on."""
    began = time.process_time()
    with _collected_at_the_end():
        result = _run_seed(job)
    return replace(result, cpu_s=time.process_time() - began)


def _run_seed(job: Job) -> SeedResult:
    try:
        world, watcher = job.run()
    except Exception as error:  # whatever it is, it is a finding about this seed
        text = f"CRASH {type(error).__name__}: {error}"
        return SeedResult(job.seed, job.minutes, Counter(), Counter(), 0, 0, 0.0, (text,))
    closed = sum(1 for row in world.disk.rows.positions.values() if row.state is TradeState.CLOSED)
    found = tuple(world.violations)
    return SeedResult(job.seed, job.minutes, world.faults_by_name(), watcher.checks, closed, world.epoch, 0.0, found)


@dataclass(slots=True)
class Tally:
    """The sum of many results."""

    seeds: int = 0
    minutes: int = 0
    trades: int = 0
    starts: int = 0
    cpu_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    failing: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def add(self, result: SeedResult) -> None:
        self.seeds += 1
        self.minutes += result.minutes
        self.trades += result.trades
        self.starts += result.starts
        self.cpu_s += result.cpu_s
        self.faults.update(result.faults)
        self.checks.update(result.checks)
        if result.violations:
            self.failing[result.seed] = result.violations

    @property
    def days(self) -> float:
        return self.minutes / 1_440

    @property
    def violations(self) -> int:
        return sum(len(found) for found in self.failing.values())

    def to_row(self, wall_s: float) -> dict[str, Any]:
        """Return the JSON-able form."""
        return {
            "seeds": self.seeds,
            "simulated_days": round(self.days, 3),
            "faults": self.faults.total(),
            "faults_by_kind": dict(sorted(self.faults.items())),
            "checks": self.checks.total(),
            "checks_by_invariant": dict(sorted(self.checks.items())),
            "trades": self.trades,
            "process_starts": self.starts,
            "violations": self.violations,
            "failing_seeds": sorted(self.failing),
            "cpu_s": round(self.cpu_s, 2),
            "wall_s": round(wall_s, 2),
        }
