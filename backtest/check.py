"""Checks that make a backtest worth believing: no decision sees the future, and none depends on where data begin."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from backtest.candles import ReplayCandles
from backtest.signals import own_interval
from core.candle import DAY_MS
from core.errors import ConfigurationError
from strategies.base import CandleColumns, Entry, GatedStrategy
from strategies.evaluate import decide_columns, decide_each
from strategies.loader import ActiveStrategy
from utils.timefmt import short

CUTS = 200
CANDLES_MAX = 50_000
"""So many of the newest candles are looked at: each cut decides on everything before it."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found: `faults` are sentences, none when it passed."""

    name: str
    symbol: str
    strategy: str
    cuts: int
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.faults


def check_lookahead(active: ActiveStrategy, candles: ReplayCandles, *, cuts: int = CUTS, seed: int = 1) -> CheckResult:
    """Compare the decision on a candle from the data up to it with the one from all data, at random candles.

    Half of the cuts are at candles that signal, where a difference costs money.
    """
    columns = _newest(own_interval(candles, active.params.interval)[0])
    whole = _sides(active, columns)
    chosen = _choose(whole, 0, cuts, seed)
    faults = []
    for index in chosen:
        cut = int(_sides(active, _part(columns, 0, index + 1))[-1])
        if cut != whole[index]:
            faults.append(
                f"{_at(columns, index)}: {_word(cut)} from the data up to it, {_word(int(whole[index]))} from all data"
            )
    return CheckResult("lookahead", candles.symbol, active.name, len(chosen), tuple(faults))


def check_warmup(active: ActiveStrategy, candles: ReplayCandles, *, cuts: int = CUTS, seed: int = 1) -> CheckResult:
    """Compare the decision from only the history that the strategy asks for with the one from all data.

    That is what a restart of the live trader does: it reads this much and goes on.
    """
    interval = active.params.interval
    columns = _newest(own_interval(candles, interval)[0])
    strategy = active.make()
    history = strategy.history(strategy.indicators())
    first = int(columns.open_time[0])
    enough = first + -first % DAY_MS if history.day_anchored else first
    earliest = max(history.candles, int(np.searchsorted(columns.open_time, enough)))
    whole = _sides(active, columns)
    chosen = _choose(whole, earliest, cuts, seed)
    faults = []
    for index in chosen:
        start_ms = history.start_before(int(columns.open_time[index]), interval)
        start = int(np.searchsorted(columns.open_time, start_ms))
        part = int(_sides(active, _part(columns, start, index + 1))[-1])
        if part != whole[index]:
            faults.append(
                f"{_at(columns, index)}: {_word(part)} from {index + 1 - start} candles, "
                f"{_word(int(whole[index]))} from all data"
            )
    return CheckResult("warmup", candles.symbol, active.name, len(chosen), tuple(faults))


def _sides(active: ActiveStrategy, columns: CandleColumns) -> NDArray[np.int8]:
    strategy = active.make()
    if isinstance(strategy, GatedStrategy):
        return np.asarray(decide_columns(strategy, columns).sides, dtype=np.int8)
    sides = np.zeros(len(columns), dtype=np.int8)
    for index, decision in decide_each(strategy, columns):
        if isinstance(decision, Entry):
            sides[index] = decision.direction.sign
    return sides


def _choose(sides: NDArray[np.int8], earliest: int, cuts: int, seed: int) -> list[int]:
    """Return random candles from `earliest` on, half of them with a signal where there are so many."""
    if earliest >= len(sides):
        raise ConfigurationError("too few candles for this check; give a longer span")
    rng = Random(seed)
    signals = (np.flatnonzero(sides[earliest:]) + earliest).tolist()
    chosen = set(rng.sample(signals, min(len(signals), cuts // 2)))
    others = [index for index in range(earliest, len(sides)) if index not in chosen]
    chosen.update(rng.sample(others, min(len(others), cuts - len(chosen))))
    return sorted(chosen)


def _newest(columns: CandleColumns) -> CandleColumns:
    return _part(columns, max(0, len(columns) - CANDLES_MAX), len(columns))


def _part(columns: CandleColumns, start: int, end: int) -> CandleColumns:
    return CandleColumns(*(getattr(columns, name)[start:end] for name in CandleColumns.__slots__))


def _at(columns: CandleColumns, index: int) -> str:
    return f"candle of {short(int(columns.open_time[index]))}"


def _word(side: int) -> str:
    return {1: "long", -1: "short"}.get(side, "no signal")
