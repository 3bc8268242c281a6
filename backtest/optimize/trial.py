"""One trial: a backtest of the strategy with other parameters on one span. Pure: the same task, the same outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial

import numpy as np
from pydantic import ValidationError

from backtest.candles import ReplayCandles
from backtest.equity import EquityCurve, equity_curve
from backtest.metrics import Metrics, daily_returns, measure
from backtest.optimize.luck import Moments, moments
from backtest.optimize.objectives import Objective
from backtest.optimize.shuffle import drawn_by_lot
from backtest.optimize.space import Scalar, Space
from backtest.parameters import HISTORY_MS, history_of
from backtest.replay import ReplayResult
from backtest.run import run
from backtest.settings import ReplaySettings
from backtest.trades import BacktestTrade
from core.errors import ConfigurationError
from core.limits import TradingConfig
from simulator.market.model import FundingPoint
from strategies.base import CandleColumns
from strategies.loader import ActiveStrategy
from strategies.memory import ColumnMemory


@dataclass(frozen=True, slots=True)
class World:
    """What all trials share: the market and the strategy as its YAML has it.

    `history_ms` is what is read before a span so that indicators start warm.
    """

    candles: tuple[ReplayCandles, ...]
    active: tuple[ActiveStrategy, ...]
    config: TradingConfig
    settings: ReplaySettings
    objectives: tuple[Objective, ...]
    trades_min: int
    funding: Mapping[str, tuple[FundingPoint, ...]] = field(default_factory=dict)
    history_ms: int = HISTORY_MS

    @property
    def start_ms(self) -> int:
        return min(int(one.open_time[0]) for one in self.candles)

    @property
    def end_ms(self) -> int:
        return max(int(one.open_time[-1]) for one in self.candles) + 60_000


@dataclass(frozen=True, slots=True)
class Task:
    """What to try. Signals count in [start_ms, end_ms).

    At each of `parts` (times) the first objective so far is compared with the limit of the same place: a worse one
    ends the trial; None lets every trial pass. `deposit` replaces the one of the settings. `lot` is the seed of a
    market drawn by lot, None the real one. `keeps_curve` asks for the equity curve too.
    """

    values: Mapping[str, Scalar]
    start_ms: int
    end_ms: int
    parts: tuple[int, ...] = ()
    limits: tuple[float | None, ...] = ()
    deposit: Decimal | None = None
    lot: int | None = None
    keeps_curve: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task. `scores` has one number an objective; `partial` the first objective at the parts that were
    reached. `pruned` is True for a trial that was ended early; `error` says why there is no result at all."""

    scores: tuple[float, ...] = ()
    partial: tuple[float, ...] = ()
    pruned: bool = False
    metrics: Metrics | None = None
    moments: Moments | None = None
    curve: EquityCurve | None = None
    trades: tuple[BacktestTrade, ...] = ()
    error: str | None = None

    @property
    def has_result(self) -> bool:
        return self.metrics is not None and not self.pruned


