"""What a strategy says: a signal, or the first gate that refused, with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from core.enums import Direction
from core.frozen import quick_init
from core.sentences import fill


@quick_init
@dataclass(frozen=True, slots=True)
class ExitPlan:
    """Where to leave, either as a fraction of the actual entry price or as an absolute price (which wins).

    Fractions are positive distances: 0.003 means 0.3 % against the position for the stop, with it for the target.
    """

    stop_fraction: Decimal | None = None
    target_fraction: Decimal | None = None
    stop_price: Decimal | None = None
    target_price: Decimal | None = None

    @property
    def is_without_target(self) -> bool:
        return self.target_price is None and self.target_fraction is None

    def stop_for(self, entry_price: Decimal, direction: Direction) -> Decimal | None:
        """Unrounded stop price for an entry at `entry_price`, or None when the plan has no stop."""
        if self.stop_price is not None:
            return self.stop_price
        if self.stop_fraction is None:
            return None
        return entry_price * (1 - direction.sign * self.stop_fraction)

    def target_for(self, entry_price: Decimal, direction: Direction) -> Decimal | None:
        """Unrounded target price for an entry at `entry_price`, or None when the plan has no target."""
        if self.target_price is not None:
            return self.target_price
        if self.target_fraction is None:
            return None
        return entry_price * (1 + direction.sign * self.target_fraction)


@quick_init
@dataclass(frozen=True, slots=True)
class Signal:
    """An entry that a strategy wants. It knows no account and no order.

    `signal_id` is a function of strategy, symbol, interval and candle, so the same candle can never signal twice.
    `reference_price` is the close of the deciding candle. `received_ns` is the monotonic time at which the
    deciding frame arrived, for latency measurements only. `reason` is a sentence; with `numbers`, one that they belong
    into: `explanation` fills them in, which takes a tenth of the time of deciding and is left to whoever reads it.
    """

    signal_id: str
    strategy: str
    symbol: str
    interval: str
    direction: Direction
    candle_open_time_ms: int
    reference_price: Decimal
    exits: ExitPlan
    event_time_ms: int
    received_time_ms: int
    reason: str = ""
    features: Mapping[str, float] = field(default_factory=dict)
    received_ns: int = 0
    max_holding_ms: int | None = None
    numbers: Mapping[str, float] | None = None

    @property
    def explanation(self) -> str:
        return self.reason if self.numbers is None else fill(self.reason, self.numbers)


@quick_init
@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of one evaluation: `gate` is "signal" or the name of the first gate that refused.

    `numbers` holds what the gate compared, by name, so that the outcome can be explained in a sentence.
    """

    strategy: str
    symbol: str
    interval: str
    candle_open_time_ms: int
    event_time_ms: int
    gate: str
    numbers: Mapping[str, float]


def signal_id_for(strategy: str, symbol: str, interval: str, candle_open_time_ms: int) -> str:
    return f"{strategy}:{symbol}:{interval}:{candle_open_time_ms}"
