"""The parts of the page, each drawn from one read."""

from __future__ import annotations

from contextlib import AbstractContextManager

import streamlit as st

from core.clock import SystemClock
from core.errors import TraderError
from dashboard import charts, queries, source, tables, words
from dashboard.formatting import age, exact, money, percent, result, signed, span
from dashboard.heartbeat import Heartbeat, read_heartbeat
from dashboard.queries import Overview
from database.repository import Repository
from utils.timefmt import duration, short

START_COMMAND = "uv run python main.py"
PAGES = {"Trading": "./", "Backtests": "backtests"}


def empty_state(reason: str) -> None:
    """Shown until there is a database: what to do, and that the page will notice."""
    st.html(
        '<div class="ft"><div class="hero"><h1>Nothing to show yet</h1>'
        f'<div class="muted">{span(reason)}</div>'
        f'<div class="muted">Start the trader with</div><code>{START_COMMAND}</code>'
        '<div class="muted" style="margin-top:1rem">This page fills itself as soon as it runs.</div></div></div>'
    )


def refuse_open_door(address: str | None) -> None:
    """Shown instead of the page when the server listens beyond this machine without anybody's say-so."""
    st.html(
        '<div class="ft"><div class="hero"><h1>This page is for this machine only</h1>'
        f'<div class="muted">It has no login, but listens on {span(address or "all addresses")}. Start it in '
        "the project's folder (whose .streamlit/config.toml says 127.0.0.1), or put it behind a login and set "
        f"{source.REMOTE_SETTING}=yes.</div></div></div>"
    )


def header(repository: Repository) -> None:
    overview = queries.overview(repository)
    beat = read_heartbeat(source.status_dir(), SystemClock().wall_ms())
    mode = overview.environment
    market = "" if overview.account is None else f"market {short(overview.account.event_time_ms)} UTC"
    banners = "".join(f'<div class="banner">{span(halt)}</div>' for halt in overview.halts)
    if beat is not None and not beat.is_stale:
        banners += "".join(f'<div class="banner red">{span(reason)}</div>' for reason in beat.reasons)
    st.html(
        '<div class="ft"><div class="ft-head"><span class="brand">Futures Trader</span>'
        f"{span(mode, f'badge mode-{mode}')}{_pulse(beat)}<span class='fill'></span>{ways('Trading')}"
        f"{span(market, 'time')}</div>{banners}</div>"
    )
    st.html(_kpis(overview))


def ways(here: str) -> str:
    """The links between the pages, without the one that is open."""
    links = (
        span(name, "here") if name == here else f'<a href="{address}">{name}</a>' for name, address in PAGES.items()
    )
    return f'<nav class="ways">{"".join(links)}</nav>'


def _pulse(beat: Heartbeat | None) -> str:
    if beat is None:
        return f'<span class="pill" data-testid="pulse"><span class="dot grey"></span>{span("no heartbeat")}</span>'
    title = f"version {beat.version}, up {duration(beat.uptime_s * 1000)}"
    if beat.is_stale:
        dot, text = "red", f"no heartbeat for {age(beat.age_ms)}"
    else:
        text = f"{'healthy' if beat.health == 'green' else 'unhealthy'} · heartbeat {age(beat.age_ms)}"
        text += "" if beat.age_ms < 1_500 else " ago"
        dot = "green" if beat.health == "green" else "red"
    return f'<span class="pill" data-testid="pulse"><span class="dot {dot}"></span>{span(text, title=title)}</span>'


def _kpis(overview: Overview) -> str:
    account = overview.account
    equity = None if account is None else account.equity
    change = None
    if equity is not None and overview.start_equity:
        change = equity / overview.start_equity - 1
    cards = (
        _kpi(
            "equity", "Equity", span(money(equity), "num", exact(equity)), f"{percent(change, sign=True)} since start"
        ),
        _kpi("day-pnl", "Today", result(overview.day_pnl), f"net of closed trades {signed(overview.net_pnl)}"),
        _kpi(
            "open-positions",
            "Open positions",
            span(str(overview.open_positions), "num"),
            f"{result(overview.unrealized_pnl)} unrealised",
        ),
        _kpi(
            "win-rate",
            "Win rate",
            span(percent(overview.win_rate, places=1), "num"),
            f"{overview.wins} won, {overview.losses} lost · drawdown {percent(overview.drawdown)}",
        ),
    )
    return f'<div class="ft"><div class="kpis">{"".join(cards)}</div></div>'


