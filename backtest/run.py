"""One backtest from loaded candles to its result: decide, replay, measure."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from backtest.candles import ReplayCandles
from backtest.equity import EquityCurve, equity_curve
from backtest.metrics import Metrics, measure
from backtest.replay import OnDay, Replay, ReplayResult
from backtest.settings import ReplaySettings, adapt_spec
from backtest.signals import Decisions, decide
from core.limits import SymbolLimits, TradingConfig
from core.records import Record
from simulator.market.model import FundingPoint
from strategies.loader import ActiveStrategy, with_halts
from strategies.memory import ColumnMemory

GARBAGE_AFTER = 100_000
"""New containers after which the collector looks for garbage."""


@dataclass(frozen=True, slots=True)
class Backtest:
    """A finished backtest."""

    candles: tuple[ReplayCandles, ...]
    decisions: tuple[Decisions, ...]
    result: ReplayResult
    curve: EquityCurve
    metrics: Metrics


def prepare_candles(candles: Sequence[ReplayCandles], settings: ReplaySettings) -> tuple[ReplayCandles, ...]:
    """Return the candles with their contracts as the settings want them."""
    return tuple(replace(one, spec=adapt_spec(one.spec, settings)) for one in candles)


def replay(
    candles: Sequence[ReplayCandles],
    strategies: Sequence[ActiveStrategy],
    config: TradingConfig,
    settings: ReplaySettings,
    *,
    warmup: int | None = None,
    start_ms: int | None = None,
    funding: Mapping[str, tuple[FundingPoint, ...]] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_day: OnDay | None = None,
    memory: ColumnMemory | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> tuple[tuple[Decisions, ...], ReplayResult]:
    """Decide and trade: everything but the numbers about it. Signals count from `start_ms` on.

    `memory` keeps indicator columns from one run to the next on these very candles. For the rest see `Replay`.
    """
    prepared = prepare_candles(candles, settings)
    by_symbol = {one.symbol: one for one in prepared}
    decisions = tuple(
        decide(active, by_symbol[active.symbol], warmup=warmup, start_ms=start_ms, memory=memory)
        for active in strategies
    )
    config = replace(config, symbols=_halts(config, strategies))
    with _few_collections():
        return decisions, Replay(
            decisions, config, settings, funding=funding, should_stop=should_stop, on_day=on_day, on_record=on_record
        ).run()


def _halts(config: TradingConfig, strategies: Sequence[ActiveStrategy]) -> dict[str, SymbolLimits]:
    """Return the symbols' limits with the volatility halts of the strategies, as the live trader has them."""
    return {
        symbol: with_halts(limits, [one.params for one in strategies if one.symbol == symbol])
        for symbol, limits in config.symbols.items()
    }


@contextmanager
def _few_collections() -> Iterator[None]:
    """Look for garbage seldom: a replay leaves none that only the collector finds, and each search costs a tenth."""
    thresholds, is_first = gc.get_threshold(), gc.get_freeze_count() == 0
    gc.set_threshold(GARBAGE_AFTER, *thresholds[1:])
    if is_first:
        gc.freeze()
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if is_first:
            gc.unfreeze()


def run(
    candles: Sequence[ReplayCandles],
    strategies: Sequence[ActiveStrategy],
    config: TradingConfig,
    settings: ReplaySettings,
    *,
    warmup: int | None = None,
    start_ms: int | None = None,
    funding: Mapping[str, tuple[FundingPoint, ...]] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_day: OnDay | None = None,
    memory: ColumnMemory | None = None,
) -> Backtest:
    """Run a backtest and measure it. The arguments are those of `replay`."""
    decisions, result = replay(
        candles,
        strategies,
        config,
        settings,
        warmup=warmup,
        start_ms=start_ms,
        funding=funding,
        should_stop=should_stop,
        on_day=on_day,
        memory=memory,
    )
    used = tuple({one.candles.symbol: one.candles for one in decisions}.values())
    first = max(min(int(one.open_time[0]) for one in used), start_ms or 0)
    curve = equity_curve(result.trades, used, float(settings.deposit), first, result.end_ms)
    played = (np.searchsorted(one.open_time, (first, result.end_ms)) for one in used)
    count = sum(int(end - start) for start, end in played)
    return Backtest(used, decisions, result, curve, measure(result, curve, count))
