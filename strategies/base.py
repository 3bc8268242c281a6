"""The contract of a strategy: its parameters, its indicators, and one decision a closed candle.

Two ways to write one. `GatedStrategy` declares gates and a setup: it runs candle by candle live and over whole columns
in a backtest, from the same lines. `Strategy` decides candle by candle in plain Python. Neither knows an account, an
order, or any clock but the candle's; a new instance is made for each symbol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy import ndarray

from core.candle import DAY_MS, INTERVAL_MS
from core.enums import Direction
from core.sentences import fill
from core.signal import ExitPlan
from strategies.conditions import Gate, Setup
from strategies.indicators.base import Indicator
from strategies.params import StrategyParams

WARMING_UP = "warming_up"
SIGNAL = "signal"
NO_ENTRY = "no_entry"

Indicators = Mapping[str | tuple[str, ...], Indicator]
"""Name of the value to its indicator; a tuple of names for an indicator with several outputs."""


class Values:
    """What a decision may look at: the closed candle (`open`, `high`, `low`, `close`, `volume`, `open_time`) and each
    indicator under its declared name. Floats of one candle, or float64 columns. `open_time` is UTC milliseconds."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class CandleColumns:
    """Closed candles of one symbol and interval as columns: float64, and int64 open times; ascending, oldest first."""

    open: ndarray
    high: ndarray
    low: ndarray
    close: ndarray
    volume: ndarray
    open_time: ndarray

    def __len__(self) -> int:
        return len(self.open_time)


@dataclass(frozen=True, slots=True)
class Entry:
    """The decision to enter at the close of this candle. `numbers` say why, for the record: in the words of `given`, or
    in those of `template`, which they are filled into only when somebody reads them."""

    direction: Direction
    exits: ExitPlan
    given: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)
    template: str = ""

    @property
    def reason(self) -> str:
        return self.given or fill(self.template, self.numbers)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The decision not to enter: the first gate that refused, and its numbers."""

    gate: str
    numbers: Mapping[str, float] = field(default_factory=dict)


Decision = Entry | Refusal | None
"""None is a refusal without particulars."""


@dataclass(frozen=True, slots=True)
class History:
    """How much past a strategy needs: a number of candles, and all of the UTC day when it is day-anchored."""

    candles: int = 1
    day_anchored: bool = False

    def start_before(self, open_time_ms: int, interval: str) -> int:
        """Return the open time of the oldest candle needed to decide on the candle that opens at `open_time_ms`."""
        start = open_time_ms - (self.candles - 1) * INTERVAL_MS[interval]
        return min(start, open_time_ms - open_time_ms % DAY_MS) if self.day_anchored else start

    def most_candles(self, interval: str) -> int:
        """Return the largest number of candles that `start_before` can span."""
        return max(self.candles, DAY_MS // INTERVAL_MS[interval]) if self.day_anchored else self.candles

    def joined(self, other: History) -> History:
        """Return the history that serves both."""
        return History(max(self.candles, other.candles), self.day_anchored or other.day_anchored)


class Strategy:
    """A strategy that decides candle by candle in plain Python: set `name` and `Params`, write `indicators`, `decide`.

    `texts` explains each gate that `decide` refuses with, by name, numbers in braces. Whatever `decide` remembers on
    `self` must follow from the candles alone: after a restart they are replayed, with all decisions thrown away.
    """

    name: ClassVar[str]
    Params: ClassVar[type[StrategyParams]] = StrategyParams
    texts: ClassVar[Mapping[str, str]] = {}

    def __init__(self, params: Any) -> None:
        self.params = params

    def indicators(self) -> Indicators:
        """Return new indicators by the name of their value. Called once an instance."""
        return {}

    def decide(self, v: Values) -> Decision:
        """Return an `Entry`, a `Refusal`, or None for no entry. Called once a closed candle, in order."""
        raise TypeError(f"{type(self).__name__} does not define decide(v)")

    def history(self, indicators: Indicators) -> History:
        """Return the past that the indicators need; override to ask for more."""
        needed = History()
        for indicator in indicators.values():
            needed = needed.joined(History(indicator.warmup, indicator.day_anchored))
        return needed

    def gate_texts(self) -> Mapping[str, str]:
        """Return the sentence of every gate, numbers in braces."""
        return self.texts

    @staticmethod
    def enter(direction: Direction, *, stop_pct: Decimal, target_pct: Decimal | None = None, reason: str = "") -> Entry:
        """Return an entry with stop and target as percentages of the entry price (0.3 means 0.3 %)."""
        return Entry(direction, percent_exits(stop_pct, target_pct), reason)


class GatedStrategy(Strategy):
    """A strategy made of gates and a setup, written once for live candles and for columns."""

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self._gates = tuple(self.gates())
        self._setup = self.setup()

    def derive(self, v: Values) -> None:
        """Calculate further values from the indicators, the same line for floats and columns: `v.mid = ...`."""

    def gates(self) -> Sequence[Gate]:
        """Return the gates in the order in which they are asked."""
        return ()

    def setup(self) -> Setup:
        """Return what makes a long and what a short entry."""
        raise TypeError(f"{type(self).__name__} does not define setup()")

    def exits(self, v: Values, direction: Direction) -> ExitPlan:
        """Return where to leave. `v` holds the floats of the deciding candle."""
        raise TypeError(f"{type(self).__name__} does not define exits(v, direction)")

    def decide(self, v: Values) -> Decision:
        self.derive(v)
        for gate in self._gates:
            if not gate.passes(v):
                return Refusal(gate.name, gate.numbers(v))
        setup = self._setup
        side = setup.side(v)
        numbers = setup.numbers(v)
        if not side:
            return Refusal(setup.name, numbers)
        direction = Direction.LONG if side > 0 else Direction.SHORT
        return Entry(direction, self.exits(v, direction), "", numbers, setup.reason)

    def decide_columns(self, v: Values, warmup: int) -> ColumnDecisions:
        """Return the decisions over columns: exactly those that `decide` takes candle by candle."""
        with np.errstate(invalid="ignore", divide="ignore"):
            self.derive(v)
            sides = np.asarray(self._setup.side(v), dtype=np.int8)
            refused_by = np.where(sides != 0, np.int8(-1), np.int8(len(self._gates) + 1))
            for index in range(len(self._gates), 0, -1):
                refused_by[~np.asarray(self._gates[index - 1].passes(v), dtype=bool)] = index
        refused_by[: max(0, warmup - 1)] = 0
        names = (WARMING_UP, *(gate.name for gate in self._gates), self._setup.name)
        return ColumnDecisions(np.where(refused_by < 0, sides, np.int8(0)), refused_by, names, v)

    def gate_texts(self) -> Mapping[str, str]:
        own = {gate.name: gate.refusal for gate in self._gates}
        return {**own, self._setup.name: self._setup.refusal, SIGNAL: self._setup.reason, **self.texts}


@dataclass(frozen=True, slots=True)
class ColumnDecisions:
    """Decisions over columns. `sides`: +1 long, -1 short, 0 none. `refused_by`: index into `gate_names` of the first
    gate that refused, -1 for a signal. `values` holds the columns that were looked at."""

    sides: ndarray
    refused_by: ndarray
    gate_names: tuple[str, ...]
    values: Values


def percent_exits(stop_pct: Decimal, target_pct: Decimal | None) -> ExitPlan:
    """Return the exit plan for percentages of the entry price, 0.3 meaning 0.3 %."""
    return ExitPlan(
        stop_fraction=stop_pct / 100,
        target_fraction=None if target_pct is None else target_pct / 100,
    )
