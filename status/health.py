"""The health board: how long ago each loop last did its work, and what is worth knowing beside it.

Alive is not healthy: a loop counts as healthy only while its *last successful step* is younger than its limit.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.clock import Clock
from utils.redaction import redact
from utils.timefmt import duration, iso

Probe = Callable[[], Any]
"""Returns something that JSON can hold (or a Decimal); called when a snapshot is taken, never awaited."""


@dataclass(slots=True)
class _Loop:
    max_age_ms: int
    last_ms: int
    steps: int = 0


class HealthBoard:
    """Collects beats, probes and problems, and says green or red with reasons. Used from the event loop's thread."""

    def __init__(self, clock: Clock, *, mode: str, version: str) -> None:
        self._clock = clock
        self._mode = mode
        self._version = version
        self._started_ms = clock.now_ms()
        self._loops: dict[str, _Loop] = {}
        self._probes: dict[str, Probe] = {}
        self._problems: dict[str, str] = {}

    def register(self, loop: str, max_age_ms: int) -> None:
        """Watch a loop: it is wedged when no step succeeded for `max_age_ms`. Its first age counts from now."""
        self._loops[loop] = _Loop(max_age_ms, self._clock.now_ms())

    def unregister(self, loop: str) -> None:
        """Stop watching a loop that has ended as planned."""
        self._loops.pop(loop, None)

    def beat(self, loop: str) -> None:
        """Note a successful step. Raises KeyError for a loop that was never registered: it would go unwatched."""
        entry = self._loops[loop]
        entry.last_ms = self._clock.now_ms()
        entry.steps += 1

    def watch(self, name: str, probe: Probe) -> None:
        """Show what `probe` returns under `name` in every snapshot (streams, queues, database, risk, ...)."""
        self._probes[name] = probe

    def set_problem(self, name: str, text: str) -> None:
        """Be red for this reason until it is cleared."""
        self._problems[name] = redact(text)

    def clear_problem(self, name: str) -> None:
        self._problems.pop(name, None)

    def wedged(self) -> dict[str, int]:
        """Return the age in ms of every loop that is over its limit."""
        now = self._clock.now_ms()
        return {name: now - loop.last_ms for name, loop in self._loops.items() if now - loop.last_ms > loop.max_age_ms}

    def snapshot(self) -> dict[str, Any]:
        """Return the state for `heartbeat.json`; see `docs` of the keys in `status/heartbeat.py`."""
        now = self._clock.now_ms()
        probed, failures = self._read_probes()
        reasons = [
            *(f"{name}: no successful step for {duration(age)}" for name, age in self.wedged().items()),
            *self._problems.values(),
            *failures,
        ]
        return {
            "time": iso(self._clock.wall_ms()),
            "time_ms": self._clock.wall_ms(),
            "mode": self._mode,
            "version": self._version,
            "pid": os.getpid(),
            "uptime_s": (now - self._started_ms) // 1_000,
            "health": "red" if reasons else "green",
            "reasons": reasons,
            "loops": {
                name: {
                    "age_ms": now - loop.last_ms,
                    "max_age_ms": loop.max_age_ms,
                    "ok": now - loop.last_ms <= loop.max_age_ms,
                    "steps": loop.steps,
                }
                for name, loop in self._loops.items()
            },
            **probed,
        }

    def _read_probes(self) -> tuple[dict[str, Any], list[str]]:
        """A probe that fails is a reason to be red; it must not cost the heartbeat."""
        values: dict[str, Any] = {}
        failures: list[str] = []
        for name, probe in self._probes.items():
            try:
                values[name] = probe()
            except Exception as error:
                values[name] = None
                failures.append(f"{name}: cannot be read ({type(error).__name__})")
        return values, failures
