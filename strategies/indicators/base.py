"""What an indicator is: one formula that advances candle by candle and runs over whole columns."""

# ruff: noqa: PLR0917 - the six columns of a candle are passed by position: it is the quickest way, and runs per candle
from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy import ndarray

from strategies.indicators.ops import Number


class Indicator:
    """An indicator is its `formula`, written with plain operators, `ops` and the stateful `parts`.

    `update` advances one candle at constant cost and returns a float (a tuple, if it has several outputs), NaN while
    it warms up. `over` runs the same formula over whole columns from a fresh start and returns float64 arrays of the
    same length; it leaves the state of `update` alone. Both agree to 1e-9 (in truth to rounding, see `parts`).

    To add one: subclass, build the parts in `__init__`, write `formula`, set `warmup`.

    `warmup` is the number of candles after which the value no longer depends on where the data began: a window for
    rolling means, `forgotten_after` for smoothed ones, which never quite forget their first value.
    `day_anchored` says that the data must reach back to 00:00 UTC as well.
    """

    warmup: int = 1
    day_anchored: ClassVar[bool] = False
    spec: tuple[Any, ...]
    """Class and arguments: two indicators with the same spec are interchangeable."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Indicator:
        indicator = super().__new__(cls)
        indicator.spec = (cls, args, tuple(sorted(kwargs.items())))
        return indicator

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # The live path runs `update` for every indicator, symbol and candle: an alias spares a call each.
        super().__init_subclass__(**kwargs)
        if "formula" in cls.__dict__:
            cls.update = cls.formula  # type: ignore[method-assign]

    def formula(
        self, open: Number, high: Number, low: Number, close: Number, volume: Number, open_time: Number
    ) -> Number:
        """Return the value (or a tuple of values) of one candle, or of columns. `open_time` is UTC milliseconds."""
        raise TypeError(f"{type(self).__name__} has no formula")

    def update(self, open: float, high: float, low: float, close: float, volume: float, open_time: float) -> Any:
        """Advance by one closed candle and return its value (a tuple for several outputs)."""
        return self.formula(open, high, low, close, volume, open_time)

    def over(
        self, open: ndarray, high: ndarray, low: ndarray, close: ndarray, volume: ndarray, open_time: ndarray
    ) -> Any:
        """Return the values of whole columns (float64 prices and volume, integer open times), oldest first."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.formula(open, high, low, close, volume, open_time)


def check_window(name: str, window: int, least: int = 1) -> int:
    """Return `window`; raises ValueError when it is not a whole number of at least `least` candles."""
    if not isinstance(window, int) or window < least:
        raise ValueError(f"{name}: window must be a whole number of at least {least} candles (got {window!r})")
    return window


def forgotten_after(alpha: float, stages: int = 1) -> int:
    """Return after how many candles a smoothed mean weighs its start by less than 1e-9 (`stages`: means of means)."""
    if alpha >= 1.0:
        return stages
    return math.ceil(math.log(1e-9) / math.log(1.0 - alpha) * (1.0 + 0.25 * (stages - 1)))
