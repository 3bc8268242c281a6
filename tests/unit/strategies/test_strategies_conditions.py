"""Conditions answer the same for one candle as for a column of it."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from strategies.conditions import Gate, Setup, both, either, opposite
from strategies.indicators.ops import NAN, choose, larger, ratio, root, smaller

TRUTHS = list(itertools.product([True, False], repeat=3))


@pytest.mark.parametrize("combine", [both, either])
def test_combination_of_columns_equals_that_of_bools(combine) -> None:
    column = combine(*(np.array(list(side)) for side in zip(*TRUTHS, strict=True)))
    assert column.tolist() == [combine(*row) for row in TRUTHS]
    assert [combine(*row) for row in TRUTHS] == [(all if combine is both else any)(row) for row in TRUTHS]


def test_opposite_of_a_bool_is_a_bool_and_of_a_column_a_column() -> None:
    assert opposite(True) is False
    assert opposite(False) is True
    assert opposite(np.array([True, False])).tolist() == [False, True]


def test_and_on_columns_is_refused_by_numpy_so_forms_cannot_drift_apart() -> None:
    values = SimpleNamespace(a=np.array([1.0, 2.0]), b=np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="ambiguous"):
        Gate("wrong", lambda v: v.a < 2 and v.b < 2, "").passes(values)


NUMBERS = [NAN, -2.0, -0.0, 0.0, 0.5, 3.0]


@pytest.mark.parametrize(
    "operation", [larger, smaller, lambda a, b: ratio(a, b, 9.0), lambda a, b: choose(a < b, a, b)]
)
def test_operation_on_columns_equals_that_on_floats(operation) -> None:
    pairs = list(itertools.product(NUMBERS, repeat=2))
    with np.errstate(all="ignore"):
        column = operation(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
    np.testing.assert_array_equal(column, [operation(a, b) for a, b in pairs])


def test_root_of_columns_equals_that_of_floats() -> None:
    np.testing.assert_array_equal(root(np.array(NUMBERS)), [root(value) for value in NUMBERS])


def test_gate_numbers_leave_out_what_is_not_known() -> None:
    gate = Gate("below", lambda v: v.adx < 20, "", shows=("adx", "rsi"), limits={"adx_max": 20.0})
    assert gate.numbers(SimpleNamespace(adx=NAN, rsi=3.0)) == {"rsi": 3.0, "adx_max": 20.0}


def test_setup_side_is_signed_and_contradiction_is_none() -> None:
    setup = Setup("s", long=lambda v: v.x > 0, short=lambda v: v.y > 0, refusal="", reason="")
    cases = [(1.0, -1.0, 1), (-1.0, 1.0, -1), (-1.0, -1.0, 0), (1.0, 1.0, 0), (NAN, NAN, 0)]
    assert [setup.side(SimpleNamespace(x=x, y=y)) for x, y, _ in cases] == [side for *_, side in cases]
    columns = SimpleNamespace(x=np.array([x for x, *_ in cases]), y=np.array([y for _, y, _ in cases]))
    assert setup.side(columns).tolist() == [side for *_, side in cases]
