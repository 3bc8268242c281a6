"""The way from `core.records` to rows and back.

A record's fields become columns of the same name; times lose their `_ms`, enums become their words, mappings become
JSON text. Three records wrap a value of another type (signal, candle, verdict) and have functions of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum, StrEnum
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_type_hints

import orjson
from sqlmodel import SQLModel

from core.candle import ClosedCandle
from core.enums import Direction
from core.records import (
    AccountStatRecord,
    AlertRecord,
    CandleRecord,
    ConditionsRecord,
    DecisionRecord,
    DenialRecord,
    FillOwnerRecord,
    FillRecord,
    FundingRecord,
    HaltRecord,
    IncomeRecord,
    IntentRecord,
    OrderRecord,
    PerformanceRecord,
    PositionMarkRecord,
    PositionRecord,
    Record,
    SignalRecord,
    SignalStatus,
)
from core.signal import ExitPlan, Signal, Verdict
from database.tables import (
    AccountStatRow,
    AlertRow,
    CandleRow,
    ConditionsRow,
    DecisionRow,
    DenialRow,
    FillRow,
    FundingRow,
    HaltRow,
    IncomeRow,
    IntentRow,
    OrderRow,
    PerformanceRow,
    PositionRow,
    SignalRow,
)
from utils.timefmt import to_ms

R = TypeVar("R")
Row = dict[str, Any]

CANDLE_INTERVAL = "1m"
MARK_COLUMNS = ("mark_price", "unrealized_pnl", "marked_time")
"""Columns of `positions` that belong to `PositionMarkRecord`: an upsert of the position leaves them alone."""


class OnConflict(StrEnum):
    """What a second write of the same key does."""

    REPLACE = "replace"
    KEEP = "keep"  # insert-once: the first one stays
    GAIN_OWNER = "gain_owner"  # insert-once, but a row that belongs to no trade may come to one
    UPDATE_ONLY = "update_only"  # no insert: changes a row that must be there already


@dataclass(frozen=True, slots=True)
class TableMapping:
    """How one record type is written. `key` names the columns by which a second write is recognised, or by which the
    row to change is found; `changes` are the columns that a second write sets, where that is not all of them."""

    table: type[SQLModel]
    to_row: Callable[[Any], Row]
    on_conflict: OnConflict
    key: tuple[str, ...]
    changes: tuple[str, ...] = ()


def to_row(record: Record) -> Row:
    """Return the row of a record; raises TypeError for a type that has no table."""
    return mapping_of(type(record)).to_row(record)


def mapping_of(record_type: type[Any]) -> TableMapping:
    """Return how records of this type are written; raises TypeError for a type that has no table."""
    try:
        return MAPPINGS[record_type]
    except KeyError:
        raise TypeError(f"no table for records of type {record_type.__name__}; add it to database/mapping.py") from None


def from_row(record_type: type[R], row: Mapping[str, Any]) -> R:
    """Return the record of a row; extra columns are ignored. For records whose fields are columns."""
    values = {field.name: field.decode(row[field.column]) for field in _plain_fields(record_type)}
    return record_type(**values)


def dump_json(value: Mapping[str, Any]) -> str:
    """Return the text of a row's column: written for every candle and signal while others want the interpreter."""
    return orjson.dumps(dict(value)).decode()


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    column: str
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


_PLAIN: dict[type[Any], tuple[_Field, ...]] = {}


def _plain_fields(record_type: type[Any]) -> tuple[_Field, ...]:
    known = _PLAIN.get(record_type)
    if known is None:
        hints = get_type_hints(record_type)
        known = tuple(_field(f.name, hints[f.name]) for f in fields(record_type))
        _PLAIN[record_type] = known
    return known


def _field(name: str, hint: Any) -> _Field:
    kind = _without_none(hint)
    if name.endswith("_time_ms"):
        return _Field(name, name.removesuffix("_ms"), _same, _ms_or_none)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _Field(name, name, _enum_word, lambda word: None if word is None else kind(word))
    if getattr(kind, "__origin__", None) is Mapping:
        return _Field(name, name, dump_json, json.loads)
    return _Field(name, name, _same, _same)


def _without_none(hint: Any) -> Any:
    if isinstance(hint, UnionType):
        (kind,) = (part for part in get_args(hint) if part is not NoneType)
        return kind
    return hint


def _same(value: Any) -> Any:
    return value


def _enum_word(value: Enum | None) -> Any:
    return None if value is None else value.value


def _ms_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)


def _plain_row(record: Any) -> Row:
    return {f.column: f.encode(getattr(record, f.name)) for f in _plain_fields(type(record))}


def _signal_row(record: SignalRecord) -> Row:
    signal, exits = record.signal, record.signal.exits
    return {
        "signal_id": signal.signal_id,
        "strategy": signal.strategy,
        "symbol": signal.symbol,
        "interval": signal.interval,
        "direction": signal.direction.value,
        "candle_open_time": signal.candle_open_time_ms,
        "reference_price": signal.reference_price,
        "stop_fraction": exits.stop_fraction,
        "target_fraction": exits.target_fraction,
        "stop_price": exits.stop_price,
        "target_price": exits.target_price,
        "event_time": signal.event_time_ms,
        "received_time": signal.received_time_ms,
        "reason": signal.explanation,
        "features": dump_json(signal.features),
        "max_holding_ms": signal.max_holding_ms,
        "status": record.status.value,
        "denial_code": record.denial_code,
    }


