"""Blocks on new entries: remembered, persisted, lifted by venue time or by a person. They never touch exits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from core.records import HaltRecord

ALL = "*"
KILL = "kill"
FLATTEN = "flatten"
DAILY_LOSS = "daily_loss"
VERIFIED = "verified flat"
"""At the end of the kill latch's detail once the venue confirmed that nothing is left."""


class Halts:
    """Active halts by (scope, reason)."""

    def __init__(self, restored: Iterable[HaltRecord] = ()) -> None:
        self._active = {(halt.scope, halt.reason): halt for halt in restored if halt.active}

    def raise_halt(
        self, scope: str, reason: str, detail: str, now_ms: int, until_ms: int | None = None
    ) -> HaltRecord | None:
        """Block `scope` and return the record to write, or None when the same halt is active already."""
        if (scope, reason) in self._active:
            return None
        halt = HaltRecord(scope, reason, active=True, detail=detail, since_time_ms=now_ms, until_time_ms=until_ms)
        self._active[scope, reason] = halt
        return halt

    def lift(self, scope: str, reason: str) -> HaltRecord | None:
        """Lift a halt and return the record to write, or None when there is none."""
        halt = self._active.pop((scope, reason), None)
        return None if halt is None else replace(halt, active=False)

    def note(self, scope: str, reason: str, text: str) -> HaltRecord | None:
        """Add `text` once to an active halt's detail and return the record to write, or None when nothing changes."""
        halt = self._active.get((scope, reason))
        if halt is None or halt.detail.endswith(text):
            return None
        noted = replace(halt, detail=f"{halt.detail}; {text}" if halt.detail else text)
        self._active[scope, reason] = noted
        return noted

    def is_active(self, scope: str, reason: str) -> bool:
        return (scope, reason) in self._active

    def next_end_ms(self) -> int | None:
        """Return when the next halt ends by itself (venue time), or None."""
        ends = [halt.until_time_ms for halt in self._active.values() if halt.until_time_ms is not None]
        return min(ends, default=None)

    def expire(self, now_ms: int) -> list[HaltRecord]:
        """Lift every halt whose time is over; returns the records to write."""
        if not self._active:
            return []
        due = [key for key, halt in self._active.items() if halt.until_time_ms is not None]
        over = [key for key in due if (self._active[key].until_time_ms or 0) <= now_ms]
        return [record for scope, reason in over if (record := self.lift(scope, reason)) is not None]

    def blocking(self, symbol: str) -> HaltRecord | None:
        """Return a halt that blocks entries on `symbol`, the account-wide ones first."""
        if not self._active:
            return None
        for halt in self._active.values():
            if halt.scope == ALL:
                return halt
        return next((halt for halt in self._active.values() if halt.scope == symbol), None)

    def active(self) -> tuple[HaltRecord, ...]:
        return tuple(self._active.values())
