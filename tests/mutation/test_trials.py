"""What is tried, in which order, and what counts as killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.mutation import report, trials
from tests.mutation.trials import NO_MUTANT, TIMED_OUT, UNTESTED, Plan, modules_with_mutants

DOUBT = "executor.doubt.x_chase"
TESTS = {"quick": 0.1, "slow": 2.0, "middling": 0.5, "elsewhere": 0.0}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    reached = {DOUBT: ["slow", "quick", "middling", "gone"]}
    trials.STATS.write_text(json.dumps({"duration_by_test": TESTS, "tests_by_mangled_function_name": reached}))
    trials.PACKAGE.mkdir()
    codes = {
        f"{DOUBT}__mutmut_1": 1,
        f"{DOUBT}__mutmut_2": 0,
        f"{DOUBT}__mutmut_3": None,
        "executor.doubt.x_b__mutmut_1": None,
    }
    (trials.PACKAGE / "doubt.py.meta").write_text(json.dumps({"exit_code_by_key": codes, "durations_by_key": {}}))
    return tmp_path


def plan(*, again: bool = False) -> Plan:
    return Plan(["doubt"], set(TESTS), again=again)


def test_plan_has_a_control_and_the_mutants_not_tried_yet(folder: Path) -> None:
    control, third, untested = plan().trials()
    assert (control.module, control.mutant) == ("", NO_MUTANT)
    assert set(control.tests) == set(TESTS)
    assert (third.module, third.mutant, set(third.tests)) == (
        "doubt",
        f"{DOUBT}__mutmut_3",
        {"quick", "middling", "slow"},
    )
    assert untested.tests == ()


def test_plan_again_has_those_too_that_survived(folder: Path) -> None:
    assert (plan().left, plan(again=True).left) == (2, 3)
    assert [trial.mutant[-1] for trial in list(plan(again=True).trials())[1:]] == ["2", "3", "1"]


def test_tests_that_noticed_come_first_those_of_the_function_before_those_of_the_module(folder: Path) -> None:
    of = plan()
    _, third, untested = of.trials()
    assert of.in_order(third) == ["quick", "middling", "slow"]
    of.note(untested, 1, "middling")
    assert of.in_order(third) == ["middling", "quick", "slow"]
    of.note(third, 1, "slow")
    assert of.in_order(third) == ["slow", "middling", "quick"]


def test_verdicts_are_kept_where_the_report_reads_them(folder: Path) -> None:
    of = plan()
    _, third, untested = of.trials()
    of.note(third, TIMED_OUT, "")
    verdicts = of.note(untested, UNTESTED, "")
    assert verdicts.is_complete
    assert str(verdicts) == "2 of 4 killed"
    verdicts.save()
    (row,) = report.rates(trials.PACKAGE)
    assert (row.module, row.made, row.tried, row.killed) == ("doubt", 4, 4, 2)


def test_module_without_mutants_is_refused_with_those_that_have(folder: Path) -> None:
    assert modules_with_mutants([]) == ["doubt"]
    with pytest.raises(FileNotFoundError, match="no mutants of risk; there are: doubt"):
        modules_with_mutants(["doubt", "risk"])