def signal_from_row(row: Mapping[str, Any]) -> SignalRecord:
    """Return the signal of a row; `received_ns` (a latency aid of one process) is not kept."""
    signal = Signal(
        signal_id=row["signal_id"],
        strategy=row["strategy"],
        symbol=row["symbol"],
        interval=row["interval"],
        direction=Direction(row["direction"]),
        candle_open_time_ms=to_ms(row["candle_open_time"]),
        reference_price=row["reference_price"],
        exits=ExitPlan(row["stop_fraction"], row["target_fraction"], row["stop_price"], row["target_price"]),
        event_time_ms=to_ms(row["event_time"]),
        received_time_ms=to_ms(row["received_time"]),
        reason=row["reason"],
        features=json.loads(row["features"]),
        max_holding_ms=row["max_holding_ms"],
    )
    return SignalRecord(signal, SignalStatus(row["status"]), row["denial_code"])


def _candle_row(record: CandleRecord) -> Row:
    candle = record.candle
    if candle.interval != CANDLE_INTERVAL:
        raise ValueError(f"candles_1m holds 1m candles, not {candle.interval} ({candle.symbol})")
    return {
        "symbol": candle.symbol,
        "open_time": candle.open_time_ms,
        "open": candle.open,
        "high": candle.high,
        "low": candle.low,
        "close": candle.close,
        "volume": candle.volume,
        "quote_volume": candle.quote_volume,
        "trade_count": candle.trade_count,
        "taker_buy_volume": candle.taker_buy_volume,
        "taker_buy_quote_volume": candle.taker_buy_quote_volume,
    }


def candle_from_row(row: Mapping[str, Any]) -> ClosedCandle:
    values = {name: row[name] for name in CandleRow.model_fields if name != "open_time"}
    return ClosedCandle(interval=CANDLE_INTERVAL, open_time_ms=to_ms(row["open_time"]), **values)


def _decision_row(record: DecisionRecord) -> Row:
    verdict = record.verdict
    return {
        "symbol": verdict.symbol,
        "candle_open_time": verdict.candle_open_time_ms,
        "strategy": verdict.strategy,
        "interval": verdict.interval,
        "event_time": verdict.event_time_ms,
        "gate": verdict.gate,
        # Ten digits tell prices and indicators apart for any reader, at half the size of a full float.
        "numbers": dump_json({name: _ten_digits(number) for name, number in verdict.numbers.items()}),
    }


def _ten_digits(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.10g}")


def verdict_from_row(row: Mapping[str, Any]) -> Verdict:
    """Return the verdict of a row; its numbers carry ten significant digits."""
    return Verdict(
        strategy=row["strategy"],
        symbol=row["symbol"],
        interval=row["interval"],
        candle_open_time_ms=to_ms(row["candle_open_time"]),
        event_time_ms=to_ms(row["event_time"]),
        gate=row["gate"],
        numbers=json.loads(row["numbers"]),
    )


def _alert_row(record: AlertRecord) -> Row:
    return {**_plain_row(record), "attempts": 0}


MAPPINGS: dict[type[Any], TableMapping] = {
    SignalRecord: TableMapping(SignalRow, _signal_row, OnConflict.REPLACE, ("signal_id",)),
    IntentRecord: TableMapping(IntentRow, _plain_row, OnConflict.REPLACE, ("intent_id",)),
    OrderRecord: TableMapping(OrderRow, _plain_row, OnConflict.REPLACE, ("client_order_id",)),
    FillRecord: TableMapping(
        FillRow,
        _plain_row,
        OnConflict.GAIN_OWNER,
        ("symbol", "trade_id"),
        ("client_order_id", "intent_id", "leg", "strategy"),
    ),
    FillOwnerRecord: TableMapping(
        FillRow, _plain_row, OnConflict.UPDATE_ONLY, ("symbol", "trade_id"), ("client_order_id", "leg")
    ),
    PositionRecord: TableMapping(PositionRow, _plain_row, OnConflict.REPLACE, ("intent_id",)),
    PositionMarkRecord: TableMapping(PositionRow, _plain_row, OnConflict.UPDATE_ONLY, ("intent_id",), MARK_COLUMNS),
    CandleRecord: TableMapping(CandleRow, _candle_row, OnConflict.REPLACE, ("symbol", "open_time")),
    AccountStatRecord: TableMapping(AccountStatRow, _plain_row, OnConflict.REPLACE, ("event_time",)),
    PerformanceRecord: TableMapping(PerformanceRow, _plain_row, OnConflict.REPLACE, ("strategy", "symbol", "day")),
    DenialRecord: TableMapping(DenialRow, _plain_row, OnConflict.KEEP, ("signal_id",)),
    DecisionRecord: TableMapping(
        DecisionRow, _decision_row, OnConflict.REPLACE, ("symbol", "candle_open_time", "strategy", "interval")
    ),
    IncomeRecord: TableMapping(IncomeRow, _plain_row, OnConflict.KEEP, ("transaction_id", "income_type")),
    HaltRecord: TableMapping(HaltRow, _plain_row, OnConflict.REPLACE, ("scope", "reason")),
    AlertRecord: TableMapping(AlertRow, _alert_row, OnConflict.KEEP, ("dedupe_key",)),
    ConditionsRecord: TableMapping(ConditionsRow, _plain_row, OnConflict.REPLACE, ("since_time",)),
    FundingRecord: TableMapping(FundingRow, _plain_row, OnConflict.REPLACE, ("symbol", "funding_time")),
}
"""Every member of `core.records.Record`; a test holds the two equal."""
