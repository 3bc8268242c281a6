"""A readable transcript of everything the core asked for: one line a write, request or alert, changes only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from hashlib import sha256

from core.effects import Effect, Notify, Persist
from core.records import IncomeRecord, Record, SignalRecord

IDENTITY = {
    "IntentRecord": ("intent_id",),
    "OrderRecord": ("client_order_id",),
    "FillRecord": ("symbol", "trade_id"),
    "PositionRecord": ("intent_id",),
    "PositionMarkRecord": ("intent_id",),
    "PerformanceRecord": ("strategy", "symbol", "day"),
    "HaltRecord": ("scope", "reason"),
    "AccountStatRecord": (),
    "SignalRecord": (),
}
"""By which fields rows of a kind are the same row; any other kind is written out in full."""

LINES_MAX = 120


class Transcript:
    """Takes effects in their order; `text` is what was taken so far. Times count from the first effect."""

    def __init__(self, start_ms: int) -> None:
        self._start_ms = start_ms
        self._lines: list[str] = []
        self._rows: dict[tuple[str, ...], Record] = {}

    def take(self, now_ms: int, effects: list[Effect]) -> None:
        for effect in effects:
            stamp = f"{(now_ms - self._start_ms) / 1000:8.3f}"
            self._lines += [f"{stamp} {line}" for line in self._tell(effect)]

    def text(self) -> str:
        """Return the first lines as they are and a digest of the rest."""
        told, rest = self._lines[:LINES_MAX], self._lines[LINES_MAX:]
        if rest:
            told = [*told, f"and {len(rest)} more lines, sha256 {sha256(chr(10).join(rest).encode()).hexdigest()}"]
        return "\n".join(told) + "\n"

    def _tell(self, effect: Effect) -> Iterator[str]:
        if isinstance(effect, Persist):
            how = "write!" if effect.durable else "write"
            how += " or go on" if effect.proceed_on_failure else ""
            for record in effect.records:
                yield f"{how} {self._changes(record)}"
        elif isinstance(effect, Notify):
            yield f"tell {plain(effect.alert)}"
        else:
            yield f"send {plain(effect.command)}"

    def _changes(self, record: Record) -> str:
        kind = type(record).__name__
        names = IDENTITY.get(kind)
        if names is None or isinstance(record, IncomeRecord):
            return plain(record)
        key = (kind, *(plain(getattr(record, name)) for name in names))
        if isinstance(record, SignalRecord):
            key = (kind, record.signal.signal_id)
        before, self._rows[key] = self._rows.get(key), record
        told = [
            f"{field.name}={plain(value)}"
            for field in fields(record)
            if field.name not in names
            and (value := getattr(record, field.name)) != (None if before is None else getattr(before, field.name))
        ]
        return " ".join([kind, *(plain(getattr(record, name)) for name in names), *(told or ["(the same)"])])


def plain(value: object) -> str:
    """Return a value as short text: fields that are unset are left out, enums by value, numbers as they are."""
    if is_dataclass(value) and not isinstance(value, type):
        told = [
            f"{field.name}={plain(found)}"
            for field in fields(value)
            if (found := getattr(value, field.name)) is not None and found not in ("", ())
        ]
        return f"{type(value).__name__}({', '.join(told)})"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(plain, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {plain(found)}" for name, found in value.items()) + "}"
    return str(value)
