"""Numbers and times as people read them. Rounding here is for eyes only; the exact value goes into a tooltip."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from html import escape

from core.instrument import plain
from core.records import PositionRecord
from utils.timefmt import clock, duration, short

CENT = Decimal("0.01")
NONE = "–"  # noqa: RUF001 - a dash for "nothing", as typeset
MINUS = "−"  # noqa: RUF001 - the real minus sign is as wide as the plus


def money(value: Decimal | None) -> str:
    """`10,003.12`, to the cent."""
    return NONE if value is None else _signless(value, f"{value.quantize(CENT, ROUND_HALF_EVEN):,f}")


def signed(value: Decimal | None) -> str:
    """`+12.30`, `0.00` or a loss with a typeset minus, to the cent."""
    if value is None:
        return NONE
    rounded = value.quantize(CENT, ROUND_HALF_EVEN)
    return f"+{rounded:,f}" if rounded > 0 else _signless(rounded, f"{rounded:,f}")


def percent(fraction: Decimal | None, *, sign: bool = False, places: int = 2) -> str:
    """`61.5 %` of a fraction 0.615."""
    if fraction is None:
        return NONE
    value = (fraction * 100).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
    text = _signless(value, f"{value:,f}")
    return f"+{text} %" if sign and value > 0 else f"{text} %"


def price(value: Decimal | None) -> str:
    """All digits that the venue gave, with separators: `94,211.1`; long averages keep eight significant ones."""
    if value is None:
        return NONE
    if len(value.as_tuple().digits) > 8:
        value = value.quantize(Decimal(1).scaleb(max(value.adjusted() - 7, -12)), ROUND_HALF_EVEN)
    return f"{_trimmed(value):,f}"


def quantity(value: Decimal | None) -> str:
    return NONE if value is None else f"{_trimmed(value):,f}"


def exact(value: Decimal | None) -> str:
    """The value to its last digit, for tooltips."""
    return "" if value is None else plain(value)


def tone(value: Decimal | None) -> str:
    """CSS class of a result: `up`, `down` or `flat`, as it is shown (a tenth of a cent is flat)."""
    rounded = Decimal(0) if value is None else value.quantize(CENT, ROUND_HALF_EVEN)
    return "up" if rounded > 0 else "down" if rounded < 0 else "flat"


def span(text: str, css: str = "", title: str = "") -> str:
    """An escaped `<span>`."""
    attributes = f' class="{css}"' if css else ""
    attributes += f' title="{escape(title, quote=True)}"' if title else ""
    return f"<span{attributes}>{escape(text)}</span>"


def result(value: Decimal | None) -> str:
    """A coloured, signed amount with its exact value as tooltip."""
    return span(signed(value), f"num {tone(value)}", exact(value))


def net_pnl(record: PositionRecord) -> Decimal:
    """Result of a trade after fees and funding."""
    return record.realized_pnl - record.fees + record.funding


def moment(time_ms: int | None) -> str:
    """`14:03:22`, with the date as tooltip."""
    return span(NONE) if time_ms is None else span(clock(time_ms), "time", f"{short(time_ms)} UTC")


def age(span_ms: int) -> str:
    """`just now`, `12 s`, `4m 05s`."""
    if span_ms < 1_500:
        return "just now"
    return f"{span_ms // 1000} s" if span_ms < 60_000 else duration(span_ms)


def _trimmed(value: Decimal) -> Decimal:
    """Without trailing zeros and never with an exponent."""
    trimmed = value.normalize()
    return trimmed if int(trimmed.as_tuple().exponent) <= 0 else trimmed.quantize(Decimal(1))


def _signless(value: Decimal, text: str) -> str:
    if not value.quantize(CENT, ROUND_HALF_EVEN):
        return text.replace("-", "")
    return text.replace("-", MINUS)
