"""What a finished search is worth: the best trial once more, on candles that no trial saw, and against luck."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from backtest.metrics import Metrics
from backtest.optimize.luck import (
    DeflatedSharpe,
    deflated_sharpe,
    deflated_words,
    percent,
    permutation_p,
    verdict,
)
from backtest.optimize.objectives import Objective
from backtest.optimize.space import Scalar
from backtest.optimize.study import Row, balanced, pareto_front, ranked
from backtest.optimize.trial import Outcome, Runner, Task

COMPARED = 10
"""So many of the best trials are traded on the candles that were held out."""
_CHUNK = 16


@dataclass(frozen=True, slots=True)
class Permutations:
    """`p` is the share of markets drawn by lot on which the same parameters did at least as well as on the real one."""

    p: float
    count: int
    real: float
    scores: tuple[float, ...]
    is_unseen: bool
    trades: int


@dataclass(frozen=True, slots=True)
class Conclusion:
    """`inside` is the best trial on the span of the search, `outside` on what was held out (None: nothing was).

    `pairs` has the scores inside and outside of the best trials, best first.
    """

    best: Row
    inside: Outcome
    outside: Outcome | None
    deflated: DeflatedSharpe | None
    permutations: Permutations | None
    pairs: tuple[tuple[Row, float], ...]
    front: tuple[Row, ...]


def conclude(
    rows: Sequence[Row],
    objectives: tuple[Objective, ...],
    trades_min: int,
    spans: tuple[int, int, int],
    run: Runner,
    *,
    permutations: int,
    seed: int,
    on_step: Callable[[], None] = lambda: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Conclusion | None:
    """Return what to think of the best trial; None when no trial has enough trades.

    `spans` are the start, the end of what trials saw, and the end of all candles. With several objectives the best
    one is the balanced point of the Pareto front.
    """
    order = ranked(list(rows), objectives[0], trades_min)
    if not order:
        return None
    front = pareto_front(order, objectives) if len(objectives) > 1 else []
    best = balanced(front, objectives) if front else order[0]
    start, end, last = spans
    (inside,) = run([Task(best.values, start, end, keeps_curve=True)])
    outside, pairs = None, []
    if last > end:
        compared = list({row.number: row for row in (best, *order[:COMPARED])}.values())
        found = run([Task(row.values, end, last, keeps_curve=row is best) for row in compared])
        outside = found[0]
        pairs = [
            (row, score)
            for row, one in zip(compared, found, strict=True)
            if one.metrics is not None and (score := objectives[0].of(one.metrics)) is not None
        ]
    sharpes = [row.daily_sharpe for row in rows if row.daily_sharpe is not None]
    tries = len({tuple(row.values.items()) for row in rows if row.state != "failed"})
    unseen = outside is not None
    tested = outside if outside is not None else inside
    span = (end, last) if unseen else (start, end)
    return Conclusion(
        best,
        inside,
        outside,
        deflated_sharpe(inside.moments, sharpes, tries),
        _permute(tested, best.values, objectives[0], span, run, permutations, seed, unseen, on_step, should_stop),
        tuple(pairs),
        tuple(front),
    )


def _permute(  # noqa: PLR0917
    tested: Outcome,
    values: Mapping[str, Scalar],
    objective: Objective,
    span: tuple[int, int],
    run: Runner,
    count: int,
    seed: int,
    unseen: bool,
    on_step: Callable[[], None],
    should_stop: Callable[[], bool],
) -> Permutations | None:
    """Trade the same parameters on markets drawn by lot; None without a number to compare."""
    real = None if tested.metrics is None else objective.of(tested.metrics)
    if real is None or tested.metrics is None or not tested.metrics.trades or count < 1:
        return None
    scores: list[float] = []
    for first in range(0, count, _CHUNK):
        if should_stop():
            break
        lots = range(first, min(first + _CHUNK, count))
        for outcome in run([Task(values, *span, lot=seed * 1_000_003 + lot) for lot in lots]):
            score = None if outcome.metrics is None else objective.of(outcome.metrics)
            scores.append(objective.nothing if score is None else score)
        on_step()
    if not scores:
        return None
    p = permutation_p(real, scores, more_is_better=objective.is_maximised)
    return Permutations(p, len(scores), real, tuple(scores), unseen, tested.metrics.trades)


def permutation_words(found: Permutations | None) -> str:
    """Return the permutation test as a sentence."""
    if found is None:
        return "The permutation test was left out: there is nothing to compare."
    where = "on the candles that were held out" if found.is_unseen else "on the very candles it was chosen on"
    text = (
        f"On {found.count:,} markets whose every minute goes up or down by lot, the same parameters do at least as "
        f"well in {percent(found.p)} of cases ({where}, {_trades(found.trades)}): {verdict(found.p)}."
    )
    if not found.is_unseen:
        text += " Parameters look good where they were chosen: hold candles out (--holdout) for an honest answer."
    return text


def outside_words(inside: Metrics, outside: Metrics | None) -> str:
    """Return how the best trial did on candles that no trial saw, as a sentence."""
    if outside is None:
        return "No candles were held out: nothing is known about candles that the search did not see."
    text = (
        f"Where it was chosen: net {float(inside.net_pnl):+,.2f}, Sharpe {_ratio(inside.sharpe)}, "
        f"{_trades(inside.trades)}; on candles that no trial saw: net {float(outside.net_pnl):+,.2f}, "
        f"Sharpe {_ratio(outside.sharpe)}, {_trades(outside.trades)}"
    )
    if float(inside.net_pnl) > 0 >= float(outside.net_pnl):
        return text + ": the gain did not last."
    return text + "."


def words_of(found: Conclusion) -> list[str]:
    """Return what is to be thought of the best trial, a sentence each."""
    lines = [deflated_words(found.deflated), permutation_words(found.permutations)]
    if found.inside.metrics is not None:
        lines.append(outside_words(found.inside.metrics, found.outside.metrics if found.outside else None))
    return lines


def _ratio(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _trades(count: int) -> str:
    return "1 trade" if count == 1 else f"{count:,} trades"
