"""Hand-made candles and a strategy that signals where it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from backtest.candles import MINUTE_MS, ReplayCandles, from_units
from backtest.replay import ReplayResult
from backtest.run import replay
from backtest.settings import ReplaySettings
from core.enums import Direction, MarginType, PositionMode
from core.limits import RiskLimits, SizingPolicy, SymbolLimits, TradingConfig
from core.signal import ExitPlan
from simulator.market.catalog import CATALOG
from simulator.market.model import FundingPoint
from strategies.base import Decision, Entry, History, Indicators, Strategy, Values
from strategies.loader import ActiveStrategy
from strategies.params import StrategyParams

D = Decimal
START_MS = 1_767_225_600_000  # 2026-01-01
Bar = tuple[str, str, str, str]
"""open, high, low, close"""

FLAT: Bar = ("100", "100", "100", "100")


class Told(Strategy):
    """Signals at the candles (by number) that `plans` names."""

    name = "told"
    plans: dict[int, Entry] = {}

    def history(self, indicators: Indicators) -> History:
        return History()

    def decide(self, v: Values) -> Decision:
        return self.plans.get((int(v.open_time) - START_MS) // MINUTE_MS)


def told(symbol: str, plans: dict[int, Entry], **params: Any) -> ActiveStrategy:
    strategy = type("ToldHere", (Told,), {"plans": plans})
    return ActiveStrategy("told", symbol, strategy, StrategyParams(**params))


def enter(direction: Direction, stop: str | None = "0.01", target: str | None = "0.02") -> Entry:
    return Entry(direction, ExitPlan(None if stop is None else D(stop), None if target is None else D(target)))


LONG, SHORT = enter(Direction.LONG), enter(Direction.SHORT)


def candles_of(bars: Sequence[Bar], symbol: str = "ETHUSDT", times: Sequence[int] | None = None) -> ReplayCandles:
    """Return candles with two decimals, at the given minutes or one after another, on a tick of 0.01."""
    columns = [np.array([int(D(bar[i]).scaleb(2)) for bar in bars], dtype=np.int64) for i in range(4)]
    opens = START_MS + MINUTE_MS * np.array(range(len(bars)) if times is None else times, dtype=np.int64)
    spec = CATALOG[symbol]
    spec = replace(spec, instrument=replace(spec.instrument, min_notional=D(5), tick_size=D("0.01")))
    prices = (columns[0], columns[1], columns[2], columns[3])
    return from_units(symbol, spec, 2, opens, prices, np.ones(len(bars)))


def config_of(*symbols: str, limits: RiskLimits | None = None, **symbol_limits: Any) -> TradingConfig:
    wide = {"max_position_notional": D(10**9), "max_exposure_fraction": D(10**9), "margin_type": MarginType.ISOLATED}
    return TradingConfig(
        PositionMode.ONEWAY,
        "USDT",
        SizingPolicy(risk_usd=D(10)),
        limits or RiskLimits(max_total_exposure_fraction=None),
        {symbol: SymbolLimits(symbol, **{**wide, **symbol_limits}) for symbol in symbols},
    )


def play(
    bars: Sequence[Bar],
    plans: dict[int, Entry],
    *,
    config: TradingConfig | None = None,
    funding: dict[str, tuple[FundingPoint, ...]] | None = None,
    params: dict[str, Any] | None = None,
    times: Sequence[int] | None = None,
    **settings: Any,
) -> ReplayResult:
    """Replay hand-made candles of ETHUSDT with a fixed quantity of 1."""
    chosen = ReplaySettings(**{"quantity": D(1), "fee_rate": D("0.001"), "deposit": D(10_000), **settings})
    _, result = replay(
        [candles_of(bars, times=times)],
        [told("ETHUSDT", plans, **(params or {}))],
        config or config_of("ETHUSDT"),
        chosen,
        funding=funding,
    )
    return result
