"""Everything that can happen, as one closed union. Past tense; two times on every message.

`event_time_ms` is the venue's time, `received_time_ms` ours (`Clock.now_ms`). Trading rules (holding time, daily
limits, rests) count venue time, because the embedded exchange may play its market faster than the wall clock;
time-outs, retries and staleness count ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from core.candle import ClosedCandle
from core.frozen import quick_init
from core.orders import (
    AlgoOrderReport,
    BalanceReport,
    OrderReport,
    PositionReport,
)
from core.signal import Signal


@quick_init
@dataclass(frozen=True, slots=True)
class CandleClosed:
    """A candle is final. `received_ns` is monotonic, for latency measurements."""

    candle: ClosedCandle
    event_time_ms: int
    received_time_ms: int
    received_ns: int = 0


@quick_init
@dataclass(frozen=True, slots=True)
class PriceUpdated:
    """The last traded price of a symbol, from the forming candle or a trade."""

    symbol: str
    price: Decimal
    event_time_ms: int
    received_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class MarkPriceUpdated:
    """Mark and index price; `funding_rate` is a fraction paid by longs at `next_funding_time_ms` when positive."""

    symbol: str
    mark_price: Decimal
    index_price: Decimal
    funding_rate: Decimal
    next_funding_time_ms: int
    event_time_ms: int
    received_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class QuoteUpdated:
    """Best bid and ask."""

    symbol: str
    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal
    event_time_ms: int
    received_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class SignalReceived:
    """A strategy's signal reached the executor."""

    signal: Signal
    event_time_ms: int
    received_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class OrderUpdated:
    """A plain order changed, as told by the user stream."""

    report: OrderReport
    event_time_ms: int
    received_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class AlgoOrderUpdated:
    """A conditional order changed, as told by the user stream."""

    report: AlgoOrderReport
    event_time_ms: int
    received_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class AccountUpdated:
    """Balances and positions changed; `reason` is the venue's word (ORDER, FUNDING_FEE, DEPOSIT, ...)."""

    reason: str
    balances: tuple[BalanceReport, ...]
    positions: tuple[PositionReport, ...]
    event_time_ms: int
    received_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class AccountConfigChanged:
    """Leverage of a symbol, or the multi-asset mode, was changed (by us or by a person)."""

    symbol: str | None
    leverage: int | None
    multi_assets: bool | None
    event_time_ms: int
    received_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class MarginCalled:
    """The venue warns that positions come close to liquidation."""

    symbols: tuple[str, ...]
    event_time_ms: int
    received_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class UnknownVenueMessage:
    """A private message that we cannot read: a reason to reconcile, not to crash. `kind` never holds secrets."""

    kind: str
    event_time_ms: int
    received_time_ms: int


class StreamKind(StrEnum):
    MARKET = "market"
    USER = "user"


class StreamState(StrEnum):
    """READY: connected, subscribed and proved. LOST: closed, silent or expired; what was missed is unknown."""

    READY = "ready"
    LOST = "lost"


@quick_init
@dataclass(frozen=True, slots=True)
class StreamChanged:
    """A stream group was lost or is back. READY after LOST demands a reconciliation before any entry."""

    kind: StreamKind
    state: StreamState
    detail: str
    event_time_ms: int
    received_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class InstrumentsRefreshed:
    """exchangeInfo was read again; the holder of instruments has been updated before this event."""

    changed: tuple[str, ...]
    event_time_ms: int
    received_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class ClockJumped:
    """Wall and steady clock parted by `jump_ms`, or the venue's offset moved: everything known is stale."""

    jump_ms: int
    event_time_ms: int
    received_time_ms: int


@quick_init
@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed. `event_time_ms` is the newest venue time known, `received_time_ms` our steady clock."""

    event_time_ms: int
    received_time_ms: int


MarketEvent = CandleClosed | PriceUpdated | MarkPriceUpdated | QuoteUpdated
UserEvent = OrderUpdated | AlgoOrderUpdated | AccountUpdated | AccountConfigChanged | MarginCalled | UnknownVenueMessage
ControlEvent = StreamChanged | InstrumentsRefreshed | ClockJumped | Tick
Event = MarketEvent | UserEvent | ControlEvent | SignalReceived
