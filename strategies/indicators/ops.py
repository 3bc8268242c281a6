"""Arithmetic that means the same for one candle's floats and for whole columns.

Plain operators (`+ - * / < > & |` and `abs`) already do. These functions cover the rest: Python's own `max`, `if` and
division by zero behave differently from numpy's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import ndarray

Number = Any
"""A float (one candle) or a float64 array (a column). Typed as Any, since each formula serves both."""

NAN = math.nan


def choose(condition: Any, when_true: Number, when_false: Number) -> Number:
    """Return `when_true` where the condition holds, else `when_false`. Comparisons with NaN do not hold."""
    if condition.__class__ is ndarray:
        return np.where(condition, when_true, when_false)
    return when_true if condition else when_false


def ratio(numerator: Number, denominator: Number, otherwise: float) -> Number:
    """Return numerator / denominator, and `otherwise` where the denominator is exactly zero."""
    if denominator.__class__ is ndarray:
        return np.where(denominator != 0.0, numerator / denominator, otherwise)
    return numerator / denominator if denominator != 0.0 else otherwise


def larger(first: Number, second: Number) -> Number:
    """Return the larger of two; a NaN loses against a number."""
    if first.__class__ is ndarray:
        return np.fmax(first, second)
    return second if second > first or math.isnan(first) else first


def smaller(first: Number, second: Number) -> Number:
    """Return the smaller of two; a NaN loses against a number."""
    if first.__class__ is ndarray:
        return np.fmin(first, second)
    return second if second < first or math.isnan(first) else first


def root(value: Number) -> Number:
    """Return the square root; rounding noise below zero counts as zero, NaN stays NaN."""
    if value.__class__ is ndarray:
        kept = np.where(value < 0.0, 0.0, value)
        return np.sqrt(kept, out=kept)
    return 0.0 if value < 0.0 else math.sqrt(value)
