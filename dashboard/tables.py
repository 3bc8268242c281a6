"""The page's tables as HTML. Every value that comes from outside is escaped by the helpers of `formatting`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from core.enums import Direction
from core.records import OrderRecord, SignalStatus
from dashboard import words
from dashboard.charts import exit_words
from dashboard.formatting import exact, moment, net_pnl, percent, price, quantity, result, signed, span, tone
from dashboard.queries import FeedItem
from dashboard.style import DOWN, UP
from database.repository import PositionView, Result

WORKING = {"NEW", "PARTIALLY_FILLED", "TRIGGERING", "TRIGGERED"}
GOOD = {"FILLED", "FINISHED"}
BAD = {"REJECTED", "EXPIRED", "EXPIRED_IN_MATCH"}


def panel(title: str, body: str) -> str:
    return f'<div class="ft"><div class="card"><h3>{title}</h3>{body}</div></div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], nothing: str) -> str:
    """A table; a heading "name|r wide" gives its column these classes (r: right, wide: not on a phone)."""
    names, classes = zip(*(_heading(text) for text in head), strict=True)
    body = ["".join(f"<td{css}>{cell}</td>" for cell, css in zip(row, classes, strict=True)) for row in rows]
    if not body:
        return f'<div class="none">{nothing}</div>'
    header = "".join(f"<th{css}>{name}</th>" for name, css in zip(names, classes, strict=True))
    return f"<table><thead><tr>{header}</tr></thead><tbody><tr>{'</tr><tr>'.join(body)}</tr></tbody></table>"


def _heading(text: str) -> tuple[str, str]:
    name, _, css = text.partition("|")
    return name, f' class="{css}"' if css else ""


def direction(value: Direction | None) -> str:
    return "" if value is None else span(value.value, f"dir {value.value}")


def symbol(name: str, side: Direction | None, strategy: str) -> str:
    return f'<div class="one">{span(name, "sym")} {direction(side)}</div><div class="sub">{span(strategy)}</div>'


def open_positions(positions: Sequence[PositionView]) -> str:
    head = ("Position", "Size|r wide", "Entry|r wide", "Mark|r", "Stop to target|way gap", "PnL|r", "R|r wide")
    rows = [
        (
            symbol(view.record.symbol, view.record.direction, view.record.strategy),
            span(quantity(view.record.quantity), "num"),
            span(price(view.record.entry_price), "num"),
            span(price(view.mark_price), "num"),
            way(view),
            result(view.unrealized_pnl),
            r_multiple(view.unrealized_pnl, view.record.risk_usd),
        )
        for view in positions
    ]
    return panel(f"Open positions · {len(positions)}", table(head, rows, "Flat. The next signal opens one."))


def r_multiple(pnl: Decimal | None, risk_usd: Decimal) -> str:
    """The result in units of what was risked."""
    if pnl is None or risk_usd <= 0:
        return span("–", "num flat")  # noqa: RUF001
    return span(f"{signed(pnl / risk_usd)} R", f"num {tone(pnl)}")


def way(view: PositionView) -> str:
    """Where the mark stands between stop (left) and target (right), with a tick at the entry."""
    record = view.record
    stop, target = record.stop_price, record.target_price
    ends = f'<div class="ends">{span(price(stop), "num")}{span(price(target), "num")}</div>'
    if stop is None or target is None or stop == target:
        return ends
    marks = ""
    if record.entry_price is not None:
        marks += f'<div class="tick" style="left:{_place(record.entry_price, stop, target)}%"></div>'
    if view.mark_price is not None:
        marks += f'<div class="now" style="left:{_place(view.mark_price, stop, target)}%"></div>'
    return f'<div class="bar">{marks}</div>{ends}'


def _place(value: Decimal, stop: Decimal, target: Decimal) -> str:
    share = (value - stop) / (target - stop)
    return f"{float(min(max(share, Decimal(0)), Decimal(1))) * 100:.1f}"


def closed_positions(positions: Sequence[PositionView]) -> str:
    head = ("Trade", "Entry|r wide", "Exit|r", "Why|wide gap", "Net|r", "R|r wide", "At|r")
    rows = []
    for view in positions:
        record = view.record
        net = net_pnl(record)
        rows.append(
            (
                symbol(record.symbol, record.direction, record.strategy),
                span(price(record.entry_price), "num"),
                span(price(record.exit_price), "num"),
                span(exit_words(record), "chip"),
                result(net),
                r_multiple(net, record.risk_usd),
                moment(record.closed_time_ms),
            )
        )
    return panel("Last closed trades", table(head, rows, "No trade is closed yet."))


def feed(items: Sequence[FeedItem]) -> str:
    """Signals and refusals, in words."""
    if not items:
        return panel(
            "Signals and denials", '<div class="none">No signal yet: strategies decide as candles close.</div>'
        )
    return panel("Signals and denials", "".join(_feed_item(item) for item in items))


def _feed_item(item: FeedItem) -> str:
    again = span(f" ×{item.times}", "muted num") if item.times > 1 else ""  # noqa: RUF001
    return (
        f'<div class="item"><div class="line">{span(item.symbol, "sym", item.strategy)} {direction(item.direction)}'
        f"<i></i>{moment(item.time_ms)}</div>"
        f'<div class="why">{status_chip(item.status)} {span(item.text, "muted")}{again}</div></div>'
    )


def status_chip(status: SignalStatus) -> str:
    css = {SignalStatus.ENTERED: "good", SignalStatus.DENIED: "bad", SignalStatus.REFUSED: "bad"}.get(status, "busy")
    return span(words.STATUSES[status], f"chip {css}")


def orders(records: Sequence[OrderRecord]) -> str:
    head = ("Order", "Price|r", "Status|r", "At|r")
    rows = [
        (
            f'{span(order.symbol, "sym", order.client_order_id)}<div class="sub">{span(_kind(order))}</div>',
            span(price(order.average_price or order.stop_price or order.price), "num"),
            span(_status_words(order.status), f"chip {_status_css(order.status)}", order.detail),
            moment(order.updated_time_ms),
        )
        for order in records
    ]
    return panel("Orders", table(head, rows, "No order yet."))


def _kind(order: OrderRecord) -> str:
    leg = words.LEGS[order.leg] if order.leg is not None else "foreign"
    size = "all" if order.close_position else quantity(order.quantity)
    return f"{leg} · {order.side.value.lower()} {size} · {words.humanised(order.type.value)}"


def _status_words(status: str) -> str:
    return words.humanised(status)


def _status_css(status: str) -> str:
    return "good" if status in GOOD else "bad" if status in BAD else "busy" if status in WORKING else ""


def results(title: str, rows_of: Sequence[Result]) -> str:
    """Net results with a bar from the middle: losses to the left, gains to the right."""
    widest = max((abs(row.net_pnl) for row in rows_of), default=Decimal(0))
    head = ("Name", "Trades|r", "Won|r", "|wide gap", "Net|r")
    rows = [
        (
            span(row.name, "sym"),
            span(str(row.trades), "num"),
            span(percent(_share(row), places=0), "num", f"{row.wins} won, {row.losses} lost"),
            _bar(row.net_pnl, widest),
            result(row.net_pnl),
        )
        for row in rows_of
    ]
    return panel(title, table(head, rows, "No trade is closed yet."))


def _share(row: Result) -> Decimal | None:
    decided = row.wins + row.losses
    return Decimal(row.wins) / decided if decided else None


def _bar(value: Decimal, widest: Decimal) -> str:
    if not widest:
        return '<div class="share"></div>'
    width = float(abs(value) / widest) * 50
    left = 50 - width if value < 0 else 50
    colour = DOWN if value < 0 else UP
    style = f"left:{left:.1f}%;width:{width:.1f}%;background:{colour}"
    return f'<div class="share" title="{exact(value)}"><i style="{style}"></i></div>'
