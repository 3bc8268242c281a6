"""The replay: steps from one instant at which something can happen to the next, on all symbols and one account.

Between those instants nothing is looked at: a position waits for the first candle that touches one of its prices,
and that one is found in the columns. Events of one instant happen in a fixed order: the day begins, exits and funding
at the open, entries decided at the last close, touches inside the candle, decisions at its close; within each, symbols
in the order in which they were given.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum

from backtest.candles import MINUTE_MS, ReplayCandles
from backtest.finer import target_comes_first
from backtest.lane import Lane
from backtest.settings import BothHitRule, ReplaySettings, adapt_config
from backtest.signals import Decisions
from backtest.tally import COUNTED, Tally
from backtest.trades import BacktestTrade
from backtest.venue import ReplayVenue
from core.candle import DAY_MS
from core.enums import Direction, MarginType, PositionMode
from core.errors import ConfigurationError, RuntimeFailure
from core.limits import TradingConfig
from core.orders import FillReport
from core.records import AlertRecord, Record
from simulator.market.candle_market import CandleMarket
from simulator.market.model import FundingPoint

ZERO = Decimal(0)
OnDay = Callable[[int, Sequence[BacktestTrade]], bool]
_INSIDE_MS = 30_000
"""When a touch inside a candle is booked: candles do not tell, so in the middle."""


class Step(IntEnum):
    """What happens first when several things happen at one time."""

    DAY = 0
    OPEN = 1
    INSIDE = 2
    CLOSE = 3


_DAY, _OPEN, _INSIDE = Step.DAY, Step.OPEN, Step.INSIDE


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What came of a replay. `wallet` is the account at the end; `equity_start` what it began with.

    `signals` were seen by the executor, `skipped` stood while their symbol already held a position. `denials` counts
    refusals, the executor's by code. `ambiguous_exits` counts trades whose exit candle touched stop and target,
    `finer_exits` those of which finer candles told the order. `end_ms` is the end of the last candle that was played.
    """

    trades: tuple[BacktestTrade, ...]
    deposit: Decimal
    wallet: Decimal
    signals: int
    skipped: int
    denials: Mapping[str, int]
    alerts: tuple[AlertRecord, ...]
    end_ms: int
    finer_exits: int = 0

    @property
    def ambiguous_exits(self) -> int:
        return sum(trade.ambiguous for trade in self.trades)


