"""The parts of the page of backtests."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import charts, runs
from dashboard.formatting import result, span
from dashboard.runs import Curve, Run
from dashboard.sections import ways
from dashboard.style import SERIES
from dashboard.tables import panel, table
from database.runs import RunBook
from utils.timefmt import day, short, to_ms

COMMAND = "uv run python main.py backtest vwap_reversion --data DIR"
ALL = "All strategies"


def header() -> None:
    st.html(
        '<div class="ft"><div class="ft-head"><span class="brand">Backtests</span><span class="fill"></span>'
        f"{ways('Backtests')}</div></div>"
    )


def none_stored(reason: str) -> None:
    st.html(
        '<div class="ft"><div class="hero"><h1>No backtest yet</h1>'
        f'<div class="muted">{span(reason)}</div><div class="muted">Each one that is run is stored:</div>'
        f"<code>{COMMAND}</code></div></div>"
    )


def choice(book: RunBook) -> list[int]:
    """Show the newest runs; return those that were chosen to be compared."""
    every = runs.runs(book)
    strategies = sorted({name for run in every for name in run.row.strategies.split(",")})
    narrow, wide = st.columns([1, 3])
    with narrow:
        strategy = st.selectbox("Strategy", [ALL, *strategies], key="strategy")
    with wide:
        listed = every if strategy in {ALL, None} else runs.runs(book, strategy)
        by_number = {run.number: run for run in listed}
        numbers = st.multiselect(
            "Compare",
            list(by_number),
            default=list(by_number)[:2],
            format_func=lambda number: _label(by_number[number]),
            max_selections=runs.COMPARED_MAX,
            placeholder="Choose backtests",
            key=f"compare {strategy}",
        )
    _list(listed)
    return numbers


def comparison(compared: Sequence[Run]) -> None:
    """Show the curves of the runs, their numbers and what they differ in."""
    if not compared:
        st.html('<div class="ft"><div class="none">Choose one or more to see their curves and numbers.</div></div>')
        return
    _curves(compared)
    heads = ("", *(f"{_dot(place)} #{run.number}|r" for place, run in enumerate(compared)))
    numbers = [(span(name, "muted"), *(span(cell, "num") for cell in cells)) for name, *cells in _told(compared)]
    st.html(_scrolled("Side by side", table(heads, numbers, "")))
    if len(compared) > 1:
        st.html(_scrolled("What they differ in", table(heads, _apart(compared), "Nothing: the same run twice.")))
    st.html(panel("Files", "".join(_files(run) for run in compared)))


def _dot(place: int) -> str:
    """The colour of the run's curve."""
    return f'<i class="dot" style="background:{SERIES[place % len(SERIES)]}"></i>'


def _list(listed: Sequence[Run]) -> None:
    head = ("#", "Run", "Span|wide", "Trades|r wide", "Sharpe|r", "Drawdown|r wide", "Net|r")
    rows = [
        (
            span(str(run.number), "num muted"),
            _what(run),
            span(f"{day(to_ms(run.row.start_time))} to {day(to_ms(run.row.end_time))}", "time"),
            span(f"{run.metrics.get('trades', 0):,}", "num"),
            span(runs.sharpe(run.metrics), "num"),
            span(runs.drawdown(run.metrics), "num"),
            result(run.row.net_pnl),
        )
        for run in listed
    ]
    title = f"Stored backtests · {len(listed)}" if len(listed) < runs.LISTED else f"The newest {len(listed)} backtests"
    st.html(panel(title, f'<div class="tall">{table(head, rows, "None of this strategy.")}</div>'))


def _what(run: Run) -> str:
    row = run.row
    early = "" if row.is_complete else f" {span('stopped early', 'chip')}"
    under = f"{_few(row.symbols)} · {short(to_ms(row.created_time))[:16]}"
    return f'<div>{span(row.strategies, "sym")}{early}</div><div class="sub">{span(under, title=row.symbols)}</div>'


def _few(symbols: str) -> str:
    names = symbols.split(",")
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]} and {len(names) - 2} more"


def _label(run: Run) -> str:
    return f"#{run.number} {run.row.strategies} {_few(run.row.symbols)}"


def _told(compared: Sequence[Run]) -> list[tuple[str, ...]]:
    return runs.side_by_side(compared)


def _apart(compared: Sequence[Run]) -> list[tuple[str, ...]]:
    return [(span(name, "muted name"), *(span(cell) for cell in cells)) for name, *cells in runs.apart(compared)]


def _curves(compared: Sequence[Run]) -> None:
    found = [runs.curve(run) for run in compared]
    curves = tuple((place, one) for place, one in enumerate(found) if isinstance(one, Curve))
    missing = [(run, one) for run, one in zip(compared, found, strict=True) if isinstance(one, str)]
    with st.container(border=True, key="curves-card"):
        st.html('<div class="ft"><h3 class="lone">Equity, gain on the deposit in percent</h3></div>')
        if curves:
            st.plotly_chart(charts.gains_figure(curves), config=charts.CONFIG, key="curves-chart")
        for run, why in missing:
            st.html(f'<div class="ft"><div class="none why">{span(f"No curve of #{run.number}: {why}.")}</div></div>')


def _scrolled(title: str, body: str) -> str:
    return panel(title, f'<div class="across">{body}</div>')


def _files(run: Run) -> str:
    note = "" if run.overwritten_by is None else f" (overwritten by backtest {run.overwritten_by})"
    place = span(run.row.report, "path")
    return (
        f'<div class="item"><div class="why">{span(f"#{run.number}", "sym")} {place}{span(note, "muted")}</div></div>'
    )
