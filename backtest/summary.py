"""The numbers of a replay in the order and the words in which people read them."""

from __future__ import annotations

from backtest.metrics import Metrics
from utils.timefmt import duration


def rows_of(metrics: Metrics) -> list[tuple[str, str]]:
    """Return (name, value) pairs for the terminal and the report."""
    hold = metrics.average_hold_minutes
    interval = ""
    if metrics.win_rate_low_pct is not None and metrics.win_rate_high_pct is not None:
        interval = f" ({metrics.win_rate_low_pct:.1f} to {metrics.win_rate_high_pct:.1f})"
    return [
        ("Net result", f"{float(metrics.net_pnl):+,.2f} USDT"),
        ("Return", f"{metrics.return_pct:+.2f} %"),
        ("CAGR", _number(metrics.cagr_pct, " %")),
        ("Sharpe", _number(metrics.sharpe)),
        ("Sortino", _number(metrics.sortino)),
        ("Calmar", _number(metrics.calmar)),
        ("Max drawdown", f"{metrics.max_drawdown_pct:.2f} %"),
        ("Longest drawdown", f"{metrics.max_drawdown_days:.1f} days"),
        ("Trades", f"{metrics.trades:,}" + (f" + {metrics.open_trades} open" if metrics.open_trades else "")),
        ("Win rate (95 %)", _number(metrics.win_rate_pct, " %") + interval),
        ("Profit factor", _number(metrics.profit_factor)),
        ("Expectancy", _number(metrics.expectancy_r, " R", 3)),
        ("Average hold", "-" if hold is None else duration(int(hold * 60_000))),
        ("Time in market", f"{metrics.time_in_market_pct:.1f} %"),
        ("Turnover", f"{float(metrics.turnover):,.0f} USDT"),
        ("Fees", f"{float(metrics.fees):,.2f} USDT"),
        ("Slippage", f"{float(metrics.slippage):,.2f} USDT"),
        ("Funding", f"{float(metrics.funding):+,.2f} USDT"),
        (
            "Ambiguous exits",
            f"{metrics.ambiguous_exits:,}"
            + (f" ({metrics.finer_exits:,} more told by finer candles)" if metrics.finer_exits else ""),
        ),
        ("Signals", f"{metrics.signals:,}"),
        ("Skipped in a trade", f"{metrics.signals_skipped:,}"),
        ("Signals denied", f"{metrics.signals_denied:,}"),
    ]


def _number(value: float | None, unit: str = "", digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}{unit}"
