"""Reads `heartbeat.json`, the trader's own word on its health, and judges its age."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_NAME = "heartbeat.json"
STALE_MS = 15_000
"""Three missed beats: whatever the last one said, nobody is there to say it now."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last heartbeat. `age_ms` is how long ago it was written; `reasons` say why health is red."""

    mode: str
    version: str
    health: str
    reasons: tuple[str, ...]
    uptime_s: int
    age_ms: int

    @property
    def is_stale(self) -> bool:
        return self.age_ms > STALE_MS


def read_heartbeat(status_dir: Path, now_ms: int) -> Heartbeat | None:
    """Return the last heartbeat, or None where there is none that can be read. `now_ms` is the wall clock."""
    try:
        data: Any = json.loads((status_dir / FILE_NAME).read_text(encoding="utf-8"))
        return Heartbeat(
            mode=str(data["mode"]),
            version=str(data.get("version", "")),
            health=str(data["health"]),
            reasons=tuple(str(reason) for reason in data.get("reasons", ())),
            uptime_s=int(data.get("uptime_s", 0)),
            age_ms=max(0, now_ms - int(data["time_ms"])),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
