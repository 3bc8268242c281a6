"""What every strategy's YAML may say. Each strategy adds its own keys by subclassing `StrategyParams`."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Interval = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"]

Percent = Annotated[Decimal, Field(gt=0, lt=100)]
"""A positive percentage, 0.3 meaning 0.3 %. Exact: it becomes a price."""


class StrategyParams(BaseModel):
    """Keys that the machinery reads; frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = Field(True, description="Whether the strategy runs (on this symbol).")
    symbols: Literal["all", "listed"] = Field(
        "all",
        description="default.yaml only. all: every traded symbol; listed: only symbols with a YAML of their own.",
    )
    interval: Interval = Field("1m", description="Candles that the strategy decides on. Needs a restart to change.")
    max_holding_minutes: int | None = Field(
        None, gt=0, description="Close a position after so many minutes; empty: no limit."
    )
    volatility_halt_pct: Percent | None = Field(
        None,
        description="A move of more than this percentage within the window halts the symbol's entries; "
        "empty: what config/symbols.yaml says.",
    )
    volatility_window_seconds: int = Field(5, gt=0, le=300, description="Window of the volatility halt.")
    volatility_rest_minutes: int = Field(10, gt=0, le=1440, description="How long the symbol rests after the halt.")
    both_hit_rule: Literal["SL_FIRST", "TP_FIRST", "FINER"] = Field(
        "SL_FIRST",
        description="Backtests only. A candle touches stop and target: SL_FIRST takes the stop, TP_FIRST the target, "
        "FINER what candles of seconds show where there are any.",
    )

    @property
    def max_holding_ms(self) -> int | None:
        return None if self.max_holding_minutes is None else self.max_holding_minutes * 60_000
