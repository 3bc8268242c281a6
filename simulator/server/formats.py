"""Decimals as the venue writes them. Text only: nothing here feeds back into a computation."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from core.instrument import Instrument

_EIGHT = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Precision:
    """Decimals that the venue prints for one symbol: prices, quantities, quote amounts, average prices."""

    price: int
    quantity: int

    @classmethod
    def of(cls, instrument: Instrument) -> Precision:
        return cls(instrument.price_precision, instrument.quantity_precision)

    @property
    def quote(self) -> int:
        return self.price + self.quantity

    @property
    def average(self) -> int:
        return max(5, self.price + 2)


def fixed(value: Decimal, decimals: int) -> str:
    """Return plain text with at least `decimals` decimals; digits beyond them are kept, never rounded away."""
    text = format(value, "f")
    point = text.find(".")
    if point < 0:
        return f"{text}.{'0' * decimals}" if decimals else text
    lacking = decimals - (len(text) - point - 1)
    return text + "0" * lacking if lacking > 0 else text


def bare(value: Decimal) -> str:
    """Return plain text without trailing zeros; zero is `0`."""
    if not value:
        return "0"
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def eight(value: Decimal) -> str:
    """Return exactly eight decimals, rounded half-even: money, mark prices, rates."""
    return format(value.quantize(_EIGHT, ROUND_HALF_EVEN), "f")


def eight_or_zero(value: Decimal) -> str:
    """Like `eight`, but a plain `0` for zero, as the venue prints untouched positions."""
    return eight(value) if value else "0"


def bare_eight(value: Decimal) -> str:
    """Return at most eight decimals, rounded half-even, without trailing zeros."""
    return bare(value.quantize(_EIGHT, ROUND_HALF_EVEN))


def average(value: Decimal, decimals: int) -> str:
    """Return an average price with exactly `decimals` decimals, rounded half-even."""
    return format(round(value, decimals), "f")
