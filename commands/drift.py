"""`main.py drift`: replays a recorded day of trading and tells every trade that differs, why, and what that cost."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.common import DbOption, EnvFileOption, kind_errors
from core.candle import DAY_MS
from core.errors import ConfigurationError, RuntimeFailure

if TYPE_CHECKING:
    from backtest.candles import ReplayCandles
    from backtest.conditions import Conditions
    from backtest.drift import Drift, Evidence, Key, Trade
    from backtest.drift_replay import RecordedDay, ReplayedDay
    from config.settings import Settings
    from database.recorded import RecordedSpan
    from database.repository import Repository
    from simulator.market.model import FundingPoint

HISTORY_DAYS = 2
"""So far back candles are read that indicators know what they knew that day."""
LASTS_DAYS = 1
"""So long after the day's end a trade of the day may last in the replay."""


@kind_errors
def drift(
    day: Annotated[str, typer.Option(help="Compare this UTC day, such as 2026-01-31.")],
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything into this file too. (default: nowhere)")
    ] = None,
    slippage_bps: Annotated[
        float, typer.Option(min=0, help="Expect fills this much worse than the candles' prices, in basis points.")
    ] = 0.0,
    db: DbOption = None,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Replay a recorded day of trading; list every trade that differs, with its cause and its cost."""
    from config.load import load_settings
    from database.database import open_repository

    start_ms = _day_start(day)
    settings = load_settings(env_file, {"db_url": db})
    repository = open_repository(settings.db_url)
    try:
        found, quote_asset = compared(repository, settings, start_ms, Decimal(str(slippage_bps)))
    finally:
        repository.close()
    _tell(found, quote_asset, day, json_file)


def compared(
    repository: Repository, settings: Settings, start_ms: int, slippage_bps: Decimal = Decimal(0)
) -> tuple[Drift, str]:
    """Return how the UTC day from `start_ms` on compares with its replay, and the quote asset.

    Raises RuntimeFailure when the database does not hold what a replay needs.
    """
    from backtest.conditions import read_conditions
    from backtest.drift import compare
    from backtest.drift_replay import replay_day
    from strategies.loader import StrategyBook
    from utils.timefmt import day as day_of

    span = repository.recorded_span(start_ms, start_ms + DAY_MS)
    if not span.minutes:
        raise RuntimeFailure(f"no trading on {day_of(start_ms)}: no decision of that day is stored")
    if not span.conditions or span.wallet is None:
        raise RuntimeFailure(
            f"{day_of(start_ms)} cannot be replayed: its limits, parameters and balance were not written down; "
            "an older version traded then"
        )
    in_force = [(record.since_time_ms, read_conditions(record.conditions)) for record in span.conditions]
    first = in_force[0][1]
    strategies = first.strategies(StrategyBook(settings.strategies_dir, tuple(first.parameters)))
    day = _recorded(span, start_ms, _candles(repository, first, start_ms), first.config.quote_asset)
    replayed = replay_day(day, first, strategies, slippage_bps)
    live = _live(span)
    return compare(
        live, replayed.trades, _evidence(repository, span, live, replayed, in_force)
    ), first.config.quote_asset


# --- what the database knows ------------------------------------------------------------------------------------------


def _candles(repository: Repository, conditions: Conditions, start_ms: int) -> Sequence[ReplayCandles]:
    from backtest.load import load_tables, table_of

    span = (start_ms - HISTORY_DAYS * DAY_MS, start_ms + (1 + LASTS_DAYS) * DAY_MS)
    tables = {}
    for symbol, by_name in conditions.parameters.items():
        columns = repository.candle_columns(symbol, *span) if by_name else []
        if columns and columns[0]:
            tables[symbol] = table_of(f"{symbol} in candles_1m", columns)
    return load_tables(tables, "candles_1m", allow_gaps=True).candles


def _recorded(span: RecordedSpan, start_ms: int, candles: Sequence[ReplayCandles], quote_asset: str) -> RecordedDay:
    from backtest.drift_replay import RecordedDay

    end_ms = start_ms + DAY_MS
    assert span.wallet is not None
    held: dict[str, int] = {}
    for position in span.carried:
        until_ms = end_ms if position.closed_time_ms is None else position.closed_time_ms
        held[position.symbol] = max(until_ms, held.get(position.symbol, 0))
    funding = _funding(span, candles, quote_asset)
    return RecordedDay(start_ms, end_ms, span.wallet, candles, frozenset(span.minutes), held, funding)


def _funding(
    span: RecordedSpan, candles: Sequence[ReplayCandles], quote_asset: str
) -> dict[str, tuple[FundingPoint, ...]]:
    from backtest.drift_funding import Booking, Rate, funding_of

    held = {
        position.intent_id: position.direction.sign * position.entry_quantity
        for position in (*span.carried, *span.positions)
    }
    return funding_of(
        candles,
        (Rate(one.symbol, one.funding_time_ms, one.rate) for one in span.funding),
        (
            Booking(
                one.symbol,
                one.event_time_ms,
                one.amount,
                held.get(one.intent_id) if one.intent_id is not None and one.asset == quote_asset else None,
            )
            for one in span.payments
        ),
    )


def _live(span: RecordedSpan) -> list[Trade]:
    """Return the trades that came of the span's signals; those whose entry never filled are none."""
    from backtest.drift import Trade
    from backtest.drift_replay import key_of

    signals = {record.signal.signal_id: record.signal for record in span.signals}
    intents = {intent.intent_id: signals[intent.signal_id] for intent in span.intents if intent.signal_id in signals}
    return [
        Trade(
            key=key_of(intents[position.intent_id]),
            direction=position.direction,
            quantity=position.entry_quantity,
            entry_price=position.entry_price,
            exit_price=position.exit_price if position.closed_time_ms is not None else None,
            entered_ms=position.opened_time_ms,
            exited_ms=position.closed_time_ms,
            exit_reason="" if position.exit_reason is None else position.exit_reason.value,
            pnl=position.realized_pnl - position.fees + position.funding,
            funding=position.funding,
            stop_price=position.stop_price,
            target_price=position.target_price,
        )
        for position in span.positions
        if position.entry_price is not None and position.opened_time_ms is not None
    ]


