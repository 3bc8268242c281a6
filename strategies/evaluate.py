"""Runs one strategy: candle by candle (live), or over columns (backtests and checks). Both see the same values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from keyword import iskeyword
from math import nan
from typing import Any, SupportsFloat

import numpy as np
from numpy import ndarray

from core.enums import Direction
from core.signal import ExitPlan
from strategies.base import (
    WARMING_UP,
    CandleColumns,
    ColumnDecisions,
    Decision,
    Entry,
    GatedStrategy,
    History,
    Indicators,
    Refusal,
    Strategy,
    Values,
)
from strategies.indicators.base import Indicator


class Evaluator:
    """One strategy on one symbol, advancing a candle at a time at constant cost, in plain floats."""

    __slots__ = (
        "_decide",
        "_fields",
        "_many",
        "_remembers",
        "_single",
        "_specs",
        "count",
        "history",
        "strategy",
        "values",
    )

    def __init__(self, strategy: Strategy) -> None:
        indicators = strategy.indicators()
        self.strategy = strategy
        self.history: History = strategy.history(indicators)
        self.count = 0
        self.values = Values()
        self._fields = self.values.__dict__
        self._decide = strategy.decide
        # Only plain strategies can have a memory of their own, so only they must see candles that nobody acts on.
        self._remembers = not isinstance(strategy, GatedStrategy)
        self._specs = specs_of(indicators)
        self._single = [(name, one.update) for name, one in indicators.items() if isinstance(name, str)]
        self._many = [(names, one.update) for names, one in indicators.items() if not isinstance(names, str)]

    def update(  # noqa: PLR0917
        self, open: float, high: float, low: float, close: float, volume: float, open_time: int
    ) -> None:
        """Advance all indicators by one closed candle."""
        fields = self._fields
        fields["open"] = open
        fields["high"] = high
        fields["low"] = low
        fields["close"] = close
        fields["volume"] = volume
        fields["open_time"] = open_time
        for name, update in self._single:
            fields[name] = update(open, high, low, close, volume, open_time)
        for names, update in self._many:
            fields.update(zip(names, update(open, high, low, close, volume, open_time), strict=True))
        self.count += 1

    def decide(self) -> Decision:
        """Return the decision on the candle of the last `update`; once a candle."""
        if self.count < self.history.candles:
            self.skip()
            return Refusal(WARMING_UP, {"candles": float(self.count), "candles_needed": float(self.history.candles)})
        return self._sound(self._decide(self.values))

    def _sound(self, decision: Decision) -> Decision:
        """Return a decision whose numbers are its own and plain: it is written down later, in the words of others."""
        if decision is None:
            return None
        if not isinstance(decision, Entry | Refusal):
            raise TypeError(f"decide(v) returned {decision!r}; return an Entry, a Refusal or None")
        if isinstance(decision, Entry) and not (
            isinstance(decision.direction, Direction) and isinstance(decision.exits, ExitPlan)
        ):
            raise TypeError(f"the entry goes {decision.direction!r} with exits {decision.exits!r}; see Strategy.enter")
        numbers = decision.numbers
        if self._remembers or any(type(number) is not float for number in numbers.values()):
            return replace(decision, numbers={name: _plain(name, number) for name, number in numbers.items()})
        return decision

    def skip(self) -> None:
        """Take note of the candle of the last `update` without deciding: while warming up or replaying."""
        if self._remembers:
            self._decide(self.values)

    def adopt(self, strategy: Strategy) -> bool:
        """Take new parameters and keep the indicators; False when these differ, or the strategy has a memory."""
        if self._remembers or specs_of(strategy.indicators()) != self._specs:
            return False
        self.strategy = strategy
        self._decide = strategy.decide
        return True


def _plain(name: str, number: object) -> float:
    """Return a number of any kind as a float, NaN for None."""
    if number is None:
        return nan
    if not isinstance(number, SupportsFloat):
        raise TypeError(f"the decision says {name}={number!r}, which is no number")
    return float(number)


def specs_of(indicators: Indicators) -> tuple[object, ...]:
    """Return what identifies a set of indicators, so that equal ones can go on being used."""
    return tuple((name, indicator.spec) for name, indicator in indicators.items())


Over = Callable[[Indicator, tuple[ndarray, ...]], Any]
"""Returns an indicator over columns, measured now or remembered."""


def measure(indicators: Indicators, candles: CandleColumns, over: Over | None = None) -> Values:
    """Return the candle columns and every indicator's column under its declared name; `over` may remember some."""
    values = Values()
    fields = values.__dict__
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume, candles.open_time)
    fields.update(zip(("open", "high", "low", "close", "volume", "open_time"), columns, strict=True))
    for name, indicator in indicators.items():
        result = indicator.over(*columns) if over is None else over(indicator, columns)
        if isinstance(name, str):
            fields[name] = result
        else:
            fields.update(zip(name, result, strict=True))
    return values