class Replay:
    """One run. `should_stop` is asked once a day of market time: True ends the run there, with what is finished.
    `on_day` is told the time and the trades so far at the same moments, and may end the run too.

    `on_record` hears everything that the core writes, as a database would.
    """

    def __init__(
        self,
        decisions: Sequence[Decisions],
        config: TradingConfig,
        settings: ReplaySettings,
        *,
        funding: Mapping[str, tuple[FundingPoint, ...]] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
        on_day: OnDay | None = None,
        on_record: Callable[[Record], None] | None = None,
    ) -> None:
        if config.position_mode is not PositionMode.ONEWAY:
            raise ConfigurationError("POSITION_MODE: HEDGE cannot be replayed on candles; set POSITION_MODE=ONEWAY")
        candles: dict[str, ReplayCandles] = {one.candles.symbol: one.candles for one in decisions}
        if not candles or not any(len(one) for one in candles.values()):
            raise ConfigurationError("nothing to replay: no candles in this span; widen --from and --to")
        self._settings = settings
        self._rules = {
            (one.candles.symbol, one.active.name): BothHitRule(one.active.params.both_hit_rule) for one in decisions
        }
        self._tally = Tally()
        self._should_stop = should_stop
        self._on_day = on_day
        self._record_to = on_record
        self._start_ms = min(int(one.open_time[0]) for one in candles.values() if len(one))
        self._end_ms = max(int(one.open_time[-1]) for one in candles.values() if len(one)) + MINUTE_MS
        specs = {symbol: one.spec for symbol, one in candles.items()}
        self._market = CandleMarket(specs, self._start_ms, settings.slippage_bps, funding)
        for symbol, one in candles.items():
            self._market.value(symbol, one.price(int(one.open[0])) if len(one) else Decimal(1))
        self._lanes = [
            Lane(rank, one, [d for d in decisions if d.candles is one]) for rank, one in enumerate(candles.values())
        ]
        self._by_symbol = {lane.symbol: lane for lane in self._lanes}
        self._venue = ReplayVenue(
            self._market,
            adapt_config(config, settings),
            settings.deposit,
            on_record=self._on_record,
            on_alert=self._tally.alerts.append,
            on_fill=self._on_fill,
            writes_orders=on_record is not None,
        )
        self._is_crossed = len(self._lanes) > 1 and any(
            limits.margin_type is MarginType.CROSSED for limits in config.symbols.values()
        )
        self._queue: list[tuple[int, int, int, int]] = []
        self._funding_times = _times(funding or {}, self._start_ms, self._end_ms)

    def run(self) -> ReplayResult:
        """Replay everything and return what came of it.

        Raises RuntimeFailure when the trades do not add up to the wallet to the last digit: a defect, never a result.
        """
        queue = self._queue
        for lane in self._lanes:
            self._schedule_signal(lane)
        heapq.heappush(queue, (self._start_ms - self._start_ms % DAY_MS + DAY_MS, Step.DAY, -1, 0))
        for time_ms in self._funding_times:
            heapq.heappush(queue, (time_ms, Step.OPEN, -1, 0))
        while queue and queue[0][0] < self._end_ms:
            time_ms, step, rank, token = heapq.heappop(queue)
            if rank >= 0 and token != self._lanes[rank].token:
                continue  # the lane waits for something else by now
            if step == _DAY:
                self._day(time_ms)
            elif rank < 0:
                self._fund(time_ms)
            elif step == _OPEN:
                self._open(self._lanes[rank], time_ms)
            elif step == _INSIDE:
                self._inside(self._lanes[rank], time_ms)
            else:
                self._close(self._lanes[rank], time_ms)
        return self._result()

    # --- instants -----------------------------------------------------------------------------------------------

    def _day(self, time_ms: int) -> None:
        """A UTC day begins: daily limits count from the equity of now."""
        self._value_positions(time_ms, except_for=None)
        self._venue.tick(time_ms)
        heapq.heappush(self._queue, (time_ms + DAY_MS, Step.DAY, -1, 0))
        if self._should_stop() or (self._on_day is not None and self._on_day(time_ms, self._tally.trades)):
            self._end_ms = time_ms

    def _fund(self, time_ms: int) -> None:
        """Funding is due, on the recorded mark price or the open of its minute; bands to liquidation move with it."""
        held = [lane for lane in self._lanes if lane.trade is not None]
        for lane in held:
            at = lane.index_at(time_ms)
            price = self._market.funding_mark(lane.symbol, time_ms)
            if price is None and at < len(lane.candles):
                price = lane.candles.price(lane.candles.open.item(at))
            if price is not None:
                self._market.value(lane.symbol, price)
        self._venue.advance(time_ms)
        for lane in held:
            self._watch_again(lane, time_ms)

    def _open(self, lane: Lane, time_ms: int) -> None:
        """The first price of a candle: levels that it lies beyond, then the entry that waits for it, then timers."""
        price = lane.candles.price(lane.candles.open.item(lane.index))
        lane.touch_price = price
        self._venue.trade_at(lane.symbol, price, time_ms)
        if lane.awaits_entry:
            lane.awaits_entry = False
            self._venue.tell_price(lane.symbol, price, time_ms)
            self._venue.release(lane.symbol, time_ms)
        elif lane.trade is not None:
            self._venue.tell_price(lane.symbol, price, time_ms)
            self._venue.tick(time_ms)
        self._follow_pool(lane, time_ms)
        if lane.trade is None:
            self._schedule_signal(lane)
        else:
            self._read_levels(lane)
            if lane.reaches(lane.index):
                self._expect(lane, time_ms + _INSIDE_MS, Step.INSIDE)
            else:
                self._watch(lane, lane.index + 1)

    def _inside(self, lane: Lane, time_ms: int) -> None:
        """A candle touches a level. Of stop and target the rule's one is reached first."""
        candles, index, trade = lane.candles, lane.index, lane.trade
        assert trade is not None
        low, high = candles.low.item(index), candles.high.item(index)
        levels = [level for level in (lane.stop, lane.target) if level is not None and low <= level.units <= high]
        is_seen = False
        if len(levels) > 1:
            rule = self._settings.both_hit_rule or self._rules[lane.symbol, trade.signal.strategy]
            prices = levels[0].price, levels[1].price
            is_target, is_seen = target_comes_first(rule, candles.finer, candles.open_time.item(index), *prices)
            if is_target:
                levels.reverse()
            trade.ambiguous = not is_seen
        for price in (level.price for level in levels):
            lane.touch_price = price
            self._venue.trade_at(lane.symbol, price, time_ms)
            if lane.trade is None:
                break
        if lane.trade is not None:
            trade.ambiguous = False
            self._stress(lane, time_ms)
        elif is_seen:
            self._tally.finer += 1
        self._follow_pool(lane, time_ms)
        if lane.trade is None:
            self._schedule_signal(lane)
        else:
            self._read_levels(lane)
            self._watch(lane, index + 1)

    def _stress(self, lane: Lane, time_ms: int) -> None:
        """The candle leaves the band in which no liquidation is due: let the engine see its worst price and its end."""
        candles, index, trade = lane.candles, lane.index, lane.trade
        assert trade is not None
        worst = candles.low if trade.direction is Direction.LONG else candles.high
        for column in (worst, candles.close):
            if lane.trade is not None:
                price = candles.price(column.item(index))
                lane.touch_price = price
                self._venue.trade_at(lane.symbol, price, time_ms)

    def _close(self, lane: Lane, time_ms: int) -> None:
        """A candle ends on which a strategy decided to enter; its order waits for the next open."""
        decisions, number = lane.take_signal()
        index = decisions.indices.item(number)
        if lane.trade is not None or lane.awaits_entry:
            self._tally.skipped += 1
            return
        self._tally.signals += 1
        signal = decisions.signal(number, explains=self._record_to is not None)
        self._value_positions(time_ms, except_for=lane)
        self._venue.tell_price(lane.symbol, signal.reference_price, time_ms)
        if self._venue.signal(signal) and index + 1 < len(lane.candles):
            lane.signal, lane.awaits_entry = signal, True
            lane.index = index + 1
            self._expect(lane, lane.candles.open_time.item(lane.index), Step.OPEN)
            while lane.next_index == index:  # of several strategies that signal at one close the first one enters
                lane.take_signal()
                self._tally.skipped += 1
        elif index + 1 < len(lane.candles):
            self._schedule_signal(lane)

    def _follow_pool(self, changed: Lane, time_ms: int) -> None:
        """A fill moves the bands of all positions that share the cross wallet."""
        if self._is_crossed:
            for lane in self._lanes:
                if lane is not changed:
                    self._watch_again(lane, time_ms)

    def _watch_again(self, lane: Lane, time_ms: int) -> None:
        if lane.trade is not None and not lane.awaits_entry:
            self._read_levels(lane)
            self._watch(lane, lane.newest_closed(time_ms) + 1)

    # --- what comes next ----------------------------------------------------------------------------------------

    def _expect(self, lane: Lane, time_ms: int, step: Step) -> None:
        """Come back to the lane then, and not when it was expected before."""
        lane.token += 1
        heapq.heappush(self._queue, (time_ms, step, lane.rank, lane.token))

    def _schedule_signal(self, lane: Lane) -> None:
        """Wait for the next signal at or after the present candle's close; those that stood meanwhile are skipped."""
        self._tally.skipped += lane.skip_before(lane.index)
        index = lane.next_index
        if index is not None:
            close_ms = lane.candles.open_time.item(index) + MINUTE_MS - 1
            self._expect(lane, close_ms, Step.CLOSE)

    def _watch(self, lane: Lane, start: int) -> None:
        """Wait for the first candle from `start` on that touches a level, or for the end of the holding time."""
        candles, trade = lane.candles, lane.trade
        assert trade is not None
        if lane.stop is None:  # being closed, or not protected: the core must be able to act at every open
            found = start
        else:
            touched = candles.first_beyond(start, lane.falling, lane.rising)
            found = len(candles) if touched is None else touched
        is_timed = lane.stop is None
        if trade.signal.max_holding_ms is not None:
            held = max(start, lane.index_at(trade.entry_time_ms + trade.signal.max_holding_ms))
            is_timed |= held <= found
            found = min(found, held)
        if found >= len(candles):
            self._tally.skipped += lane.skip_before(len(candles))
            return
        lane.index = found
        open_ms = candles.open_time.item(found)
        # An open between the levels changes nothing: the touch inside the candle is all that happens.
        is_inside = not is_timed and lane.falling < candles.open.item(found) < lane.rising
        if is_inside:
            self._expect(lane, open_ms + _INSIDE_MS, Step.INSIDE)
        else:
            self._expect(lane, open_ms, Step.OPEN)

    def _read_levels(self, lane: Lane) -> None:
        trade = lane.trade
        assert trade is not None
        stop, target = self._venue.levels(lane.symbol)
        band = self._venue.exchange.safe_band(lane.symbol)
        lane.set_levels(trade.direction is Direction.LONG, stop, target, band)

    def _value_positions(self, time_ms: int, *, except_for: Lane | None) -> None:
        """Bring every open position to its newest close, so that the account's limits count what it is worth now."""
        for lane in self._lanes:
            if lane.trade is not None and lane is not except_for:
                at = lane.newest_closed(time_ms)
                if at >= 0:
                    self._venue.tell_price(lane.symbol, lane.candles.price(lane.candles.close.item(at)), time_ms)

    # --- what core and engine tell ----------------------------------------------------------------------------------

    def _on_fill(self, fill: FillReport) -> None:
        self._by_symbol[fill.symbol].on_fill(fill)

    def _on_record(self, record: Record) -> None:
        if self._record_to is not None:
            self._record_to(record)
        if type(record) in COUNTED:
            self._tally.take(record, self._by_symbol)

    # --- the end ------------------------------------------------------------------------------------------------

    def _result(self) -> ReplayResult:
        tally = self._tally
        still_open = [lane.left_open() for lane in self._lanes if lane.trade is not None]
        trades = sorted([*tally.trades, *still_open], key=lambda trade: (trade.entry_time_ms, trade.symbol))
        wallet = self._venue.exchange.wallet_balance
        booked = self._settings.deposit + sum((trade.pnl for trade in trades), ZERO)
        if booked != wallet:
            raise RuntimeFailure(
                f"the trades add up to {booked}, the wallet holds {wallet}: a defect of the replay; please report it"
            )
        return ReplayResult(
            trades=tuple(trades),
            deposit=self._settings.deposit,
            wallet=wallet,
            signals=tally.signals,
            skipped=tally.skipped,
            denials=dict(tally.denials),
            alerts=tuple(tally.alerts),
            end_ms=self._end_ms,
            finer_exits=tally.finer,
        )


def _times(funding: Mapping[str, tuple[FundingPoint, ...]], start_ms: int, end_ms: int) -> list[int]:
    every = {point.time_ms for points in funding.values() for point in points}
    return sorted(time_ms for time_ms in every if start_ms <= time_ms < end_ms)