def _kpi(key: str, label: str, value: str, note: str) -> str:
    return (
        f'<div class="card kpi" data-testid="kpi-{key}"><div class="label">{label}</div>'
        f'<div class="value">{value}</div><div class="note">{note}</div></div>'
    )


def equity_card(repository: Repository) -> None:
    with st.container(border=True, key="equity-card"):
        with _card_head("Equity"):
            chosen = st.segmented_control(
                "Range", list(queries.RANGES_MS), default="All", key="equity-range", label_visibility="collapsed"
            )
        _equity_chart(repository, chosen or "All")


def candle_card(repository: Repository) -> None:
    symbols = repository.symbols()
    if not symbols:
        return
    with st.container(border=True, key="candle-card"):
        with _card_head("Candles, entries and exits"):
            if st.session_state.get("symbol") not in symbols:
                st.session_state["symbol"] = _best_symbol(repository, symbols)
            symbol = st.selectbox("Symbol", symbols, key="symbol", label_visibility="collapsed", width=170)
        _candle_chart(repository, symbol)


def _card_head(title: str) -> AbstractContextManager[object]:
    """The first line of a card: its title on the left; what is drawn inside goes to the right."""
    line = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    line.html(f'<div class="ft"><h3 class="lone">{title}</h3></div>', width="content")
    return line


def open_positions(repository: Repository) -> None:
    st.html(tables.open_positions(queries.positions(repository)))


def closed_positions(repository: Repository) -> None:
    st.html(tables.closed_positions(queries.closed(repository)))


def feed(repository: Repository) -> None:
    st.html(tables.feed(queries.feed(repository)))


def orders(repository: Repository) -> None:
    st.html(tables.orders(queries.orders(repository)))


def results(repository: Repository) -> None:
    st.html(tables.results("By strategy", queries.by_strategy(repository)))
    st.html(tables.results("By symbol", queries.by_symbol(repository)))


def _equity_chart(repository: Repository, range_name: str) -> None:
    curve = queries.equity(repository, range_name)
    if len(curve) < 2:
        st.html('<div class="ft"><div class="none">The curve starts with the second valuation.</div></div>')
        return
    st.plotly_chart(charts.equity_figure(tuple(curve)), config=charts.CONFIG, key="equity-chart")


def _candle_chart(repository: Repository, symbol: str) -> None:
    candles = repository.candles(symbol, queries.CANDLES)
    if not candles:
        st.html('<div class="ft"><div class="none">No candle of this symbol yet.</div></div>')
        return
    views = [*repository.closed_positions(100, symbol), *repository.open_positions()]
    trades = tuple(view.record for view in views if view.record.symbol == symbol)
    st.plotly_chart(charts.candle_figure(tuple(candles), trades), config=charts.CONFIG, key="candle-chart")
    st.html(_last_decision(repository, symbol))


def _last_decision(repository: Repository, symbol: str) -> str:
    view = queries.last_decision(repository, symbol)
    if view is None:
        return ""
    verdict = view.verdict
    numbers = ", ".join(
        f"{words.humanised(name)} {words.short_number(str(number))}"
        for name, number in verdict.numbers.items()
        if number is not None
    )
    outcome = "signal" if verdict.gate == "signal" else f"no trade: {words.humanised(verdict.gate)}"
    if view.denial is not None:
        outcome += f", denied because {words.denial(view.denial.code, view.denial.context)}"
    title = span(f"{verdict.strategy} at {short(verdict.event_time_ms)}", "time")
    return (
        f'<div class="ft why" data-testid="last-decision">{title} · {span(outcome, "sym")}'
        f'<span class="muted"> · {span(numbers)}</span></div>'
    )


def _best_symbol(repository: Repository, symbols: list[str]) -> str:
    """Where the chart starts: a symbol with something to see, the newest open position's or closed trade's."""
    for view in [*reversed(repository.open_positions()), *repository.closed_positions(1)]:
        if view.record.symbol in symbols:
            return view.record.symbol
    return symbols[0]


def failed(error: TraderError) -> None:
    """A read failed: said in a line, not as a crash."""
    st.html(f'<div class="ft"><div class="banner red">{span(str(error))}</div></div>')
