"""The alerts that the project sends, one builder each. The key names the incident, so that one incident is one alert.

`time_ms` is our steady clock's (`Clock.now_ms`): alerts are about us, not about the market.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from core.enums import Severity
from core.instrument import plain
from core.records import AlertRecord, PerformanceRecord
from core.summary import RunSummary
from utils.timefmt import duration


def started(*, epoch: int, mode: str, symbols: int, version: str, time_ms: int) -> AlertRecord:
    """The trader is ready to trade. `epoch` counts the starts of this database."""
    fields = {"mode": mode, "symbols": str(symbols), "version": version}
    return AlertRecord(f"start:{epoch}", Severity.INFO, f"Trader started ({mode})", "", time_ms, fields)


def stopped(*, epoch: int, reason: str, summary: RunSummary, time_ms: int) -> AlertRecord:
    """The trader stopped; its result in fields. Open positions make it a warning: nothing watches them now."""
    fields = {
        "ran for": duration(summary.duration_ms),
        "entries": str(summary.entries),
        "closed trades": f"{summary.closed_trades} ({summary.wins} won, {summary.losses} lost)",
        "net PnL": plain(summary.net_pnl),
        "open positions": str(summary.open_positions),
    }
    severity = Severity.WARNING if summary.open_positions else Severity.INFO
    text = reason
    if summary.open_positions:
        count = summary.open_positions
        stay = (
            "1 position stays open; only its stop" if count == 1 else f"{count} positions stay open; only their stops"
        )
        text += f"\n{stay} at the venue protect{'s' if count == 1 else ''} {'it' if count == 1 else 'them'}."
    return AlertRecord(f"stop:{epoch}", severity, f"Trader stopped ({summary.mode})", text, time_ms, fields)


def connection_lost(*, epoch: int, stream: str, detail: str, lost_ms: int) -> AlertRecord:
    """A stream was lost at `lost_ms`. No entries until it is back and reconciled."""
    text = f"{detail}\nNo new entries until it is back; stops stay at the venue.".lstrip()
    key = f"connection-lost:{epoch}:{stream}:{lost_ms}"
    return AlertRecord(key, Severity.WARNING, f"Connection lost: {stream}", text, lost_ms)


def connection_back(*, epoch: int, stream: str, lost_ms: int, time_ms: int) -> AlertRecord:
    """The stream lost at `lost_ms` is back."""
    text = f"It was away for {duration(time_ms - lost_ms)}."
    key = f"connection-back:{epoch}:{stream}:{lost_ms}"
    return AlertRecord(key, Severity.INFO, f"Connection back: {stream}", text, time_ms)


def stop_refused(*, intent_id: int, symbol: str, error: str, action: str, time_ms: int) -> AlertRecord:
    """The protective stop of a position could not be placed; `action` says what was done instead."""
    text = f"The venue refused the protective stop: {error}\n{action}"
    return AlertRecord(f"stop-refused:{intent_id}", Severity.CRITICAL, f"{symbol}: stop refused", text, time_ms)


def risk_limit_hit(
    *, limit: str, scope: str, day: str, value: Decimal, allowed: Decimal, action: str, time_ms: int
) -> AlertRecord:
    """A risk limit was reached; once a limit, scope ("*" for the account, a symbol, a strategy) and UTC day."""
    fields = {"limit": limit, "value": plain(value), "allowed": plain(allowed)}
    where = "account" if scope == "*" else scope
    key = f"risk:{limit}:{scope}:{day}"
    return AlertRecord(key, Severity.CRITICAL, f"Risk limit hit: {limit} ({where})", action, time_ms, fields)


def error_logged(*, epoch: int, logger: str, text: str, time_ms: int) -> AlertRecord:
    """Something went wrong; the same line of the same place once an hour."""
    hour = time_ms // 3_600_000
    return AlertRecord(
        f"error:{epoch}:{logger}:{text[:120]}:{hour}", Severity.WARNING, f"Error in {logger}", text, time_ms
    )


def daily_summary(
    *, mode: str, day: str, results: Mapping[str, PerformanceRecord], equity: Decimal, time_ms: int, review: str = ""
) -> AlertRecord:
    """Result of one UTC day; `results` by a label such as `vwap_reversion BTCUSDT`. `review` tells how it compares
    with its replay."""
    rows = results.values()
    net = sum((net_of(row) for row in rows), Decimal(0))
    trades, wins = sum(row.trades for row in rows), sum(row.wins for row in rows)
    ranked = sorted(results, key=lambda label: net_of(results[label]), reverse=True)
    text = "\n".join(
        f"{label}: {plain(net_of(results[label]))} in {results[label].trades} trades" for label in ranked[:15]
    )
    fields = {
        "net PnL": plain(net),
        "trades": f"{trades} ({wins} won)",
        "fees": plain(sum((row.fees for row in rows), Decimal(0))),
        "equity": plain(equity),
    }
    if review:
        fields["drift"] = review
    return AlertRecord(
        f"daily:{mode}:{day}", Severity.INFO, f"Day {day} ({mode})", text or "No trades.", time_ms, fields
    )


def net_of(row: PerformanceRecord) -> Decimal:
    """Return a row's PnL after fees and funding."""
    return row.realized_pnl - row.fees + row.funding
