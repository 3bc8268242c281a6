"""Until when a tick has nothing to do but to value: every timer of the core, looked at once and not at every tick.

Nothing here acts, and in doubt the answer is "now": a tick too many costs a moment, one too few would lose a deadline.
What is true of the state (`desk` after an event) stays true until the next event but for three things: our clock, the
venue's clock, and prices. The first two are bounds, the last are the stops that a price must not have passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.enums import Direction
from core.frozen import quick_init
from executor.desk import Desk
from executor.marks import SymbolMarket
from executor.steering import stop_at_rest
from executor.trade import Trade

_LONG = Direction.LONG
NEVER = 1 << 62


@quick_init
@dataclass(frozen=True, slots=True)
class Calm:
    """Ticks before `until_ms` (our clock) and `until_venue_ms` do no more while every price is on its side of `stops`.

    A stop is the market of its symbol, its trigger price, and whether it lies below the price.
    """

    until_ms: int
    until_venue_ms: int = NEVER
    stops: tuple[tuple[SymbolMarket, Decimal, bool], ...] = ()

    def lasts(self, now_ms: int, venue_ms: int) -> bool:
        """Return whether it holds at `now_ms` (our clock) and `venue_ms`, at the prices of now."""
        return now_ms < self.until_ms and venue_ms < self.until_venue_ms and not self.is_passed()

    def is_passed(self) -> bool:
        """Return whether a price of now lies beyond one of the stops."""
        for market, trigger, is_below in self.stops:
            # The stop watches the last price, or the mark where that is old: neither may have passed it.
            last, mark = market.last_price, market.mark_price
            if last is not None and (last < trigger if is_below else last > trigger):
                return True
            if mark is not None and (mark < trigger if is_below else mark > trigger):
                return True
        return False


AT_ONCE = Calm(0)


def calm_of(desk: Desk, until_ms: int) -> Calm:
    """Return how long nothing is due but to value what is open; before `until_ms` there is nothing to reconcile."""
    if desk.held or desk.suspects or desk.unwinding or desk.policy.countdown_ms is not None:
        return AT_ONCE
    stops, until_venue_ms = [], min(desk.days.day_end_ms, desk.halts.next_end_ms() or NEVER)
    for trade in desk.book.active.values():
        stop = stop_at_rest(desk, trade)
        if stop is None or stop.stop_price is None:
            return AT_ONCE
        stops.append((desk.market.of(trade.symbol), stop.stop_price, trade.direction is _LONG))
        until_venue_ms = min(until_venue_ms, _held_until_ms(trade))
    return Calm(until_ms, until_venue_ms, tuple(stops))


def _held_until_ms(trade: Trade) -> int:
    """Return the venue time at which the trade's longest holding time is over."""
    if trade.max_holding_ms is None or trade.opened_time_ms is None:
        return NEVER
    return trade.opened_time_ms + trade.max_holding_ms