def _evidence(
    repository: Repository,
    span: RecordedSpan,
    live: Sequence[Trade],
    replayed: ReplayedDay,
    in_force: Sequence[tuple[int, Conditions]],
) -> Evidence:
    from backtest.drift import Evidence
    from backtest.drift_replay import key_of

    traded = {trade.key for trade in live}
    signals = {key_of(record.signal): record.denial_code or "" for record in span.signals}
    gates = {}
    for key in {trade.key for trade in replayed.trades} - signals.keys():
        interval = str(in_force[0][1].parameters[key.symbol][key.strategy]["interval"])
        gate = repository.gate(key.strategy, key.symbol, interval, _open_time(key, interval))
        if gate is not None:
            gates[key] = gate
    keys = traded | {trade.key for trade in replayed.trades}
    return Evidence(
        live={key: code for key, code in signals.items() if key not in traded},
        gates=gates,
        denied=replayed.denied,
        changed=frozenset(key for key in keys if _is_changed(key, in_force)),
    )


def _open_time(key: Key, interval: str) -> int:
    from core.candle import INTERVAL_MS

    return key.decided_ms - INTERVAL_MS[interval]


def _is_changed(key: Key, in_force: Sequence[tuple[int, Conditions]]) -> bool:
    """Whether other limits or parameters were in force for a trade than at the day's first candle."""
    then = [conditions for since_ms, conditions in in_force if since_ms <= key.decided_ms] or [in_force[0][1]]
    first = in_force[0][1].what_counts_for(key.strategy, key.symbol)
    return then[-1].what_counts_for(key.strategy, key.symbol) != first


# --- telling ----------------------------------------------------------------------------------------------------------


def _day_start(text: str) -> int:
    from datetime import UTC, date, datetime

    from utils.timefmt import to_ms

    try:
        found = date.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError(f"command line: --day: {text!r} is no day; write 2026-01-31") from None
    return to_ms(datetime(found.year, found.month, found.day, tzinfo=UTC))


def _tell(found: Drift, quote_asset: str, day: str, json_file: Path | None) -> None:
    from backtest.drift_report import json_of, lines_of

    typer.echo(f"drift of {day}")
    for line in lines_of(found, quote_asset):
        typer.echo(line)
    if json_file is not None:
        import orjson

        from utils.atomic import write_atomic

        content = {"day": day, **json_of(found, quote_asset)}
        write_atomic(json_file, orjson.dumps(content, option=orjson.OPT_INDENT_2).decode())
