"""The report of an optimisation: history, what mattered, how it did on unseen candles, and how much of it is luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from backtest.metrics import Metrics
from backtest.optimize.conclude import Conclusion, words_of
from backtest.optimize.objectives import Objective
from backtest.optimize.space import Dimension, Space
from backtest.optimize.study import Row
from backtest.page import BLUE, GREY, RED, Section, layout, plotly_for, write_page
from backtest.summary import rows_of
from utils.timefmt import to_datetime

_BINS = 12
_COLOURS = ["#d1495b", "#f2f2f2", "#2a9d6e"]


def write_report(  # noqa: PLR0917 - everything that is shown
    path: Path,
    title: str,
    rows: Sequence[Row],
    space: Space,
    objectives: Sequence[Objective],
    weights: Mapping[str, float],
    found: Conclusion,
    notes: Sequence[str] = (),
) -> None:
    """Write the page; `weights` says how much each parameter decides, largest first."""
    go = plotly_for(path)
    first = objectives[0]
    sections = [Section("History", "Every trial and the best so far.", _history(go, rows, first))]
    if found.front:
        text = "No other trial beats these in every objective; the ringed one is balanced between them."
        sections.append(Section("Pareto front", text, _pareto(go, rows, objectives, found)))
    if weights:
        sections.append(
            Section("Importance", "How much of the score each parameter decides (PED-ANOVA).", _weights(go, weights))
        )
    by_name = {one.name: one for one in space.dimensions}
    pair = [*weights, *(name for name in by_name if name not in weights)][:2]
    if len(pair) == 2:
        text = f"Mean {first.name} by the two parameters that matter most: better a broad good region than a peak."
        figure = _heat(go, rows, by_name[pair[0]], by_name[pair[1]], first)
        sections.append(Section("Heat map", text, figure))
    if found.outside is not None and found.outside.metrics is not None:
        sections.append(_both(found, found.outside.metrics))
        text = "The best trials where they were chosen, and on candles that no trial saw. Far below: chosen by luck."
        sections.append(Section("In-sample and out-of-sample", text, _pairs(go, found, first)))
        sections.append(Section("Equity", "Grey: in-sample. Blue: out-of-sample.", _equity(go, found)))
    if found.permutations is not None:
        text = f"{first.name} of the same parameters on markets drawn by lot; the line is the real market."
        sections.append(Section("Permutation test", text, _permutations(go, found)))
    tiles = [(name, f"{value}") for name, value in found.best.values.items()]
    tiles += [(one.name, f"{score:,.4g}") for one, score in zip(objectives, found.best.scores, strict=True)]
    write_page(path, title, (*notes, *words_of(found)), tiles, sections)


def _scored(rows: Sequence[Row], objective: Objective) -> list[Row]:
    return [row for row in rows if row.scores and row.scores[0] != objective.nothing]


def _history(go: Any, rows: Sequence[Row], objective: Objective) -> Any:
    whole = _scored(rows, objective)
    numbers, scores = [row.number for row in whole], [row.scores[0] for row in whole]
    best = list(accumulate(scores, max if objective.is_maximised else min))
    figure = go.Figure()
    figure.add_scatter(x=numbers, y=scores, mode="markers", marker={"color": GREY, "size": 5}, name="trial")
    figure.add_scatter(x=numbers, y=best, mode="lines", line={"color": BLUE, "shape": "hv"}, name="best")
    return layout(figure, xaxis={"title": "trial"}, yaxis={"title": objective.name})


def _pareto(go: Any, rows: Sequence[Row], objectives: Sequence[Objective], found: Conclusion) -> Any:
    whole = _scored(rows, objectives[0])
    figure = go.Figure()
    for part, colour, size in ((whole, GREY, 5), (found.front, RED, 8)):
        figure.add_scatter(
            x=[row.scores[0] for row in part],
            y=[row.scores[1] for row in part],
            mode="markers",
            marker={"color": colour, "size": size},
            text=[f"trial {row.number}: {dict(row.values)}" for row in part],
        )
    figure.add_scatter(
        x=[found.best.scores[0]],
        y=[found.best.scores[1]],
        mode="markers",
        marker={"symbol": "circle-open", "size": 18, "color": BLUE, "line": {"width": 2}},
    )
    return layout(figure, 420, xaxis={"title": objectives[0].name}, yaxis={"title": objectives[1].name})


def _weights(go: Any, weights: Mapping[str, float]) -> Any:
    names = list(weights)[::-1]
    bars = go.Bar(x=[weights[name] for name in names], y=names, orientation="h", marker_color=BLUE)
    return layout(go.Figure(bars), 120 + 34 * len(names), yaxis={"automargin": True})


def _heat(go: Any, rows: Sequence[Row], across: Dimension, up: Dimension, objective: Objective) -> Any:
    whole = _scored(rows, objective)
    x_names, x_of = _bins(across)
    y_names, y_of = _bins(up)
    sums, counts = np.zeros((len(y_names), len(x_names))), np.zeros((len(y_names), len(x_names)))
    for row in whole:
        at = y_of(row.values[up.name]), x_of(row.values[across.name])
        sums[at] += row.scores[0]
        counts[at] += 1
    mean = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    cells = [[None if np.isnan(value) else float(value) for value in line] for line in mean]
    colours = _COLOURS if objective.is_maximised else _COLOURS[::-1]
    tried = go.Heatmap(
        x=x_names, y=y_names, z=cells, customdata=counts.tolist(), colorscale=colours,
        hovertemplate="%{x}, %{y}: %{z:.4g} (%{customdata} trials)<extra></extra>",
    )  # fmt: skip
    axes = {"xaxis": {"title": across.name, "type": "category"}, "yaxis": {"title": up.name, "type": "category"}}
    return layout(go.Figure(tried), 420, **axes)


def _bins(one: Dimension) -> tuple[list[str], Any]:
    """Return the names of a parameter's cells, and the function that finds the cell of a value."""
    grid = one.grid()
    if grid and len(grid) <= 2 * _BINS:
        places = {value: at for at, value in enumerate(grid)}
        return [str(value) for value in grid], lambda value: places.get(value, len(places) - 1)
    spread = np.geomspace if one.is_log else np.linspace
    edges = spread(one.low, one.high, _BINS + 1)
    names = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)]
    return names, lambda value: int(np.clip(np.searchsorted(edges, value, side="right") - 1, 0, _BINS - 1))


