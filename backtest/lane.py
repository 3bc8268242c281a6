"""One symbol's way through a replay: its candles, the signals ahead, the open trade and the prices it waits for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from backtest.candles import MINUTE_MS, ReplayCandles
from backtest.signals import Decisions
from backtest.trades import STILL_OPEN, BacktestTrade
from core.enums import Direction
from core.frozen import quick_init
from core.instrument import Rounding
from core.orders import FillReport
from core.records import PositionRecord
from core.signal import Signal

ZERO = Decimal(0)
_LEAST, _MOST = -(2**62), 2**62


@quick_init
@dataclass(frozen=True, slots=True)
class Level:
    """A price at which an order triggers, and the same on the candles' grid."""

    price: Decimal
    units: int


@dataclass(slots=True)
class OpenTrade:
    """What the replay itself must know of a trade while it lasts; the core keeps the books."""

    signal: Signal
    direction: Direction
    entry_index: int
    entry_time_ms: int
    quantity: Decimal = ZERO
    entered: Decimal = ZERO
    entry_cost: Decimal = ZERO
    fee: Decimal = ZERO
    realized: Decimal = ZERO
    funding: Decimal = ZERO
    slippage: Decimal = ZERO
    exit_index: int = -1
    ambiguous: bool = False
    stop_price: Decimal | None = None
    target_price: Decimal | None = None


class Lane:
    """`index` is the candle that is being played, `falling` and `rising` the grid prices that wake the lane."""

    def __init__(self, rank: int, candles: ReplayCandles, decisions: Sequence[Decisions]) -> None:
        self.rank = rank
        self.candles = candles
        self.symbol = candles.symbol
        self.index = 0
        self.token = 0
        self.trade: OpenTrade | None = None
        self.signal: Signal | None = None
        self.awaits_entry = False
        self.touch_price = ZERO
        self.stop: Level | None = None
        self.target: Level | None = None
        self.falling, self.rising = _LEAST, _MOST
        self._finished: list[OpenTrade] = []
        self._decisions = decisions
        whose = np.repeat(np.arange(len(decisions)), [len(one.indices) for one in decisions])
        numbers = np.concatenate([np.arange(len(one.indices)) for one in decisions])
        indices = np.concatenate([one.indices for one in decisions])
        order = np.lexsort((whose, indices))
        self._ahead: list[int] = indices[order].tolist()
        self._whose: list[int] = whose[order].tolist()
        self._numbers: list[int] = numbers[order].tolist()
        self._next = 0

    # --- signals ------------------------------------------------------------------------------------------------

    @property
    def next_index(self) -> int | None:
        """The candle of the next signal."""
        return self._ahead[self._next] if self._next < len(self._ahead) else None

    def take_signal(self) -> tuple[Decisions, int]:
        """Return the next signal (whose it is, and its number there) and go past it."""
        at = self._next
        self._next += 1
        return self._decisions[self._whose[at]], self._numbers[at]

    def skip_before(self, index: int) -> int:
        """Go past the signals before candle `index`; returns how many there were."""
        start = self._next
        self._next = bisect_left(self._ahead, index, start)
        return self._next - start

    # --- candles ------------------------------------------------------------------------------------------------

    def index_at(self, time_ms: int) -> int:
        """Return the first candle that opens at `time_ms` or later; the number of candles when there is none."""
        return int(self.candles.open_time.searchsorted(time_ms))

    def newest_closed(self, time_ms: int) -> int:
        """Return the newest candle that has ended by `time_ms` (its last millisecond counts), -1 for none."""
        return int(self.candles.open_time.searchsorted(time_ms - (MINUTE_MS - 1), side="right")) - 1

    def set_levels(
        self, is_long: bool, stop: Decimal | None, target: Decimal | None, band: tuple[Decimal, Decimal] | None
    ) -> None:
        """Wait for these prices: a touch of stop or target, or the end of the band without liquidation."""
        down, up = Rounding.DOWN, Rounding.UP
        self.stop = self._level(stop, down if is_long else up)
        self.target = self._level(target, up if is_long else down)
        below, above = (self.stop, self.target) if is_long else (self.target, self.stop)
        self.falling = _LEAST if below is None else below.units
        self.rising = _MOST if above is None else above.units
        if band is not None:  # it is seldom nearer than the levels
            if below is None or band[0] > below.price:
                self.falling = max(self.falling, self.candles.units(band[0], down))
            if above is None or band[1] < above.price:
                self.rising = min(self.rising, self.candles.units(band[1], up))

    def reaches(self, index: int) -> bool:
        """Whether candle `index` touches one of the prices."""
        return self.candles.low.item(index) <= self.falling or self.candles.high.item(index) >= self.rising

    def _level(self, price: Decimal | None, rounding: Rounding) -> Level | None:
        return None if price is None else Level(price, self.candles.units(price, rounding))

    # --- fills --------------------------------------------------------------------------------------------------

    def on_fill(self, fill: FillReport) -> None:
        """Take note of an execution: the first one opens the trade, the one that leaves nothing ends it."""
        trade = self.trade
        if trade is None:
            assert self.signal is not None
            direction = self.signal.direction
            self.stop = self.target = None
            trade = self.trade = OpenTrade(self.signal, direction, self.index, int(self._open_time(self.index)))
        trade.fee += fill.fee
        trade.realized += fill.realized_pnl
        trade.slippage += abs(fill.price - self.touch_price) * fill.quantity
        if fill.side is trade.direction.entry_side:
            trade.quantity += fill.quantity
            trade.entered += fill.quantity
            trade.entry_cost += fill.price * fill.quantity
            return
        trade.quantity -= fill.quantity
        if trade.quantity == 0:
            trade.exit_index = self.index
            trade.stop_price = None if self.stop is None else self.stop.price
            trade.target_price = None if self.target is None else self.target.price
            self._finished.append(trade)
            self.trade = None

    def finish(self, record: PositionRecord) -> BacktestTrade:
        """Return the row of the oldest ended trade, with the books that the core kept of it."""
        trade = self._finished.pop(0)
        assert record.entry_price is not None
        assert record.exit_reason is not None
        return BacktestTrade(
            self.symbol,
            trade.signal.strategy,
            trade.direction,
            trade.signal.event_time_ms,
            trade.entry_time_ms,
            record.entry_price,
            self._open_time(trade.exit_index),
            record.exit_price,
            record.entry_quantity,
            record.fees,
            record.funding,
            record.realized_pnl - record.fees + record.funding,
            record.risk_usd,
            record.exit_reason.value,
            trade.ambiguous,
            trade.slippage,
            trade.stop_price,
            trade.target_price,
        )

    def left_open(self) -> BacktestTrade:
        """Return the row of the trade that the end of the data leaves open: what was booked so far."""
        trade = self.trade
        assert trade is not None
        return BacktestTrade(
            symbol=self.symbol,
            strategy=trade.signal.strategy,
            direction=trade.direction,
            signal_time_ms=trade.signal.event_time_ms,
            entry_time_ms=trade.entry_time_ms,
            entry_price=trade.entry_cost / trade.entered,
            exit_time_ms=None,
            exit_price=None,
            quantity=trade.quantity,
            fee=trade.fee,
            funding=trade.funding,
            pnl=trade.realized - trade.fee + trade.funding,
            risk=ZERO,
            exit_reason=STILL_OPEN,
            ambiguous=False,
            slippage=trade.slippage,
            stop_price=None if self.stop is None else self.stop.price,
            target_price=None if self.target is None else self.target.price,
        )

    def _open_time(self, index: int) -> int:
        return self.candles.open_time.item(index)
