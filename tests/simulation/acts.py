"""What happens to the trader itself: its process, its disk, its clock, its operator. The venue's faults have a list of
their own, `simulator.faults.kinds`; together the two are every name that a schedule can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from simulator.faults.kinds import FaultKind
from simulator.faults.schedule import FaultSchedule


class Act(StrEnum):
    """Names as printed. `lease_taken` and `limit_tripped` follow from others and are never drawn."""

    KILL = "kill"
    KILL_AT_MOMENT = "kill_at_moment"
    SUSPEND = "suspend"
    DISK_FULL = "disk_full"
    DISK_LOCKED = "disk_locked"
    DISK_IO = "disk_io"
    OWN_CLOCK = "own_clock"
    KILL_SWITCH = "kill_switch"
    FLATTEN = "flatten"
    LEASE_TAKEN = "lease_taken"
    LIMIT_TRIPPED = "limit_tripped"


DISK = frozenset({Act.DISK_FULL, Act.DISK_LOCKED, Act.DISK_IO})
_DRAWN = (
    Act.KILL,
    Act.KILL_AT_MOMENT,
    Act.KILL_AT_MOMENT,
    Act.SUSPEND,
    Act.DISK_FULL,
    Act.DISK_LOCKED,
    Act.DISK_IO,
    Act.OWN_CLOCK,
    Act.KILL_SWITCH,
    Act.FLATTEN,
)
_LONGEST_MS = {Act.SUSPEND: 50_000}
NAMES = frozenset({*(kind.value for kind in FaultKind), *(act.value for act in Act)})


@dataclass(frozen=True, slots=True)
class Happening:
    """One act. `amount` counts moments (KILL_AT_MOMENT) or is a step in milliseconds (OWN_CLOCK)."""

    at_ms: int
    act: Act
    for_ms: int = 0
    amount: int = 0
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that goes wrong in one world, times since its start."""

    schedule: FaultSchedule
    happenings: tuple[Happening, ...]

    @property
    def names(self) -> set[str]:
        drawn = {fault.kind.value for fault in self.schedule.faults}
        return drawn | {each.act.value for each in self.happenings}


NOTHING = Plan(FaultSchedule(), ())


def plan_for(seed: int, horizon_ms: int, symbols: Sequence[str], mean_pause_ms: int) -> Plan:
    """Return the plan of a seed: two of three happenings are the venue's, one is the trader's own."""
    schedule = FaultSchedule.generate(
        seed, tuple(FaultKind), horizon_ms, symbols=symbols, mean_pause_ms=mean_pause_ms * 3 // 2
    )
    rng, at_ms = Random(f"acts:{seed}"), 2_000
    found: list[Happening] = []
    while True:
        at_ms += 1 + int(rng.expovariate(1 / (mean_pause_ms * 3)))
        act = rng.choice(_DRAWN)
        for_ms = rng.randint(500, _LONGEST_MS.get(act, 20_000))
        if at_ms + for_ms >= horizon_ms:
            return Plan(schedule, tuple(found))
        amount = rng.choice((-3_600_000, 5_000, 90_000)) if act is Act.OWN_CLOCK else rng.randint(0, 12)
        found.append(Happening(at_ms, act, for_ms, amount, rng.choice(symbols)))
