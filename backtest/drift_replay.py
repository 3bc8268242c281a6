"""Replays a recorded day under the conditions that it was traded under, by the code of every backtest."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np

from backtest.candles import MINUTE_MS, ReplayCandles
from backtest.conditions import Conditions
from backtest.drift import Key, Trade
from backtest.replay import Replay
from backtest.settings import ReplaySettings
from backtest.signals import Decisions, decide
from backtest.trades import BacktestTrade
from core.candle import INTERVAL_MS
from core.errors import RuntimeFailure
from core.records import Record, SignalRecord, SignalStatus
from core.signal import Signal
from simulator.market.model import FundingPoint
from strategies.loader import ActiveStrategy

_REFUSED = frozenset({SignalStatus.DENIED, SignalStatus.REFUSED})


@dataclass(frozen=True, slots=True)
class RecordedDay:
    """What a replay of a day needs. `candles` begin as far before `start_ms` as strategies look back and end when the
    day's last trade had ended; `wallet` is the account's at the start.

    `minutes` are the candles (open times) that the trader was there to judge, `held_until_ms` says by symbol how long
    a position of an earlier day was in the way, `funding` what was paid.
    """

    start_ms: int
    end_ms: int
    wallet: Decimal
    candles: Sequence[ReplayCandles]
    minutes: Collection[int]
    held_until_ms: Mapping[str, int] = field(default_factory=dict)
    funding: Mapping[str, tuple[FundingPoint, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReplayedDay:
    """The trades that the day should have brought, and the signals that the replay refused, by code."""

    trades: tuple[Trade, ...]
    denied: Mapping[Key, str]


def key_of(signal: Signal) -> Key:
    """Return what a trade on this signal is known by."""
    return Key(signal.candle_open_time_ms + INTERVAL_MS[signal.interval], signal.symbol, signal.strategy)


def replay_day(
    day: RecordedDay, conditions: Conditions, strategies: Sequence[ActiveStrategy], slippage_bps: Decimal = Decimal(0)
) -> ReplayedDay:
    """Return what the trader should have done that day.

    Raises RuntimeFailure when nothing of it is known: no candles, or a contract that was not written down.
    """
    by_symbol = {}
    for one in day.candles:
        contract = conditions.contracts.get(one.symbol)
        if contract is None:
            raise RuntimeFailure(f"the contract of {one.symbol} was not recorded; the day cannot be replayed")
        by_symbol[one.symbol] = replace(one, spec=contract.spec())
    decisions = [
        _of_the_day(decide(active, by_symbol[active.symbol]), day)
        for active in strategies
        if active.symbol in by_symbol
    ]
    if not decisions:
        raise RuntimeFailure("no candles of that day are stored for any symbol that was traded")
    denied: dict[Key, str] = {}

    def note(record: Record) -> None:
        if isinstance(record, SignalRecord) and record.status in _REFUSED:
            denied[key_of(record.signal)] = record.denial_code or ""

    settings = ReplaySettings(deposit=day.wallet, slippage_bps=slippage_bps)
    result = Replay(decisions, conditions.config, settings, funding=day.funding, on_record=note).run()
    return ReplayedDay(tuple(_trade(one) for one in result.trades), denied)


def _of_the_day(decisions: Decisions, day: RecordedDay) -> Decisions:
    """Keep the signals of candles that the trader was there to judge, while no older position was in the way."""
    opened = decisions.candles.open_time[decisions.indices]
    seen = np.isin(opened, np.fromiter(day.minutes, dtype=np.int64, count=len(day.minutes)))
    decided = opened + MINUTE_MS
    held = decided <= day.held_until_ms.get(decisions.candles.symbol, 0)
    kept = seen & ~held & (decided > day.start_ms) & (decided <= day.end_ms)
    return replace(decisions, indices=decisions.indices[kept], rows=decisions.rows[kept])


def _trade(one: BacktestTrade) -> Trade:
    return Trade(
        key=Key(one.signal_time_ms + 1, one.symbol, one.strategy),
        direction=one.direction,
        quantity=one.quantity,
        entry_price=one.entry_price,
        exit_price=one.exit_price,
        entered_ms=one.entry_time_ms,
        exited_ms=one.exit_time_ms,
        exit_reason=one.exit_reason,
        pnl=one.pnl,
        funding=one.funding,
        stop_price=one.stop_price,
        target_price=one.target_price,
        ambiguous=one.ambiguous,
    )
