"""A read-only picture of the core for heartbeat, terminal summary and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from core.enums import Direction, Leg
from core.records import HaltRecord, TradeState
from executor.desk import Desk
from executor.halts import ALL, KILL
from executor.trade import Trade


@dataclass(frozen=True, slots=True)
class TradeView:
    """One trade that is not over. `stop_price` and `target_price` are those of orders that stand, else None.
    `mark_price` is what the position is valued at: the mark, or the last price before the first mark."""

    intent_id: int
    symbol: str
    strategy: str
    direction: Direction
    state: TradeState
    quantity: Decimal
    entry_price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    mark_price: Decimal | None
    unrealized_pnl: Decimal


@dataclass(frozen=True, slots=True)
class CoreView:
    """`is_open_for_entries` tells whether the account as a whole takes entries; symbols may still be blocked."""

    is_reconciled: bool
    is_degraded: bool
    is_stopping: bool
    user_stream_ready: bool
    market_stream_ready: bool
    last_reconcile_ms: int | None
    wallet: Decimal | None
    equity: Decimal | None
    available: Decimal
    peak_equity: Decimal
    unrealized_pnl: Decimal
    day_net_pnl: Decimal
    trades: tuple[TradeView, ...]
    halts: tuple[HaltRecord, ...]
    blocked: dict[str, str]
    entries_filled: int
    trades_closed: int
    trades_won: int
    denials: int
    corrections: int
    next_intent: int
    is_killed: bool = False
    unwinding: Mapping[str, str] = field(default_factory=dict)
    """What is being emptied and not verified flat yet: scope to what is left."""
    flat_counts: Mapping[str, int] = field(default_factory=dict)
    """How often each scope ("*" or a symbol) was verified flat by this process."""
    resumed: int = 0

    @property
    def is_open_for_entries(self) -> bool:
        streams = self.user_stream_ready and self.market_stream_ready
        return self.is_reconciled and streams and not self.is_degraded and not self.is_stopping and not self.is_killed

    @property
    def open_positions(self) -> tuple[TradeView, ...]:
        return tuple(trade for trade in self.trades if trade.quantity > 0)


def view_of(desk: Desk, last_reconcile_ms: int | None) -> CoreView:
    account, link = desk.account, desk.link
    blocked = {symbol: s.blocked_reason for symbol, s in desk.setup.items() if s.blocked_reason is not None}
    return CoreView(
        is_reconciled=link.reconciled,
        is_degraded=link.degraded,
        is_stopping=link.stopping,
        user_stream_ready=link.user_ready,
        market_stream_ready=link.market_ready,
        last_reconcile_ms=last_reconcile_ms,
        wallet=account.wallet,
        equity=account.equity,
        available=account.available,
        peak_equity=account.peak_equity,
        unrealized_pnl=account.unrealized_pnl,
        day_net_pnl=desk.days.net_pnl(),
        trades=tuple(_trade_view(desk, trade) for trade in desk.book.active.values() if not trade.is_over),
        halts=desk.halts.active(),
        blocked={**blocked, **desk.foreign_orders, **desk.foreign_positions},
        entries_filled=desk.entries_filled,
        trades_closed=desk.trades_closed,
        trades_won=desk.days.won,
        denials=desk.denials,
        corrections=desk.corrections,
        next_intent=desk.next_intent,
        is_killed=desk.halts.is_active(ALL, KILL),
        unwinding={scope: item.remaining for scope, item in desk.unwinding.items() if not item.is_verified},
        flat_counts=dict(desk.flat_counts),
        resumed=desk.resumed,
    )


def _trade_view(desk: Desk, trade: Trade) -> TradeView:
    stop, target = trade.standing(Leg.STOP), trade.standing(Leg.TARGET)
    price = desk.market.of(trade.symbol).valuation_price
    return TradeView(
        intent_id=trade.intent_id,
        symbol=trade.symbol,
        strategy=trade.strategy,
        direction=trade.direction,
        state=trade.state,
        quantity=trade.leaves,
        entry_price=trade.entry_price,
        stop_price=None if stop is None else stop.stop_price,
        target_price=None if target is None else target.stop_price,
        mark_price=price,
        unrealized_pnl=trade.unrealized_pnl(price),
    )
