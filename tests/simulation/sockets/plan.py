"""Seed to schedule: what happens in a run, and when. The first seeds go through every hook at every call site.

Seeds from `len(SYSTEMATIC)` on are random. A plan depends on its seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random

from simulator.faults.kinds import RULES, FaultKind, Site
from simulator.faults.schedule import Fault, FaultSchedule
from tests.simulation.sockets import sites
from tests.simulation.sockets.sites import Pair
from tests.simulation.sockets.trader import SYMBOLS

K = FaultKind
FAULTS_MS = 45_000
"""Gateway time in which faults begin and end; the calm comes after."""

SECOND_TRY = 1_000_000
"""From this seed on plans are about one pair each."""

DOUBTFUL = ("GET /fapi/v1/order", "DELETE /fapi/v1/order", "GET /fapi/v1/algoOrder")
"""Routes that are called only while it is unknown what became of an order."""

ACTS = (
    "kill",
    "kill_at_moment",
    "stop",
    "suspend",
    "lease_taken",
    "disk_full",
    "disk_locked",
    "disk_io",
    "own_clock",
    "kill_switch",
    "kill_in_doubt",
    "flatten",
)
REFUSALS = ("-2021", "-4131", "-1111", "-4164", "-2019", "-4120", "-1008", "-1021", "-1001", "-1007", "-2015", "-1003")
"""Codes with which an order is refused; an unseen one is among them for every caller."""


@dataclass(frozen=True, slots=True)
class Act:
    """What happens to the process, its disk, or at its operator's hand. `amount` is a count of moments or a skew."""

    at_ms: int
    kind: str
    for_ms: int = 0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One schedule. `pairs` are what a systematic one is about."""

    seed: int
    faults: tuple[Fault, ...] = ()
    acts: tuple[Act, ...] = ()
    pairs: tuple[Pair, ...] = ()
    is_isolated: bool = False
    starts_hedged: bool = False
    """The account is in the other position mode when the trader starts, and leverage and margin type are others."""

    trades_from_ms: int = 0
    symbols: tuple[str, ...] = field(default=SYMBOLS)

    def schedule(self) -> FaultSchedule:
        return FaultSchedule(self.seed, self.faults)

    def describe(self) -> list[str]:
        rows = [(fault.at_ms, str(fault)) for fault in self.faults]
        rows += [(a.at_ms, f"{a.at_ms / 1000:9.3f} s  {a.kind}  for {a.for_ms} ms, {a.amount}") for a in self.acts]
        return [text for _, text in sorted(rows)]


def plan_for(seed: int) -> Plan:
    """Return the plan of a seed."""
    rng = Random(f"plan:{seed}")
    if seed < len(SYSTEMATIC):
        return _systematic(seed, SYSTEMATIC[seed], rng)
    if seed >= SECOND_TRY:
        return _systematic(seed, (ALL_PAIRS[(seed - SECOND_TRY) % len(ALL_PAIRS)],), rng)
    return _random(seed, rng)


def second_try(pair: Pair, attempt: int) -> int:
    """Return the seed of a plan about one pair alone, for one that another fault kept from being met."""
    return SECOND_TRY + attempt * len(ALL_PAIRS) + ALL_PAIRS.index(pair)


# -- every pair --------------------------------------------------------------------------------------------------------


def _groups() -> Iterator[tuple[Pair, ...]]:
    """Yield the pairs in handfuls that can be met in one run."""
    starting = [p for p in sites.pairs() if p.site in sites.START_ROUTES]
    doubtful = [p for p in sites.pairs() if p.site in DOUBTFUL]
    trading = [p for p in sites.pairs() if p.site in sites.TRADE_ROUTES and p.site not in DOUBTFUL]
    others = [p for p in sites.pairs() if p.site not in sites.ROUTES]
    for group, size in ((starting, 5), (doubtful, 2), (trading, 5), (others, 5)):
        shuffled = sorted(group, key=lambda pair: Random(f"{pair.hook}:{pair.site}").random())
        for first in range(0, len(shuffled), size):
            yield tuple(shuffled[first : first + size])


SYSTEMATIC = tuple(_groups())
ALL_PAIRS = tuple(sites.pairs())


def _systematic(seed: int, pairs: tuple[Pair, ...], rng: Random) -> Plan:
    faults: list[Fault] = []
    acts: list[Act] = []
    is_start = any(pair.site in sites.START_ROUTES for pair in pairs)
    for number, pair in enumerate(pairs):
        pause_ms = 16_500 if pair.site in DOUBTFUL else 3_500
        at_ms = 0 if pair.site in sites.START_ROUTES else 3_000 + number * pause_ms
        faults += _faults_for(pair, at_ms, rng)
        if pair.site == "DELETE /fapi/v1/order":  # an entry without an answer is cancelled when everything is closed
            acts += [Act(at_ms, "kill_in_doubt"), Act(at_ms + 12_000, "resume"), Act(at_ms + 15_000, "resume")]
    if is_start:  # each start meets the next fault
        acts += [Act(15_000, "kill"), Act(28_000, "kill")]
    return Plan(
        seed,
        tuple(faults),
        tuple(acts),
        pairs,
        is_isolated=is_start or seed % 2 == 1,
        starts_hedged=is_start,
        trades_from_ms=30_000 if is_start else 0,  # a flat account can be set up anew at each start
    )


def _faults_for(pair: Pair, at_ms: int, rng: Random) -> list[Fault]:
    hook, site = pair.hook, pair.site
    rule = RULES[hook]
    if site in sites.ROUTES:
        main = Fault(at_ms, hook, target=site, amount=_amount(hook, site, rng), for_ms=_length(hook))
        return [*_enabling(hook, site, at_ms), main]
    if hook in sites.FRAME_HOOKS:
        return [Fault(at_ms, hook, 0, site, _drawn(hook, rng), count=1 if hook is K.STREAM_MALFORMED else 3)]
    if hook in (K.STREAM_REFUSE, K.SUBSCRIBE_REJECT, K.SUBSCRIBE_IGNORE):
        close = Fault(at_ms + 100, K.STREAM_CLOSE, target=site, amount=Decimal(1006))
        return [Fault(at_ms, hook, target=site), close]
    if hook in sites.CONNECTION_HOOKS:
        return [Fault(at_ms, hook, target=site, amount=_drawn(hook, rng))]
    for_ms = 0 if rule.instant else 30_000 if rule.site is Site.ALGO else 8_000  # until a stop or target triggers
    at = at_ms + 2_000 if rule.instant else at_ms
    return [
        Fault(at + extra, hook, for_ms, amount=_drawn(hook, rng), detail=rng.choice(rule.details))
        # an instant fault hits nothing when nothing is held: it is tried several times
        for extra in ((0, 4_000, 9_000, 14_000, 20_000) if rule.instant else (0,))
    ]


def _enabling(hook: FaultKind, site: str, at_ms: int) -> list[Fault]:
    """Return what must go wrong before so that the trader calls `site` at all."""
    if site not in DOUBTFUL:
        return []
    route = f"POST {site.partition(' ')[2]}"
    if hook is K.QUERY_LAG_SINGLE:  # the order must be there, and nobody else may tell of it
        mute = Fault(at_ms, K.STREAM_MUTE, for_ms=12_000, target="private")
        return [Fault(at_ms, K.APPLY_THEN_DROP, target=route, count=3), mute]
    return [Fault(at_ms, K.NOAPPLY_THEN_DROP, target=route, count=2)]


def _amount(hook: FaultKind, site: str, rng: Random) -> Decimal | None:
    if hook is K.REFUSE:
        return Decimal(rng.choice(REFUSALS))
    return _drawn(hook, rng)


def _drawn(hook: FaultKind, rng: Random) -> Decimal | None:
    amounts = RULES[hook].amounts
    return Decimal(rng.choice(amounts)) if amounts else None


def _length(hook: FaultKind) -> int:
    return 20_000 if hook in sites.LAGS else 0


# -- at random ---------------------------------------------------------------------------------------------------------


def _random(seed: int, rng: Random) -> Plan:
    mean_pause_ms = rng.choice((2_500, 5_000, 10_000))
    drawn = FaultSchedule.generate(
        seed, tuple(FaultKind), FAULTS_MS, symbols=SYMBOLS, mean_pause_ms=mean_pause_ms
    ).faults
    faults = tuple(_to_any_route(fault, rng) for fault in drawn)
    acts = []
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        kind = rng.choice(ACTS)
        at_ms = rng.randint(2_000, FAULTS_MS - 10_000)
        acts.append(Act(at_ms, kind, rng.randint(500, 8_000), rng.randint(0, 40)))
        if kind in ("kill_switch", "kill_in_doubt"):
            acts.append(Act(at_ms + rng.randint(3_000, 12_000), "resume"))
    return Plan(seed, faults, tuple(acts), is_isolated=rng.random() < 0.5, starts_hedged=rng.random() < 0.1)


def _to_any_route(fault: Fault, rng: Random) -> Fault:
    """Half of the REST faults with a route go to any route that the trader calls, not just to its orders."""
    if fault.kind in sites.REST_HOOKS and fault.kind not in sites.LAGS and rng.random() < 0.5:
        return replace(fault, target=rng.choice(sites.ROUTES))
    return fault