class Bench:
    """Runs tasks in one world, one after the other, and keeps what tasks on the same span can share."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._span: tuple[int, int] | None = None
        self._candles: tuple[ReplayCandles, ...] = ()
        self._memory = ColumnMemory()

    def run(self, task: Task) -> Outcome:
        """Run a task. Parameters that the strategy refuses are an outcome with an error, not an exception."""
        try:
            active = [with_values(one, task.values) for one in self.world.active]
        except ConfigurationError as error:
            return Outcome(error=str(error))
        settings = self.world.settings
        if task.deposit is not None:
            settings = replace(settings, deposit=task.deposit)
        candles, memory = self._on(task)
        watch = _Watch(task, self.world, candles, settings) if task.parts else None
        done = run(
            candles,
            active,
            self.world.config,
            settings,
            start_ms=task.start_ms,
            funding=self.world.funding,
            on_day=watch,
            memory=memory,
        )
        partial = tuple(watch.seen) if watch else ()
        pruned = watch is not None and watch.is_pruned
        return Outcome(
            scores=scores_of(done.metrics, self.world.objectives, 0 if pruned else self.world.trades_min),
            partial=partial,
            pruned=pruned,
            metrics=done.metrics,
            moments=moments(daily_returns(done.curve, float(settings.deposit))),
            curve=done.curve if task.keeps_curve else None,
            trades=done.result.trades if task.keeps_curve else (),
        )

    def _on(self, task: Task) -> tuple[tuple[ReplayCandles, ...], ColumnMemory | None]:
        if self._span != (task.start_ms, task.end_ms):
            self._span = task.start_ms, task.end_ms
            whole = (cut(one, task.start_ms - self.world.history_ms, task.end_ms) for one in self.world.candles)
            self._candles = tuple(one for one in whole if len(one))
            self._memory = ColumnMemory()
        if task.lot is None:
            return self._candles, self._memory
        # Symbols of one market move together: one lot for all of them.
        return tuple(drawn_by_lot(one, task.lot) for one in self._candles), None


class _Watch:
    """Looks at a running trial at the end of each part, and ends it where it is worse than the limit."""

    def __init__(self, task: Task, world: World, candles: Sequence[ReplayCandles], settings: ReplaySettings) -> None:
        self.seen: list[float] = []
        self.is_pruned = False
        self._task, self._world, self._candles, self._settings = task, world, candles, settings

    def __call__(self, time_ms: int, trades: Sequence[BacktestTrade]) -> bool:
        at, task = len(self.seen), self._task
        if at >= len(task.parts) or time_ms < task.parts[at]:
            return False
        objective = self._world.objectives[0]
        deposit = self._settings.deposit
        finished = tuple(trades)
        wallet = deposit + sum((trade.pnl for trade in finished), Decimal(0))
        so_far = ReplayResult(finished, deposit, wallet, 0, 0, {}, (), time_ms)
        curve = equity_curve(finished, self._candles, float(deposit), task.start_ms, time_ms)
        score = scores_of(measure(so_far, curve, len(curve.time_ms)), (objective,), 0)[0]
        self.seen.append(score)
        limit = task.limits[at] if at < len(task.limits) else None
        self.is_pruned = limit is not None and objective.is_worse(score, limit)
        return self.is_pruned


def longest_history(strategies: Sequence[ActiveStrategy], space: Space) -> int:
    """Return how much is to be read before a span so that every trial starts warm, in milliseconds.

    Of each range the end counts that needs more, given those chosen before it: histories grow with a window or with
    the interval, and not in between.
    """

    def needs(one: ActiveStrategy, values: Mapping[str, Scalar]) -> int:
        try:
            return history_of(with_values(one, values))
        except ConfigurationError:  # such a trial fails, and needs nothing
            return HISTORY_MS

    longest = HISTORY_MS
    for one in strategies:
        chosen: dict[str, Scalar] = {}
        for dimension in space.dimensions:
            ends = dimension.choices or (dimension.value(dimension.low), dimension.value(dimension.high))
            tried = [{**chosen, dimension.name: end} for end in ends]
            chosen = max(tried, key=partial(needs, one))
            longest = max(longest, needs(one, chosen))
    return longest


def with_values(active: ActiveStrategy, values: Mapping[str, Scalar]) -> ActiveStrategy:
    """Return the strategy with other parameters; raises ConfigurationError in one line where it refuses them."""
    model = type(active.params)
    try:
        params = model.model_validate({**active.params.model_dump(), **values})
        changed = ActiveStrategy(active.name, active.symbol, active.strategy_class, params)
        changed.make().indicators()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{where}: {first['msg']}" if where else first["msg"]) from None
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ConfigurationError(f"{active.name} fails with these values: {error}") from None
    return changed


def scores_of(metrics: Metrics, objectives: Sequence[Objective], trades_min: int) -> tuple[float, ...]:
    """Return one number an objective; `nothing` where there is none or where too few trades stand behind it."""
    if metrics.trades < trades_min:
        return tuple(one.nothing for one in objectives)
    values = (one.of(metrics) for one in objectives)
    return tuple(
        one.nothing if value is None or not np.isfinite(value) else value
        for one, value in zip(objectives, values, strict=True)
    )


def cut(candles: ReplayCandles, start_ms: int, end_ms: int) -> ReplayCandles:
    """Return the candles that open in [start_ms, end_ms), without copying them."""
    first, last = (int(at) for at in np.searchsorted(candles.open_time, (start_ms, end_ms)))
    part = slice(first, last)
    columns = candles.columns
    return replace(
        candles,
        open_time=candles.open_time[part],
        open=candles.open[part],
        high=candles.high[part],
        low=candles.low[part],
        close=candles.close[part],
        columns=CandleColumns(
            columns.open[part],
            columns.high[part],
            columns.low[part],
            columns.close[part],
            columns.volume[part],
            columns.open_time[part],
        ),
    )


Runner = Callable[[Sequence[Task]], list[Outcome]]
"""Runs tasks and returns their outcomes in the same order."""
