"""Columns of indicators that were measured before on the same candles: an optimisation asks for the same ones often."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from numpy import ndarray

from strategies.indicators.base import Indicator

BYTES_MAX = 128 << 20


class ColumnMemory:
    """Remembers what `Indicator.over` returned; beyond `bytes_max` it forgets what was not asked for the longest.

    A `place` names candles that never change, such as a symbol and an interval of one span. Remembered columns are
    read-only.
    """

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._columns: OrderedDict[Hashable, Any] = OrderedDict()

    def over(self, place: Hashable, indicator: Indicator, columns: tuple[ndarray, ...]) -> Any:
        """Return the indicator over the columns of `place`."""
        key = (place, indicator.spec)
        try:
            found = self._columns.get(key)
        except TypeError:  # an argument that cannot be a key
            return indicator.over(*columns)
        if found is not None:
            self._columns.move_to_end(key)
            return found
        found = indicator.over(*columns)
        for column in _arrays(found):
            column.flags.writeable = False
        self._columns[key] = found
        self._bytes += _size(found)
        while self._bytes > self._bytes_max and len(self._columns) > 1:
            self._bytes -= _size(self._columns.popitem(last=False)[1])
        return found


def _arrays(result: Any) -> tuple[ndarray, ...]:
    return (result,) if isinstance(result, ndarray) else tuple(result)


def _size(result: Any) -> int:
    return sum(column.nbytes for column in _arrays(result))
