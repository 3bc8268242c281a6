"""Times and durations as text for people, and back. All times are UTC epoch milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000))


def to_datetime(time_ms: int) -> datetime:
    """Return the moment as an aware UTC datetime, exact to the millisecond."""
    return _EPOCH + timedelta(milliseconds=time_ms)


def to_ms(moment: datetime) -> int:
    """Return an aware datetime as UTC epoch milliseconds; raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"time {moment} has no zone")
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def iso(time_ms: int) -> str:
    """Return `2026-01-31T14:03:22.123Z`."""
    return to_datetime(time_ms).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def short(time_ms: int) -> str:
    """Return `2026-01-31 14:03:22`."""
    return to_datetime(time_ms).strftime("%Y-%m-%d %H:%M:%S")


def clock(time_ms: int) -> str:
    """Return `14:03:22`."""
    return to_datetime(time_ms).strftime("%H:%M:%S")


def day(time_ms: int) -> str:
    """Return the UTC day, `2026-01-31`."""
    return to_datetime(time_ms).strftime("%Y-%m-%d")


def parse_time(text: str) -> int:
    """Return the moment that `2026-01-31`, `2026-01-31 14:03[:22[.123]]` (UTC unless it names a zone) or plain epoch
    milliseconds mean. Raises ValueError with what is allowed.
    """
    stripped = text.strip()
    if stripped.isdigit() and len(stripped) >= 12:
        return int(stripped)
    try:
        moment = datetime.fromisoformat(stripped)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a time; write 2026-01-31, '2026-01-31 14:03' (UTC) or epoch milliseconds"
        ) from None
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def duration(span_ms: int) -> str:
    """Return a duration with its two largest units: `450ms`, `12.3s`, `4m 05s`, `3h 12m`, `2d 04h`."""
    sign, span = ("-", -span_ms) if span_ms < 0 else ("", span_ms)
    if span < 1_000:
        return f"{sign}{span}ms"
    if span < 60_000:
        return f"{sign}{span // 100 / 10:.1f}s"
    units = pairwise(_UNITS)
    (name, length), (below, below_length) = next(pair for pair in units if span >= pair[0][1])
    return f"{sign}{span // length}{name} {span % length // below_length:02d}{below}"
