"""The schedule: what goes wrong, and when. A value that can be printed, stored, read back and played again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from random import Random
from typing import Any

import orjson

from core.errors import ConfigurationError
from simulator.faults.kinds import RULES, FaultKind, Site

MEAN_PAUSE_MS = 15_000
"""Time between two generated faults, on average."""

_FIELDS = {"at_ms", "kind", "for_ms", "target", "amount", "detail", "skip", "count"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry. Times are milliseconds of the gateway's true clock since the schedule was started.

    An instant fault happens at `at_ms`. Any other one holds from `at_ms` for `for_ms`; with `for_ms` 0 until `count`
    calls have met it (one, if `count` is None). The first `skip` calls that would meet it are spared; `count` bounds
    how many are met. `target`, `amount` and `detail` mean what the table in docs/simulator.md says for the kind.
    """

    at_ms: int
    kind: FaultKind
    for_ms: int = 0
    target: str = ""
    amount: Decimal | None = None
    detail: str = ""
    skip: int = 0
    count: int | None = None

    def __post_init__(self) -> None:
        if min(self.at_ms, self.for_ms, self.skip) < 0 or (self.count is not None and self.count < 1):
            raise ValueError("at_ms, for_ms and skip must not be negative, count must be at least 1")

    @property
    def site(self) -> Site:
        return RULES[self.kind].site

    @property
    def is_instant(self) -> bool:
        return RULES[self.kind].instant

    @property
    def until_ms(self) -> int | None:
        """When it ends by the clock, None when calls use it up."""
        return self.at_ms + self.for_ms if self.for_ms else None

    @property
    def hits(self) -> int | None:
        """How many calls it may meet; None: every one of its time."""
        return self.count if self.count is not None or self.for_ms else 1

    def value(self, default: str) -> Decimal:
        """Return `amount`, or `default` where none was given."""
        return self.amount if self.amount is not None else Decimal(default)

    def to_row(self) -> dict[str, Any]:
        """Return the JSON-able form, without what is at its default."""
        row: dict[str, Any] = {"at_ms": self.at_ms, "kind": self.kind.value}
        for name in ("for_ms", "target", "detail", "skip"):
            if value := getattr(self, name):
                row[name] = value
        if self.amount is not None:
            row["amount"] = format(self.amount, "f")
        if self.count is not None:
            row["count"] = self.count
        return row

    def __str__(self) -> str:
        words = [f"{self.at_ms / 1000:9.3f} s", self.kind.value]
        words += [f"{name} {value}" for name, value in self.to_row().items() if name not in ("at_ms", "kind")]
        return "  ".join(words)


@dataclass(frozen=True, slots=True)
class FaultSchedule:
    """Faults in the order of their times. `seed` says where a generated one comes from."""

    seed: int = 0
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "faults", tuple(sorted(self.faults, key=lambda fault: fault.at_ms)))

    @classmethod
    def generate(
        cls,
        seed: int,
        kinds: Iterable[FaultKind | str] = tuple(FaultKind),
        horizon_ms: int = 600_000,
        *,
        symbols: Sequence[str] = (),
        mean_pause_ms: int = MEAN_PAUSE_MS,
    ) -> FaultSchedule:
        """Return a schedule whose faults all begin and end within `horizon_ms`, except those that calls use up.

        Pauses between faults are exponential; kind, length, target and figures are drawn from the kind's rule. The
        same arguments give the same schedule. Faults of a symbol take one of `symbols`, or any symbol if empty.
        """
        rng = Random(f"faults:{seed}")
        names = [FaultKind(kind) for kind in kinds]
        faults, at_ms = [], 0
        while names:
            at_ms += 1 + int(rng.expovariate(1 / mean_pause_ms))
            if at_ms >= horizon_ms:
                break
            faults.append(_draw(rng, rng.choice(names), at_ms, horizon_ms, symbols))
        return cls(seed, tuple(faults))

    def to_json(self) -> str:
        """Return the schedule as JSON text, one line a fault."""
        rows = ",\n".join("  " + orjson.dumps(fault.to_row()).decode() for fault in self.faults)
        return f'{{"seed": {self.seed}, "faults": [\n{rows}\n]}}\n'

    @classmethod
    def from_json(cls, text: str | bytes) -> FaultSchedule:
        """Read `to_json`'s text. Raises ConfigurationError that names the faulty entry."""
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise ConfigurationError(f"fault schedule: no JSON: {error}") from None
        if not isinstance(found, dict) or set(found) - {"seed", "faults"} or not isinstance(found.get("faults"), list):
            raise ConfigurationError('fault schedule: must be {"seed": number, "faults": [...]}')
        seed = found.get("seed", 0)
        if not isinstance(seed, int):
            raise ConfigurationError(f"fault schedule: seed must be a whole number (got {seed!r})")
        return cls(seed, tuple(_read(number, row) for number, row in enumerate(found["faults"], start=1)))

    @classmethod
    def load(cls, path: Path) -> FaultSchedule:
        """Read a schedule file. Raises ConfigurationError with the file's name."""
        try:
            return cls.from_json(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"fault schedule {path}: cannot be read: {error.strerror}") from None
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from None

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}, {len(self.faults)} faults", *map(str, self.faults)])


def _draw(rng: Random, kind: FaultKind, at_ms: int, horizon_ms: int, symbols: Sequence[str]) -> Fault:
    rule = RULES[kind]
    shortest, longest = rule.lasts_ms
    for_ms = 0 if rule.instant else min(rng.randint(shortest, longest), horizon_ms - at_ms)
    targets = symbols if rule.by_symbol and symbols else rule.targets
    return Fault(
        at_ms,
        kind,
        for_ms=for_ms,
        target=rng.choice(targets),
        amount=Decimal(rng.choice(rule.amounts)) if rule.amounts else None,
        detail=rng.choice(rule.details),
        count=rng.choice((None, None, 1, 3)) if for_ms and rule.site in (Site.REST, Site.STREAM) else None,
    )


def _read(number: int, row: Any) -> Fault:
    where = f"fault schedule: entry {number}"
    if not isinstance(row, dict) or set(row) - _FIELDS or not {"at_ms", "kind"} <= set(row):
        raise ConfigurationError(f"{where}: must have at_ms and kind, and may have {', '.join(sorted(_FIELDS))}")
    if row["kind"] not in list(FaultKind):
        raise ConfigurationError(f"{where}: unknown kind {row['kind']!r}; known: {', '.join(FaultKind)}")
    for name in ("at_ms", "for_ms", "skip", "count"):
        if name in row and (not isinstance(row[name], int) or isinstance(row[name], bool)):
            raise ConfigurationError(f"{where}: {name} must be a whole number (got {row[name]!r})")
    for name in ("target", "detail"):
        if not isinstance(row.get(name, ""), str):
            raise ConfigurationError(f"{where}: {name} must be a text (got {row[name]!r})")
    values = dict(row, kind=FaultKind(row["kind"]))
    try:
        if "amount" in row:
            values["amount"] = Decimal(str(row["amount"]))
        return Fault(**values)
    except (InvalidOperation, ValueError) as error:
        reason = str(error) if type(error) is ValueError else f"amount must be a number (got {row['amount']!r})"
        raise ConfigurationError(f"{where}: {reason}") from None
