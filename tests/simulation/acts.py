"""What happens to the trader itself: its process, its disk, its clock, its operator. The venue's faults have a list of
their own, `simulator.faults.kinds`; together the two are every name that a schedule can hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from simulator.faults.kinds import FaultKind, Site
from simulator.faults.schedule import Fault, FaultSchedule


class Act(StrEnum):
    """Names as printed. `limit_tripped` follows from losses and is never drawn."""

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
    Act.LEASE_TAKEN,
)
_LONGEST_MS = {Act.SUSPEND: 50_000}
_OFTEN = (
    FaultKind.APPLY_THEN_DROP,
    FaultKind.NOAPPLY_THEN_DROP,
    FaultKind.LATE_APPLY,
    FaultKind.HANG,
    FaultKind.REFUSE,
    FaultKind.QUERY_LAG_SINGLE,
    FaultKind.STREAM_MUTE,
    FaultKind.STREAM_DROP,
    FaultKind.STREAM_REORDER,
    FaultKind.STREAM_DUPLICATE,
    FaultKind.PARTIAL_FILL,
    FaultKind.ALGO_STUCK,
    FaultKind.ALGO_REJECT,
)
"""Drawn four times as often: they bite only when the right call comes while they hold."""
KINDS = (*FaultKind, *_OFTEN, *_OFTEN, *_OFTEN)
ROUTES = (
    "POST /fapi/v1/order",
    "GET /fapi/v1/order",
    "DELETE /fapi/v1/order",
    "POST /fapi/v1/algoOrder",
    "GET /fapi/v1/algoOrder",
    "DELETE /fapi/v1/algoOrder",
    "GET /fapi/v3/positionRisk",
    "GET /fapi/v1/openOrders",
    "GET /fapi/v1/openAlgoOrders",
    "GET /fapi/v3/balance",
    "GET /fapi/v1/userTrades",
    "GET /fapi/v1/income",
    "POST /fapi/v1/listenKey",
)
"""Half of the faults of requests go to one of these, whichever it is."""
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
    schedule = FaultSchedule.generate(seed, KINDS, horizon_ms, symbols=symbols, mean_pause_ms=mean_pause_ms * 3 // 2)
    rng, at_ms = Random(f"acts:{seed}"), 2_000
    schedule = FaultSchedule(seed, tuple(_to_any_route(fault, rng) for fault in schedule.faults))
    found: list[Happening] = []
    while True:
        at_ms += 1 + int(rng.expovariate(1 / (mean_pause_ms * 3)))
        act = rng.choice(_DRAWN)
        for_ms = rng.randint(500, _LONGEST_MS.get(act, 20_000))
        if at_ms + for_ms >= horizon_ms:
            return Plan(schedule, tuple(found))
        amount = rng.choice((-3_600_000, 5_000, 90_000)) if act is Act.OWN_CLOCK else rng.randint(0, 12)
        found.append(Happening(at_ms, act, for_ms, amount, rng.choice(symbols)))


def _to_any_route(fault: Fault, rng: Random) -> Fault:
    is_lag = fault.kind in (FaultKind.QUERY_LAG_SINGLE, FaultKind.QUERY_LAG_LIST)
    if fault.site is not Site.REST or is_lag or rng.random() < 0.5:
        return fault
    return replace(fault, target=rng.choice(ROUTES))
