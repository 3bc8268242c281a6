"""Conditions: each written once, for one candle's floats and for whole columns.

A condition is a function of the values (`strategies.base.Values`) that compares and calculates with plain operators:
`lambda v: v.adx < 20`. Live it sees floats and answers True or False; in a backtest it sees columns and answers a
column. `and`, `or`, `not` and chained comparisons do not work on columns (numpy refuses them): use `both`, `either`,
`opposite`. Comparisons with a number that is not known yet (NaN) do not hold, in both forms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import numpy as np
from numpy import ndarray

Truth = Any
"""A bool (one candle) or a bool array (a column)."""

Condition = Callable[[Any], Truth]


def both(first: Truth, second: Truth, *more: Truth) -> Truth:
    """Return whether all hold. Every argument is evaluated."""
    result = first & second
    for truth in more:
        result = result & truth
    return result


def either(first: Truth, second: Truth, *more: Truth) -> Truth:
    """Return whether at least one holds. Every argument is evaluated."""
    result = first | second
    for truth in more:
        result = result | truth
    return result


def opposite(truth: Truth) -> Truth:
    """Return whether it does not hold (`~` would turn Python's True into -2)."""
    return ~truth if truth.__class__ is ndarray else not truth


@dataclass(frozen=True, slots=True)
class Gate:
    """One named condition that an entry must pass.

    `shows` names the values and `limits` the parameters that were compared: both are kept with a refusal, and
    `refusal` is the sentence that explains it, with them in braces: "ADX {adx:.1f} is not below {adx_max:g}".
    """

    name: str
    passes: Condition
    refusal: str
    shows: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)

    def numbers(self, values: Any) -> dict[str, float]:
        """Return what was compared, by name; numbers that are not known yet are left out."""
        return known_numbers(values, self.shows, self.limits)


@dataclass(frozen=True, slots=True)
class Setup:
    """The last gate: on which side to enter, if any. When both sides hold, none is taken.

    `reason` explains a signal and `refusal` its absence, with numbers in braces as in `Gate`.
    """

    name: str
    long: Condition
    short: Condition
    refusal: str
    reason: str
    shows: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)

    def side(self, values: Any) -> Any:
        """Return +1 for long, -1 for short, 0 for neither; of columns an int8 column."""
        long, short = self.long(values), self.short(values)
        if long.__class__ is ndarray:
            return long.astype(np.int8) - short.astype(np.int8)
        return long - short

    def numbers(self, values: Any) -> dict[str, float]:
        """Return what was compared, by name; numbers that are not known yet are left out."""
        return known_numbers(values, self.shows, self.limits)


def known_numbers(values: Any, shows: tuple[str, ...], limits: Mapping[str, float]) -> dict[str, float]:
    """Return the named values that are numbers, followed by the limits."""
    numbers = {}
    for name in shows:
        value = getattr(values, name)
        if not isnan(value):
            numbers[name] = value
    numbers.update(limits)
    return numbers
