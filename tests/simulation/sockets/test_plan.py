"""The plans: every hook at every call site has its turn, and a seed always gives the same plan."""

from __future__ import annotations

from simulator.faults.kinds import FaultKind
from tests.simulation.sockets import sites
from tests.simulation.sockets.plan import ACTS, FAULTS_MS, SYSTEMATIC, plan_for, second_try
from tests.simulation.sockets.trader import SYMBOLS


def test_systematic_plans_hold_every_possible_pair_once() -> None:
    planned = [pair for group in SYSTEMATIC for pair in group]
    assert len(planned) == len(set(planned))
    assert set(planned) == set(sites.pairs())
    assert {pair.hook for pair in planned} == set(FaultKind)


def test_systematic_plan_injects_each_of_its_pairs_hooks() -> None:
    for seed in range(len(SYSTEMATIC)):
        plan = plan_for(seed)
        assert {pair.hook for pair in plan.pairs} <= {fault.kind for fault in plan.faults}


def test_second_try_is_about_that_pair_alone() -> None:
    pair = SYSTEMATIC[7][1]
    for attempt in (0, 1, 2):
        plan = plan_for(second_try(pair, attempt))
        assert plan.pairs == (pair,)
        assert pair.hook in {fault.kind for fault in plan.faults}


def test_plan_depends_on_its_seed_alone() -> None:
    for seed in (0, len(SYSTEMATIC) - 1, len(SYSTEMATIC), 1_234):
        assert plan_for(seed) == plan_for(seed)
    assert plan_for(1_234) != plan_for(1_235)


def test_random_plans_meet_every_kind_and_every_act_within_the_time_of_faults() -> None:
    plans = [plan_for(seed) for seed in range(1_000, 1_300)]
    assert {fault.kind for plan in plans for fault in plan.faults} == set(FaultKind)
    assert {act.kind for plan in plans for act in plan.acts} >= set(ACTS)
    assert all(fault.at_ms < FAULTS_MS for plan in plans for fault in plan.faults)
    assert all(fault.target in (*SYMBOLS, "") for plan in plans for fault in plan.faults if fault.kind == "price_gap")


def test_impossible_pairs_are_look_ups_only() -> None:
    reasons = {(hook, route) for hook in FaultKind for route in sites.ROUTES if sites.impossible(hook, route)}
    assert {hook for hook, _ in reasons} == {FaultKind.QUERY_LAG_SINGLE, FaultKind.QUERY_LAG_LIST}
    assert (FaultKind.QUERY_LAG_SINGLE, "GET /fapi/v1/order") not in reasons
    assert (FaultKind.QUERY_LAG_LIST, "GET /fapi/v1/userTrades") not in reasons
