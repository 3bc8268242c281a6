"""Walk-forward: optimise on a stretch, trade the next one with what came out best, go on. Only the latter counts.

R. Pardo, "The Evaluation and Optimization of Trading Strategies", 2nd ed., 2008, chapter 11; the efficiency is his
walk-forward efficiency: annual return of the test windows over that of the training windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.equity import EquityCurve
from backtest.metrics import Metrics, measure
from backtest.optimize.space import Scalar
from backtest.optimize.study import Plan, give_up_running, is_complete, open_study, ranked, rows_of, search
from backtest.optimize.trial import Outcome, Runner, Task
from backtest.replay import ReplayResult
from backtest.trades import BacktestTrade
from core.candle import DAY_MS
from core.errors import ConfigurationError
from utils.timefmt import day

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

EFFICIENCY_GOOD = 0.5
"""Pardo's rule of thumb: below half of the return in training, the parameters were fitted to noise."""
_CENT = Decimal("0.00000001")
_WALK = "walk"
"""A study without trials: what the walk in a storage is about."""
REMEDY = "start it as it was begun, name another --out, or begin anew with --fresh"


@dataclass(frozen=True, slots=True)
class Window:
    """Train on [train_ms, test_ms), trade [test_ms, end_ms)."""

    number: int
    train_ms: int
    test_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Walked:
    """A window that is finished. `values` is empty when no trial had enough trades: then nothing was traded."""

    window: Window
    values: Mapping[str, Scalar]
    inside: Metrics | None
    outside: Metrics | None
    curve: EquityCurve
    trades: tuple[BacktestTrade, ...]
    trials: int


@dataclass(frozen=True, slots=True)
class WalkForward:
    """The finished windows, the stitched curve of their test stretches and its metrics, and the efficiency."""

    windows: tuple[Walked, ...]
    curve: EquityCurve
    metrics: Metrics
    efficiency: float | None


def windows_of(start_ms: int, end_ms: int, train_ms: int, test_ms: int, *, anchored: bool) -> list[Window]:
    """Return the windows of a span: each test stretch follows its training stretch, and the next window begins one
    test stretch later (`anchored`: all training begins at the start). A last test stretch of at least half the length
    counts too. Raises ConfigurationError when not even one fits."""
    windows: list[Window] = []
    test = start_ms + train_ms
    while end_ms - test >= test_ms / 2:
        train = start_ms if anchored else test - train_ms
        windows.append(Window(len(windows) + 1, train, test, min(test + test_ms, end_ms)))
        test += test_ms
    if not windows:
        days = (end_ms - start_ms) / DAY_MS
        raise ConfigurationError(
            f"the candles span {days:.1f} days: too short for --train {train_ms / DAY_MS:g}d and --test "
            f"{test_ms / DAY_MS:g}d; shorten them or give more candles"
        )
    return windows


@dataclass(frozen=True, slots=True)
class Begun:
    """How far the walk in a storage has come: windows that are searched, and trials of the first one that is not."""

    windows: int
    trials: int

    def __bool__(self) -> bool:
        return self.windows > 0 or self.trials > 0


def take_up(
    storage: BaseStorage, windows: Sequence[Window], plan: Plan, identity: Mapping[str, Any], known_as: str = "the walk"
) -> Begun:
    """Return how far the walk in `storage` has come; begin it where there is none.

    Nobody else may work on it: trials that were under way when it was last left are given up. Raises
    ConfigurationError, with what differs, when the walk there (`known_as` to people) has another identity.
    """
    whole = {**identity, **_described(windows, plan)}
    open_study(storage, _WALK, plan, whole, known_as=known_as, remedy=REMEDY)
    for number, window in enumerate(windows):
        own = _plan_for(plan, window)
        study = _study_of(storage, window, own)
        give_up_running(study)
        if not is_complete(study, own):
            return Begun(number, len(rows_of(study, own.space)))
    return Begun(len(windows), 0)


def walk(
    windows: Sequence[Window],
    plan: Plan,
    run: Runner,
    *,
    trades_min: int,
    deposit: Decimal,
    now_ms: Callable[[], int],
    storage: BaseStorage | None = None,
    on_window: Callable[[Walked], None] = lambda walked: None,
    on_batch: Callable[[int, float | None], None] = lambda done, best: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Walked]:
    """Walk through the windows; told to stop, return those that are finished.

    The account goes on from one test stretch to the next. A trade that is open at the end of one is valued at its last
    close, without the costs of leaving it. What `storage` holds of the searches is not searched again (call `take_up`
    first): of a finished window only the best parameters are traded once more, which gives what they gave, even when
    told to stop.
    """
    done: list[Walked] = []
    for window in windows:
        own = _plan_for(plan, window)
        study = _study_of(storage, window, own)
        if not is_complete(study, own) and not search(
            study, own, run, now_ms=now_ms, on_batch=on_batch, should_stop=should_stop
        ):
            break
        rows = rows_of(study, own.space)
        order = ranked(rows, own.objectives[0], trades_min)
        values = order[0].values if order else {}
        test = Task(values, window.test_ms, window.end_ms, deposit=deposit, keeps_curve=True)
        outcomes = run([Task(values, window.train_ms, window.test_ms), test])
        done.append(_walked(window, values, outcomes, deposit, len(rows)))
        deposit = Decimal(str(float(done[-1].curve.equity[-1]))).quantize(_CENT)
        on_window(done[-1])
    return done


