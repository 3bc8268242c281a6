"""The schedule: generated, written, read back; and the injector that plays it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigurationError
from simulator.faults.injector import FaultInjector
from simulator.faults.kinds import RULES, FaultKind, Site
from simulator.faults.schedule import Fault, FaultSchedule
from tests.unit.simulator_faults.support import BTC, D

POST = "POST /fapi/v1/order"
HOUR_MS = 3_600_000
K = FaultKind


def injector(*faults: Fault) -> FaultInjector:
    found = FaultInjector(FaultSchedule(0, faults))
    found.start(0)
    return found


@given(st.integers(0, 2**32), st.integers(1, HOUR_MS))
def test_generated_schedule_comes_back_from_json_and_ends_within_its_horizon(seed: int, horizon_ms: int) -> None:
    schedule = FaultSchedule.generate(seed, horizon_ms=horizon_ms, symbols=("BTCUSDT", "ETHUSDT"))
    assert FaultSchedule.from_json(schedule.to_json()) == schedule
    assert schedule == FaultSchedule.generate(seed, horizon_ms=horizon_ms, symbols=("BTCUSDT", "ETHUSDT"))
    assert all(fault.at_ms + fault.for_ms <= horizon_ms for fault in schedule.faults)
    assert str(schedule).count("\n") == len(schedule.faults)


def test_generated_schedules_hold_every_kind_and_only_the_kinds_asked_for() -> None:
    found = {fault.kind for seed in range(20) for fault in FaultSchedule.generate(seed, horizon_ms=HOUR_MS).faults}
    assert found == set(FaultKind) == set(RULES)
    few = FaultSchedule.generate(1, [K.ADL, "hang"], HOUR_MS)
    assert {fault.kind for fault in few.faults} == {K.ADL, K.HANG}
    assert FaultSchedule.generate(1, [], HOUR_MS).faults == ()


def test_seeds_differ_and_symbols_are_used() -> None:
    first, second = (FaultSchedule.generate(seed, [K.ADL], HOUR_MS, symbols=("AUSDT",)) for seed in (1, 2))
    assert first != second
    assert {fault.target for fault in first.faults} == {"AUSDT"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "no JSON"),
        ("[]", "must be"),
        ('{"faults": [], "sed": 1}', "must be"),
        ('{"seed": "x", "faults": []}', "seed must be a whole number"),
        ('{"faults": [{"at_ms": 1}]}', "entry 1: must have at_ms and kind"),
        ('{"faults": [{"at_ms": 1, "kind": "adl"}, {"at_ms": 1, "kind": "flood"}]}', "entry 2: unknown kind 'flood'"),
        ('{"faults": [{"at_ms": 1.5, "kind": "adl"}]}', "entry 1: at_ms must be a whole number"),
        ('{"faults": [{"at_ms": 1, "kind": "adl", "target": 3}]}', "entry 1: target must be a text"),
        ('{"faults": [{"at_ms": 1, "kind": "adl", "amount": "much"}]}', "amount must be a number"),
        ('{"faults": [{"at_ms": -1, "kind": "adl"}]}', "entry 1: at_ms, for_ms and skip must not be negative"),
        ('{"faults": [{"at_ms": 1, "kind": "adl", "count": 0}]}', "count must be at least 1"),
    ],
)
def test_faulty_schedule_text_is_refused_naming_the_entry(text: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what) as caught:
        FaultSchedule.from_json(text)
    assert "\n" not in str(caught.value)


def test_amounts_may_be_numbers_in_a_file() -> None:
    schedule = FaultSchedule.from_json('{"faults": [{"at_ms": 1, "kind": "adl", "amount": 0.4}]}')
    assert schedule.faults[0].amount == D("0.4")


def test_window_meets_every_call_of_its_time_and_no_other() -> None:
    found = injector(Fault(100, K.HANG, for_ms=50, target=POST))
    met = [time for time in range(0, 300, 10) if found.on_request(POST, time)]
    assert met == [100, 110, 120, 130, 140]
    assert found.counts[K.HANG] == len(found.fired) == 5


def test_fault_without_length_meets_one_call_whenever_it_comes() -> None:
    found = injector(Fault(100, K.HANG))
    assert [time for time in (50, 5_000, 6_000) if found.on_request(POST, time)] == [5_000]
    assert found.is_over(6_000)


def test_skip_and_count_choose_calls_by_their_index() -> None:
    found = injector(Fault(0, K.HANG, target=POST, skip=2, count=3))
    met = []
    for index in range(8):
        found.on_request("GET /fapi/v1/order", index)
        if found.on_request(POST, index):
            met.append(index)
    assert met == [2, 3, 4]


@pytest.mark.parametrize(
    ("target", "is_met"),
    [("", True), ("POST", True), ("/fapi/v1/order", True), (POST, True), ("GET", False), ("/fapi/v1/orders", False)],
)
def test_target_of_a_request_is_method_path_or_both(target: str, is_met: bool) -> None:
    assert (injector(Fault(0, K.HANG, target=target)).on_request(POST, 0) is not None) is is_met


def test_first_of_two_open_faults_wins_and_the_other_waits() -> None:
    found = injector(Fault(0, K.HANG), Fault(1, K.BODY_HTML))
    kinds = [fault.kind for _ in range(3) if (fault := found.on_request(POST, 10)) is not None]
    assert kinds == [K.HANG, K.BODY_HTML]


def test_instant_faults_are_due_once_in_the_order_of_their_times() -> None:
    found = injector(Fault(30, K.ADL), Fault(10, K.STREAM_CLOSE), Fault(20, K.LIQUIDATE), Fault(90, K.ADL))
    assert [fault.kind for fault in found.due(50)] == [K.STREAM_CLOSE, K.LIQUIDATE, K.ADL]
    assert found.due(50) == []
    assert not found.is_over(50)


def test_clear_ends_present_and_coming_faults_and_inject_adds_one_now() -> None:
    found = injector(Fault(0, K.HANG, for_ms=1_000), Fault(500, K.ADL), Fault(0, K.CLOCK_SKEW, amount=D(5)))
    found.clear()
    assert found.on_request(POST, 10) is None and found.due(600) == [] and found.clock_offset_ms(10) == 0
    added = found.inject("hang", 700, target=POST, count=1)
    assert added.at_ms == 700 and added in found.schedule.faults
    assert found.on_request(POST, 701) is added


def test_the_same_schedule_and_calls_give_the_same_record() -> None:
    schedule = FaultSchedule.generate(5, horizon_ms=60_000, mean_pause_ms=500, symbols=(BTC,))

    def play() -> list[object]:
        found = FaultInjector(schedule)
        for time in range(0, 60_000, 97):
            found.on_request(POST, time)
            found.on_frame({"private", "ORDER_TRADE_UPDATE"}, time)
            found.on_take(BTC, time)
            found.clock_offset_ms(time)
            found.due(time)
        return list(found.fired)

    assert play() == play()
    assert len(play()) > 20


def test_clock_faults_add_up() -> None:
    found = injector(
        Fault(100, K.CLOCK_SKEW, for_ms=100, amount=D(-500)),
        Fault(150, K.CLOCK_JUMP, amount=D(2_000)),
        Fault(1_000, K.CLOCK_DRIFT, for_ms=100_000, amount=D(200)),
    )
    times = (99, 100, 160, 200, 51_000, 102_000)
    assert [found.clock_offset_ms(time) for time in times] == [0, -500, 1_500, 2_000, 2_010, 2_000]


def test_every_kind_has_a_site_and_every_site_has_kinds() -> None:
    assert {rule.site for rule in RULES.values()} == set(Site)


def test_every_kind_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")
    assert [kind.value for kind in FaultKind if f"`{kind.value}`" not in text] == []
