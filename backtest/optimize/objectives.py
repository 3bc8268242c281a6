"""What can be optimised for: a number of the metrics, and whether more of it is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backtest.metrics import Metrics
from core.errors import ConfigurationError
from utils.problems import did_you_mean


@dataclass(frozen=True, slots=True)
class Objective:
    """`nothing` is what a trial counts that has no such number or too few trades: as bad as it can be."""

    name: str
    is_maximised: bool = True
    nothing: float = -100.0

    def of(self, metrics: Metrics) -> float | None:
        """Return the number of a backtest; None where it does not exist."""
        value = getattr(metrics, self.name)
        return None if value is None else float(value)

    def is_worse(self, value: float, other: float) -> bool:
        return value < other if self.is_maximised else value > other


OBJECTIVES = {
    one.name: one
    for one in (
        Objective("net_pnl", nothing=-1e9),
        Objective("return_pct"),
        Objective("cagr_pct"),
        Objective("sharpe"),
        Objective("sortino"),
        Objective("calmar"),
        Objective("profit_factor", nothing=0.0),
        Objective("expectancy_r"),
        Objective("win_rate_pct", nothing=0.0),
        Objective("max_drawdown_pct", is_maximised=False, nothing=100.0),
    )
}


def objectives_of(text: str) -> tuple[Objective, ...]:
    """Return the objectives of a list with commas; raises ConfigurationError for an unknown one."""
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in OBJECTIVES:
            hint = did_you_mean(name, OBJECTIVES) or "; there are " + ", ".join(OBJECTIVES)
            raise ConfigurationError(f"command line: --objective {name!r} is unknown{hint}")
    if not names:
        raise ConfigurationError(f"command line: --objective: name one of {', '.join(OBJECTIVES)}")
    return tuple(OBJECTIVES[name] for name in names)


def compare(objectives: Sequence[Objective]) -> str:
    """Return the objectives in words."""
    return " and ".join(f"{'most' if one.is_maximised else 'least'} {one.name}" for one in objectives)
