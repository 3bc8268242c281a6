"""Fills of others on our contracts that belong to no trade of ours: what a stranger's position is made of."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

from core.enums import PositionSide
from core.orders import FillReport

FILLS_MAX = 100
"""Of one leg; whoever trades more than this by hand beside us is adopted as a correction."""

LegKey = tuple[str, PositionSide]


class Strangers:
    """By leg, the fills since the stranger's part of it was last nothing."""

    def __init__(self) -> None:
        self._fills: defaultdict[LegKey, list[FillReport]] = defaultdict(list)

    def note(self, fill: FillReport) -> None:
        """Add a fill; one that is known already changes nothing."""
        fills = self._fills[fill.symbol, fill.position_side]
        if any(known.trade_id == fill.trade_id for known in fills):
            return
        fills.append(fill)
        if len(fills) > FILLS_MAX or not _total(fills):
            fills.clear()

    def drop(self, fill: FillReport) -> None:
        """A fill has turned out to be one of ours."""
        fills = self._fills.get((fill.symbol, fill.position_side))
        if fills:
            fills[:] = [known for known in fills if known.trade_id != fill.trade_id]

    def take(self, key: LegKey, quantity: Decimal) -> list[FillReport]:
        """Return what `find` finds, and forget all of the leg where it finds something."""
        found = self.find(key, quantity)
        if found:
            del self._fills[key]
        return found

    def opened_after(self, key: LegKey, quantity: Decimal, time_ms: int) -> bool:
        """True when fills of strangers after `time_ms` (venue) make exactly `quantity` (signed, not zero)."""
        fills = self.find(key, quantity) if quantity else []
        return bool(fills) and fills[0].event_time_ms > time_ms

    def find(self, key: LegKey, quantity: Decimal) -> list[FillReport]:
        """Return the newest fills of a leg that add up to exactly `quantity` (signed), else nothing.

        Older ones may be of a position that is over, whose end nobody has told.
        """
        fills, total = self._fills.get(key, []), Decimal(0)
        for place in range(len(fills) - 1, -1, -1):
            total += fills[place].side.sign * fills[place].quantity
            if total == quantity:
                return fills[place:]
        return []


def _total(fills: list[FillReport]) -> Decimal:
    return sum((fill.side.sign * fill.quantity for fill in fills), Decimal(0))