def decide_columns(
    strategy: GatedStrategy, candles: CandleColumns, warmup: int | None = None, over: Over | None = None
) -> ColumnDecisions:
    """Return the decisions of a gated strategy over columns. `warmup` overrides its own number of candles."""
    indicators = strategy.indicators()
    needed = strategy.history(indicators).candles if warmup is None else warmup
    return strategy.decide_columns(measure(indicators, candles, over), needed)


def decide_each(
    strategy: Strategy, candles: CandleColumns, warmup: int | None = None, over: Over | None = None
) -> Iterator[tuple[int, Decision]]:
    """Yield (index, decision) for every candle of a strategy that decides in plain Python.

    Indicators are calculated as columns beforehand; `decide` sees the floats of one candle at a time, on one reused
    `Values`. During warm-up the strategy is called and its decision is replaced, as live.
    """
    given = iter(decide_some(strategy, candles, warmup, over))
    following = next(given, None)
    for index in range(len(candles)):
        if following is not None and following[0] == index:
            yield following
            following = next(given, None)
        else:
            yield index, None


def decide_some(
    strategy: Strategy, candles: CandleColumns, warmup: int | None = None, over: Over | None = None
) -> Iterator[tuple[int, Entry | Refusal]]:
    """Yield what `decide_each` yields, without the candles on which nothing was decided."""
    indicators = strategy.indicators()
    needed = strategy.history(indicators).candles if warmup is None else warmup
    columns: dict[str, ndarray] = measure(indicators, candles, over).__dict__
    rows = zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True)
    kind, walk = _walker(tuple(columns))
    values, first = kind(), max(0, needed - 1)
    for index, _ in walk(values, lambda v: (strategy.decide(v),), islice(rows, first), 0):
        yield index, Refusal(WARMING_UP, {"candles": float(index + 1), "candles_needed": float(needed)})
    yield from walk(values, strategy.decide, rows, first)


@lru_cache(maxsize=64)
def _walker(names: tuple[str, ...]) -> tuple[type[Values], Callable[..., Iterator[tuple[int, Any]]]]:
    """Return a class of values with exactly these names, and the loop that fills one of it row by row and decides.

    The loop yields (index, decision) where there is a decision. Both are made for the names, because half the time of
    a strategy in plain Python goes into handing it its floats. Raises ValueError for a name that is none in Python.
    """
    for name in names:
        if not name.isidentifier() or iskeyword(name):
            raise ValueError(f"an indicator is named {name!r}; a name is a letter followed by letters, digits and _")
    targets = ", ".join(f"v.{name}" for name in names)
    scope: dict[str, Any] = {}
    source = (
        "def walk(v, decide, rows, first):\n"
        f" for index, ({targets},) in enumerate(rows, first):\n"
        "  decision = decide(v)\n"
        "  if decision is not None:\n"
        "   yield index, decision\n"
    )
    exec(source, scope)
    return type("Values", (Values,), {"__slots__": names}), scope["walk"]


def value_at(values: Values, index: int) -> Values:
    """Return the floats of one candle out of columns, as a live decision would see them."""
    row = Values()
    row.__dict__.update({name: column.item(index) for name, column in values.__dict__.items()})
    return row