def stitch(walked: Sequence[Walked], deposit: Decimal) -> WalkForward:
    """Return the finished windows as one account's course."""
    curves = [one.curve for one in walked]
    curve = EquityCurve(
        np.concatenate([one.time_ms for one in curves]),
        np.concatenate([one.equity for one in curves]),
        np.concatenate([one.exposure for one in curves]),
    )
    trades = tuple(trade for one in walked for trade in one.trades)
    wallet = deposit + sum((trade.pnl for trade in trades), Decimal(0))
    signals = sum(one.outside.signals for one in walked if one.outside is not None)
    whole = ReplayResult(trades, deposit, wallet, signals, 0, {}, (), int(curve.time_ms[-1]))
    return WalkForward(tuple(walked), curve, measure(whole, curve, len(curve.time_ms)), efficiency_of(walked))


def efficiency_of(walked: Sequence[Walked]) -> float | None:
    """Return the mean daily return in test over that in training; None unless training made money."""
    pairs = [(one, one.inside, one.outside) for one in walked if one.inside is not None and one.outside is not None]
    if not pairs:
        return None
    trained = fmean(inside.return_pct * DAY_MS / (w.window.test_ms - w.window.train_ms) for w, inside, _ in pairs)
    tested = fmean(outside.return_pct * DAY_MS / (w.window.end_ms - w.window.test_ms) for w, _, outside in pairs)
    return tested / trained if trained > 0 else None


def words_of(found: WalkForward) -> list[str]:
    """Return what the walk says, a sentence each."""
    traded = [one for one in found.windows if one.outside is not None]
    gained = sum(float(one.outside.net_pnl) > 0 for one in traded if one.outside is not None)
    net = float(found.metrics.net_pnl)
    lines = [f"Out of sample: net {net:+,.2f} in {len(found.windows)} windows, {gained} of {len(traded)} gained."]
    if found.efficiency is None:
        lines.append("Not even the training windows made money on average: there is nothing here to trade.")
    elif found.efficiency <= 0:
        lines.append(
            f"Efficiency {found.efficiency:.0%}: what was gained in training was lost in test. The parameters were "
            "fitted to noise: do not trade them."
        )
    elif found.efficiency < EFFICIENCY_GOOD:
        lines.append(
            f"Efficiency {found.efficiency:.0%}: less than half of the gain in training was left in test. Weak "
            "evidence: expect little of it."
        )
    else:
        lines.append(f"Efficiency {found.efficiency:.0%}: most of the gain in training was still there in test.")
    if len(traded) < 5:
        lines.append(f"{len(traded)} windows are few: one lucky window decides. Give more candles or shorten --test.")
    empty = [one for one in found.windows if not one.values]
    if empty:
        days = ", ".join(day(one.window.test_ms) for one in empty)
        lines.append(f"No trial had enough trades before {days}: nothing was traded there.")
    return lines


def _plan_for(plan: Plan, window: Window) -> Plan:
    return replace(plan, start_ms=window.train_ms, end_ms=window.test_ms, seed=plan.seed + window.number)


def _study_of(storage: BaseStorage | None, window: Window, own: Plan) -> Study:
    return open_study(storage, f"window {window.number}", own, {})


def _described(windows: Sequence[Window], plan: Plan) -> dict[str, Any]:
    """Return what makes two walks on the same market different ones."""
    return {
        "split": [[one.train_ms, one.test_ms, one.end_ms] for one in windows],
        "sampler": plan.sampler,
        "seed": plan.seed,
        "trials": plan.trials,
        "pruning": plan.prunes,
        "batch": plan.batch,
    }


def _walked(
    window: Window, values: Mapping[str, Scalar], outcomes: Sequence[Outcome], deposit: Decimal, trials: int
) -> Walked:
    inside, outside = outcomes
    curve = outside.curve
    assert curve is not None
    if not values:
        level = np.full_like(curve.equity, float(deposit))
        return Walked(window, {}, None, None, EquityCurve(curve.time_ms, level, level * 0), (), trials)
    return Walked(window, values, inside.metrics, outside.metrics, curve, outside.trades, trials)