def _both(found: Conclusion, outside: Metrics) -> Section:
    assert found.inside.metrics is not None
    pairs = zip(rows_of(found.inside.metrics), rows_of(outside), strict=False)
    table = [["", "in-sample", "out-of-sample"], *([name, value, other] for (name, value), (_, other) in pairs)]
    return Section("Side by side", "The best trial on the span of the search and on what was held out.", None, table)


def _pairs(go: Any, found: Conclusion, objective: Objective) -> Any:
    inside = [row.scores[0] for row, _ in found.pairs]
    outside = [score for _, score in found.pairs]
    figure = go.Figure()
    names = [f"trial {row.number}" for row, _ in found.pairs]
    figure.add_bar(x=names, y=inside, name="in-sample", marker_color=GREY)
    figure.add_bar(x=names, y=outside, name="out-of-sample", marker_color=BLUE)
    return layout(figure, 340, showlegend=True, yaxis={"title": objective.name})


def _equity(go: Any, found: Conclusion) -> Any:
    figure, base = go.Figure(), 0.0
    for outcome, colour in ((found.inside, GREY), (found.outside, BLUE)):
        if outcome is None or outcome.curve is None or outcome.metrics is None:
            continue
        curve = outcome.curve
        at = np.unique(np.linspace(0, len(curve.equity) - 1, 1_500).astype(int))
        gains = curve.equity[at] - float(outcome.metrics.deposit) + base
        times = [to_datetime(int(time)).replace(tzinfo=None) for time in curve.time_ms[at]]
        figure.add_scatter(x=times, y=gains.tolist(), line={"color": colour, "width": 1.5})
        base = float(gains[-1])
    return layout(figure, 340, yaxis={"title": "gain, USDT"})


def _permutations(go: Any, found: Conclusion) -> Any:
    assert found.permutations is not None
    figure = go.Figure(go.Histogram(x=list(found.permutations.scores), nbinsx=50, marker_color=GREY))
    figure.add_vline(x=found.permutations.real, line_color=RED, line_width=2)
    return layout(figure, yaxis={"title": "markets"})
