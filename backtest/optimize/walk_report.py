"""The report of a walk-forward: every window in and out of sample, and the equity of the test stretches alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backtest.metrics import Metrics
from backtest.optimize.objectives import Objective
from backtest.optimize.study import Plan
from backtest.optimize.walkforward import WalkForward, words_of
from backtest.page import BLUE, GREY, Section, layout, plotly_for, write_page
from backtest.summary import rows_of
from utils.timefmt import day, to_datetime


def table_of(found: WalkForward, objective: Objective) -> list[list[str]]:
    """Return the windows as rows of text, headings first."""
    name = objective.name
    head = ["test", "parameters", f"{name} in", f"{name} out", "net in", "net out", "trades in", "trades out"]
    rows = []
    for one in found.windows:
        values = ", ".join(f"{key}={value}" for key, value in one.values.items()) or "none had enough trades"
        cells = [f"{day(one.window.test_ms)} to {day(one.window.end_ms)}", values]
        cells += [_score(one.inside, objective), _score(one.outside, objective)]
        cells += ["-" if part is None else f"{float(part.net_pnl):+,.2f}" for part in (one.inside, one.outside)]
        cells += ["-" if part is None else f"{part.trades:,}" for part in (one.inside, one.outside)]
        rows.append(cells)
    return [head, *rows]


def write_report(path: Path, title: str, found: WalkForward, plan: Plan, notes: Sequence[str] = ()) -> None:
    """Write the page."""
    go = plotly_for(path)
    objective = plan.objectives[0]
    sections = [
        Section("Equity of the test stretches", "Each was traded with what was best before it.", _equity(go, found)),
        Section("In-sample and out-of-sample", f"{objective.name} of each window.", _bars(go, found, objective)),
        Section("Windows", "", None, table_of(found, objective)),
    ]
    for dimension in plan.space.dimensions:
        if not dimension.choices:
            text = "A parameter that jumps from window to window was fitted to noise."
            sections.append(Section(f"Chosen {dimension.name}", text, _course(go, found, dimension.name)))
    write_page(path, title, (*notes, *words_of(found)), rows_of(found.metrics), sections)


def _score(metrics: Metrics | None, objective: Objective) -> str:
    value = None if metrics is None else objective.of(metrics)
    return "-" if value is None else f"{value:,.2f}"


def _equity(go: Any, found: WalkForward) -> Any:
    curve = found.curve
    at = np.unique(np.linspace(0, len(curve.equity) - 1, 3_000).astype(int))
    times = [to_datetime(int(time)).replace(tzinfo=None) for time in curve.time_ms[at]]
    figure = go.Figure(go.Scatter(x=times, y=curve.equity[at].tolist(), line={"color": BLUE, "width": 1.5}))
    for one in found.windows[1:]:
        figure.add_vline(x=to_datetime(one.window.test_ms).replace(tzinfo=None), line_color=GREY, line_dash="dot")
    return layout(figure, 400, yaxis={"title": "USDT"})


def _bars(go: Any, found: WalkForward, objective: Objective) -> Any:
    names = [day(one.window.test_ms) for one in found.windows]
    figure = go.Figure()
    inside = [None if one.inside is None else objective.of(one.inside) for one in found.windows]
    outside = [None if one.outside is None else objective.of(one.outside) for one in found.windows]
    figure.add_bar(x=names, y=inside, name="in-sample", marker_color=GREY)
    figure.add_bar(x=names, y=outside, name="out-of-sample", marker_color=BLUE)
    return layout(figure, 340, showlegend=True, xaxis={"type": "category"}, yaxis={"title": objective.name})


def _course(go: Any, found: WalkForward, name: str) -> Any:
    days = [day(one.window.test_ms) for one in found.windows]
    values = [one.values.get(name) for one in found.windows]
    line = go.Scatter(x=days, y=values, mode="lines+markers", line={"color": BLUE, "shape": "hv"})
    return layout(go.Figure(line), 200, xaxis={"type": "category"})
