"""Many plans: what one run comes down to, and the sum over all of them. Values only: processes share them."""

from __future__ import annotations

import faulthandler
import gc
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.simulation.sockets import sites
from tests.simulation.sockets.plan import plan_for
from tests.simulation.sockets.sites import Pair
from tests.simulation.sockets.world import API_SECRET, run_world
from utils.logging import close_logging, setup_logging

STUCK_S = 150.0
"""Real time after which a run that still goes on says on stderr where every thread stands."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one plan showed. A run that raised counts as a violation."""

    seed: int
    faults: Counter[Pair] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    fills: int = 0
    settled_s: float = 0.0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    violations: tuple[str, ...] = ()
    log: tuple[str, ...] = ()


def _forget_earlier_runs() -> None:
    """Start with a heap that collections need not walk, as the trader itself does once it is warm.

    Else what earlier runs of this process left would be searched in the midst of a later one, on its event loop.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def run_seed(seed: int, *, keeps_log: bool = False) -> RunResult:
    """Run one plan to its end in a folder of its own; never raises, so that a campaign goes on."""
    _forget_earlier_runs()
    began = time.process_time()
    folder = Path(tempfile.mkdtemp(prefix="simulation-"))
    try:
        faulthandler.dump_traceback_later(STUCK_S)
        setup_logging("WARNING", folder, False, (API_SECRET,))
        world = run_world(plan_for(seed), folder)
    except Exception as error:  # whatever it is, it is a finding about this plan
        return RunResult(
            seed, cpu_s=time.process_time() - began, violations=(f"CRASH {type(error).__name__}: {error}",)
        )
    finally:
        faulthandler.cancel_dump_traceback_later()
        close_logging()
        shutil.rmtree(folder, ignore_errors=True)
    return RunResult(
        seed,
        world.coverage(),
        world.acts_done,
        world.moments_killed,
        world.safety.checks,
        world.starts,
        len(world.exchange.trades()),
        world.settled_after_s,
        world.loop.virtual_s,
        time.process_time() - began,
        tuple(world.violations),
        (*world.plan.describe(), "", *world.log) if keeps_log else (),
    )


def leave_interrupts_to_the_parent() -> None:
    """Make a worker process; it cannot live in the module that is run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass(slots=True)
class Tally:
    """The sum of many results."""

    runs: int = 0
    starts: int = 0
    fills: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    settled_s: float = 0.0
    """The longest that a run needed to agree once its faults had stopped."""
    faults: Counter[Pair] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    moments: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    failing: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def add(self, result: RunResult) -> None:
        self.runs += 1
        self.starts += result.starts
        self.fills += result.fills
        self.virtual_s += result.virtual_s
        self.cpu_s += result.cpu_s
        self.settled_s = max(self.settled_s, result.settled_s)
        self.faults.update(result.faults)
        self.acts.update(result.acts)
        self.moments.update(result.moments)
        self.checks.update(result.checks)
        if result.violations:
            self.failing[result.seed] = result.violations

    @property
    def violations(self) -> int:
        return sum(len(found) for found in self.failing.values())

    def missing(self) -> list[Pair]:
        """Return the possible pairs that no run has met."""
        return [pair for pair in sites.pairs() if not self.faults[pair]]

    def to_row(self, wall_s: float) -> dict[str, Any]:
        """Return the JSON-able form."""
        by_hook: Counter[str] = Counter()
        for pair, count in self.faults.items():
            by_hook[pair.hook.value] += count
        return {
            "schedules": self.runs,
            "virtual_hours": round(self.virtual_s / 3_600, 3),
            "process_starts": self.starts,
            "fills": self.fills,
            "faults": self.faults.total(),
            "faults_by_hook": dict(sorted(by_hook.items())),
            "acts": dict(sorted(self.acts.items())),
            "killed_at": dict(sorted(self.moments.items())),
            "pairs_possible": sum(1 for _ in sites.pairs()),
            "pairs_missing": [f"{pair.hook.value} at {pair.site}" for pair in self.missing()],
            "checks": self.checks.total(),
            "checks_by_invariant": dict(sorted(self.checks.items())),
            "longest_settling_s": round(self.settled_s, 1),
            "violations": self.violations,
            "failing_seeds": sorted(self.failing),
            "cpu_s": round(self.cpu_s, 2),
            "wall_s": round(wall_s, 2),
        }
