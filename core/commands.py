"""Requests to the venue and their replies, as closed unions.

A reply never raises: its outcome is one of `Accepted` (with the payload named at the command), `Refused` (definitely
not executed) or `InDoubt` (may or may not have been executed: ask, never send again blindly). For a read, Refused and
InDoubt both mean *unknown*, never "nothing there".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.enums import MarginType, OrderService, PositionMode, Priority
from core.frozen import quick_init
from core.orders import (
    AlgoOrderReport,
    Approved,
    BalanceReport,
    FillReport,
    IncomeReport,
    LeverageBracket,
    OrderReport,
    PositionReport,
)


@quick_init
@dataclass(frozen=True, slots=True)
class SubmitOrder:
    """Place a plain or conditional order. Payload: OrderReport for plain, AlgoOrderReport for algo."""

    approved: Approved
    priority: Priority

    def __hash__(self) -> int:
        return hash(self.approved.order.client_order_id)


@quick_init
@dataclass(frozen=True, slots=True)
class CancelOrder:
    """Cancel by client order id. Payload: None (the cancellation itself arrives as a report).

    A refusal of kind NOT_FOUND means *ask*, never "cancelled".
    """

    symbol: str
    client_order_id: str
    service: OrderService
    priority: Priority = Priority.EXIT


@quick_init
@dataclass(frozen=True, slots=True)
class QueryOrder:
    """Look one order up by client order id. Payload: OrderReport or AlgoOrderReport."""

    symbol: str
    client_order_id: str
    service: OrderService
    priority: Priority = Priority.QUERY


@quick_init
@dataclass(frozen=True, slots=True)
class IdentifyOrder:
    """Look up whose a plain order is, by the venue's own id, which is all that a listed fill names. Payload:
    OrderReport."""

    symbol: str
    venue_order_id: int
    priority: Priority = Priority.QUERY


@quick_init
@dataclass(frozen=True, slots=True)
class FetchPositions:
    """All positions, or those of one symbol. Payload: tuple[PositionReport, ...] (flat legs may be missing)."""

    symbol: str | None = None
    priority: Priority = Priority.QUERY

    def __hash__(self) -> int:
        return hash(("positions", self.symbol))


@quick_init
@dataclass(frozen=True, slots=True)
class FetchOpenOrders:
    """Open plain orders. Payload: tuple[OrderReport, ...]."""

    symbol: str | None = None
    priority: Priority = Priority.QUERY

    def __hash__(self) -> int:
        return hash(("open orders", self.symbol))


@quick_init
@dataclass(frozen=True, slots=True)
class FetchOpenAlgoOrders:
    """Open conditional orders. Payload: tuple[AlgoOrderReport, ...]."""

    symbol: str | None = None
    priority: Priority = Priority.QUERY

    def __hash__(self) -> int:
        return hash(("open algo orders", self.symbol))


@quick_init
@dataclass(frozen=True, slots=True)
class FetchFills:
    """Fills of a symbol from `from_trade_id` on, or since `start_time_ms`. Payload: tuple[FillReport, ...], ascending.

    The venue's trade rows carry no client order id: it is empty there and resolved by venue order id.
    All pages are read.
    """

    symbol: str
    from_trade_id: int | None = None
    start_time_ms: int | None = None
    priority: Priority = Priority.QUERY

    def __hash__(self) -> int:
        return hash(("fills", self.symbol, self.start_time_ms))


@quick_init
@dataclass(frozen=True, slots=True)
class FetchIncome:
    """Ledger rows since `start_time_ms`. Payload: tuple[IncomeReport, ...], ascending; all pages are read."""

    start_time_ms: int
    income_type: str | None = None
    priority: Priority = Priority.QUERY

    def __hash__(self) -> int:
        return hash(("income", self.start_time_ms))


@quick_init
@dataclass(frozen=True, slots=True)
class FetchBalances:
    """Wallets. Payload: tuple[BalanceReport, ...]."""

    priority: Priority = Priority.QUERY

    def __hash__(self) -> int:
        return hash("balances")


@quick_init
@dataclass(frozen=True, slots=True)
class SymbolConfig:
    """Leverage and margin type of a symbol as the venue holds them."""

    symbol: str
    leverage: int
    margin_type: MarginType


@quick_init
@dataclass(frozen=True, slots=True)
class FetchSymbolConfig:
    """Read leverage and margin type back. Payload: tuple[SymbolConfig, ...]."""

    symbol: str | None = None
    priority: Priority = Priority.QUERY


@quick_init
@dataclass(frozen=True, slots=True)
class FetchLeverageBrackets:
    """The notional ladder of every symbol. Payload: dict[str, tuple[LeverageBracket, ...]]."""

    priority: Priority = Priority.QUERY


@quick_init
@dataclass(frozen=True, slots=True)
class CommissionRate:
    """Fee rates as fractions of the notional."""

    symbol: str
    maker: str
    taker: str


@quick_init
@dataclass(frozen=True, slots=True)
class FetchCommissionRate:
    """Payload: CommissionRate (rates as plain decimal text)."""

    symbol: str
    priority: Priority = Priority.QUERY


@quick_init
@dataclass(frozen=True, slots=True)
class FetchPositionMode:
    """Payload: PositionMode."""

    priority: Priority = Priority.QUERY


@quick_init
@dataclass(frozen=True, slots=True)
class SetPositionMode:
    """Payload: None. "Already so" counts as accepted."""

    mode: PositionMode
    priority: Priority = Priority.QUERY


@quick_init
@dataclass(frozen=True, slots=True)
class SetLeverage:
    """Payload: None."""

    symbol: str
    leverage: int
    priority: Priority = Priority.QUERY


@quick_init
@dataclass(frozen=True, slots=True)
class SetMarginType:
    """Payload: None. "Already so" counts as accepted."""

    symbol: str
    margin_type: MarginType
    priority: Priority = Priority.QUERY


@dataclass(frozen=True, slots=True)
class SetCountdownCancel:
    """Have the venue cancel the symbol's plain orders after `countdown_ms` unless told again; 0 stops the countdown.

    Payload: None. Times are the venue's gateway clock.
    """

    symbol: str
    countdown_ms: int
    priority: Priority = Priority.QUERY


VenueCommand = (
    SubmitOrder
    | CancelOrder
    | QueryOrder
    | IdentifyOrder
    | FetchPositions
    | FetchOpenOrders
    | FetchOpenAlgoOrders
    | FetchFills
    | FetchIncome
    | FetchBalances
    | FetchSymbolConfig
    | FetchLeverageBrackets
    | FetchCommissionRate
    | FetchPositionMode
    | SetPositionMode
    | SetLeverage
    | SetMarginType
    | SetCountdownCancel
)

Payload = (
    OrderReport
    | AlgoOrderReport
    | tuple[OrderReport, ...]
    | tuple[AlgoOrderReport, ...]
    | tuple[PositionReport, ...]
    | tuple[FillReport, ...]
    | tuple[IncomeReport, ...]
    | tuple[BalanceReport, ...]
    | tuple[SymbolConfig, ...]
    | dict[str, tuple[LeverageBracket, ...]]
    | CommissionRate
    | PositionMode
    | None
)


class RefusalKind(StrEnum):
    """Why the venue certainly did not execute the request, by what must happen next."""

    BUSINESS = "business"  # final: filters, margin, mode
    NOT_FOUND = "not_found"  # unknown order: evidence only after a settle window
    DUPLICATE_ID = "duplicate_id"  # an open order has this client id: ask
    WOULD_TRIGGER = "would_trigger"  # the stop's price is already passed: exit at market
    REDUCE_ONLY = "reduce_only"  # nothing left to reduce: re-read the position
    THROTTLED = "throttled"  # may pass later; retry_after_s when told
    BANNED = "banned"  # nothing but waiting helps; retry_after_s when told
    AUTHENTICATION = "authentication"  # halt entries, alert once
    CLOCK = "clock"  # -1021: resync, then the same request may go again
    LOCAL = "local"  # never left this process (budget, shutdown)


@quick_init
@dataclass(frozen=True, slots=True)
class Accepted:
    """Executed; `payload` as named at the command."""

    payload: Payload


@quick_init
@dataclass(frozen=True, slots=True)
class Refused:
    """Definitely not executed. `code` is the venue's number (0 when it gave none)."""

    kind: RefusalKind
    code: int
    message: str
    retry_after_s: float | None = None


@quick_init
@dataclass(frozen=True, slots=True)
class InDoubt:
    """May have been executed: timeout, cut connection, 5xx, unreadable answer."""

    detail: str


Outcome = Accepted | Refused | InDoubt


@quick_init
@dataclass(frozen=True, slots=True)
class VenueReply:
    """What became of a command. Fed back to the pure core as an event.

    `expires_time_ms` for writes: after this moment of our steady clock the venue can no longer accept the signed
    request (timestamp + recvWindow, plus a margin): one of the three proofs of absence.
    """

    command: VenueCommand
    outcome: Outcome
    event_time_ms: int
    received_time_ms: int
    expires_time_ms: int | None = None

    def payload(self) -> Any:
        """Return the payload of an accepted reply; raises TypeError otherwise."""
        if not isinstance(self.outcome, Accepted):
            raise TypeError(f"no payload in {self.outcome}")
        return self.outcome.payload
