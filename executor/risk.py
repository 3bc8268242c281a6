"""Risk guards: each a pure function of a view and the limits, returning None or a denial with its numbers.

They stand before entries only. No rule here is ever asked about a protective or reducing order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from core.enums import Direction, MarginType, SymbolStatus
from core.frozen import quick_init
from core.limits import RiskLimits, StrategyLimits, SymbolLimits
from core.orders import LeverageBracket
from executor.denials import DenialCode, Denied, denied

ZERO = Decimal(0)
NO_STRATEGY_LIMITS = StrategyLimits()


@quick_init
@dataclass(frozen=True, slots=True)
class EntryView:
    """What the guards may know at the moment of a signal. Times in ms; money in the quote asset.

    Ages and offsets count our clock, `venue_time_ms`, `signal_age_ms` and funding times count venue time.
    `day_net_pnl` is today's closed result after fees and funding; `unrealized_pnl` belongs to open positions.
    """

    symbol: str
    strategy: str
    direction: Direction
    price: Decimal | None
    stop_price: Decimal | None
    target_price: Decimal | None
    venue_time_ms: int
    signal_age_ms: int
    is_duplicate: bool = False
    is_stopping: bool = False
    is_degraded: bool = False
    is_reconciled: bool = True
    streams_ready: bool = True
    clock_offset_ms: int | None = 0
    symbol_status: SymbolStatus = SymbolStatus.TRADING
    blocked_reason: str | None = None
    halt_reason: str | None = None
    price_age_ms: int | None = 0
    next_funding_time_ms: int | None = None
    last_funding_time_ms: int | None = None
    has_position: bool = False
    has_unresolved_order: bool = False
    equity: Decimal | None = ZERO
    peak_equity: Decimal = ZERO
    day_start_equity: Decimal = ZERO
    day_net_pnl: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    strategy_day_net_pnl: Decimal = ZERO
    strategy_day_quantity: Decimal = ZERO
    symbol_day_net_pnl: Decimal = ZERO
    consecutive_losses: int = 0
    open_positions: int = 0
    is_lease_lost: bool = False
    strategy_limits: StrategyLimits = NO_STRATEGY_LIMITS


@quick_init
@dataclass(frozen=True, slots=True)
class OrderView:
    """The sized order, for the limits on its size. `margin_available` backs a crossed position."""

    direction: Direction
    price: Decimal
    stop_price: Decimal
    quantity: Decimal
    equity: Decimal
    margin_available: Decimal
    leverage: int
    margin_type: MarginType
    brackets: tuple[LeverageBracket, ...]
    symbol_exposure: Decimal
    total_exposure: Decimal
    strategy_day_quantity: Decimal
    strategy_limits: StrategyLimits = NO_STRATEGY_LIMITS

    @property
    def notional(self) -> Decimal:
        return self.quantity * self.price


Guard = Callable[[EntryView, RiskLimits, SymbolLimits], Denied | None]
OrderGuard = Callable[[OrderView, RiskLimits, SymbolLimits], Denied | None]


def guard_stopping(view: EntryView, _limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    return denied(DenialCode.STOPPING) if view.is_stopping else None


def guard_lease(view: EntryView, _limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    return denied(DenialCode.LEASE_LOST) if view.is_lease_lost else None


def guard_degraded(view: EntryView, _limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    """Without a working database no intent can be recorded, so none may be sent."""
    return denied(DenialCode.DEGRADED) if view.is_degraded else None


def guard_reconciled(view: EntryView, _limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    return None if view.is_reconciled else denied(DenialCode.NOT_RECONCILED)


def guard_streams(view: EntryView, _limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    return None if view.streams_ready else denied(DenialCode.STREAM_DOWN)


def guard_clock(view: EntryView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    """Refuse while the offset to the venue's clock is unknown or too large."""
    if view.clock_offset_ms is not None and abs(view.clock_offset_ms) <= limits.max_clock_offset_ms:
        return None
    return denied(DenialCode.CLOCK_OFFSET, offset_ms=view.clock_offset_ms, max_ms=limits.max_clock_offset_ms)


def guard_symbol(view: EntryView, _limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    """Refuse symbols that are blocked (set-up differs, foreign orders) or not in status TRADING."""
    if view.blocked_reason is not None:
        return denied(DenialCode.SYMBOL_BLOCKED, reason=view.blocked_reason)
    if view.symbol_status is not SymbolStatus.TRADING:
        return denied(DenialCode.SYMBOL_NOT_TRADING, status=view.symbol_status.value)
    return None


def guard_halt(view: EntryView, _limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    return denied(DenialCode.HALTED, reason=view.halt_reason) if view.halt_reason is not None else None


def guard_signal(view: EntryView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    """A candle signals once, and only while its price still means something."""
    if view.is_duplicate:
        return denied(DenialCode.SIGNAL_DUPLICATE)
    if view.signal_age_ms > limits.signal_max_age_ms:
        return denied(DenialCode.SIGNAL_STALE, age_ms=view.signal_age_ms, max_ms=limits.signal_max_age_ms)
    return None


def guard_fresh_data(view: EntryView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    if view.price is None or view.price_age_ms is None or view.price_age_ms > limits.stale_data_ms:
        return denied(DenialCode.STALE_DATA, age_ms=view.price_age_ms, max_ms=limits.stale_data_ms)
    return None


def guard_position(view: EntryView, _limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    """One position a symbol and direction; in one-way mode no flip before the close is confirmed."""
    if view.has_position:
        return denied(DenialCode.POSITION_OPEN)
    if view.has_unresolved_order:
        return denied(DenialCode.ORDER_UNRESOLVED)
    return None


def guard_funding_window(view: EntryView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    """Refuse entries shortly before and after a funding time."""
    if view.next_funding_time_ms is not None:
        ahead = view.next_funding_time_ms - view.venue_time_ms
        if 0 <= ahead < limits.funding_window_before_ms:
            return denied(DenialCode.FUNDING_WINDOW, ms_before=ahead)
    if view.last_funding_time_ms is not None:
        past = view.venue_time_ms - view.last_funding_time_ms
        if 0 <= past < limits.funding_window_after_ms:
            return denied(DenialCode.FUNDING_WINDOW, ms_after=past)
    return None


def guard_levels(view: EntryView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    """The stop exists, lies on the losing side and far enough; a target lies on the winning side."""
    if view.stop_price is None or view.price is None:
        return denied(DenialCode.STOP_MISSING)
    distance = (view.price - view.stop_price) * view.direction.sign
    if distance <= 0:
        return denied(DenialCode.STOP_WRONG_SIDE, price=view.price, stop_price=view.stop_price)
    if distance < view.price * limits.min_stop_fraction:
        return denied(DenialCode.STOP_TOO_CLOSE, distance=distance, min_fraction=limits.min_stop_fraction)
    if view.target_price is not None and (view.target_price - view.price) * view.direction.sign <= 0:
        return denied(DenialCode.TARGET_WRONG_SIDE, price=view.price, target_price=view.target_price)
    return None


def guard_balance(view: EntryView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    if view.equity is None:
        return denied(DenialCode.EQUITY_UNKNOWN)
    if limits.min_balance is not None and view.equity < limits.min_balance:
        return denied(DenialCode.MIN_BALANCE, equity=view.equity, min_balance=limits.min_balance)
    return None


def loss_today(day_net_pnl: Decimal, unrealized_pnl: Decimal) -> Decimal:
    """Return today's loss as a positive amount: closed results plus what open positions stand to lose now."""
    return max(ZERO, -(day_net_pnl + min(ZERO, unrealized_pnl)))


def daily_loss_hit(loss: Decimal, day_start_equity: Decimal, limits: RiskLimits) -> Denied | None:
    """Return the account's daily loss limit that `loss` has reached, or None."""
    if limits.max_daily_loss is not None and loss >= limits.max_daily_loss:
        return denied(DenialCode.DAILY_LOSS, loss=loss, limit=limits.max_daily_loss)
    if limits.max_daily_loss_fraction is not None:
        limit = day_start_equity * limits.max_daily_loss_fraction
        if loss > 0 and loss >= limit:
            return denied(DenialCode.DAILY_LOSS, loss=loss, limit=limit)
    return None


def drawdown_hit(equity: Decimal, peak_equity: Decimal, limits: RiskLimits) -> Denied | None:
    """Return the drawdown limit when equity has fallen that far from its peak, or None."""
    if limits.max_drawdown_fraction is None or peak_equity <= 0:
        return None
    drawdown = (peak_equity - equity) / peak_equity
    if drawdown >= limits.max_drawdown_fraction:
        return denied(DenialCode.DRAWDOWN, drawdown_fraction=drawdown, limit=limits.max_drawdown_fraction)
    return None


def guard_daily_loss(view: EntryView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    return daily_loss_hit(loss_today(view.day_net_pnl, view.unrealized_pnl), view.day_start_equity, limits)


def guard_drawdown(view: EntryView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    return None if view.equity is None else drawdown_hit(view.equity, view.peak_equity, limits)


def guard_strategy_loss(view: EntryView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    """A strategy's loss of the day, by the limit of all strategies and by its own."""
    limit = _smaller(limits.max_strategy_daily_loss, view.strategy_limits.max_daily_loss)
    if limit is not None and -view.strategy_day_net_pnl >= limit:
        return denied(DenialCode.STRATEGY_DAILY_LOSS, net_pnl=view.strategy_day_net_pnl, limit=limit)
    return None


def guard_symbol_loss(view: EntryView, _limits: RiskLimits, symbol: SymbolLimits) -> Denied | None:
    limit = symbol.max_daily_loss
    if limit is not None and -view.symbol_day_net_pnl >= limit:
        return denied(DenialCode.SYMBOL_DAILY_LOSS, net_pnl=view.symbol_day_net_pnl, limit=limit)
    return None


def guard_consecutive_losses(view: EntryView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    limit = limits.max_consecutive_losses
    if limit is not None and view.consecutive_losses >= limit:
        return denied(DenialCode.CONSECUTIVE_LOSSES, losses=view.consecutive_losses, limit=limit)
    return None


def _smaller(first: Decimal | None, second: Decimal | None) -> Decimal | None:
    """Return the stricter of two limits, either of which may be off."""
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)


def guard_open_positions(view: EntryView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    limit = limits.max_open_positions
    if limit is not None and view.open_positions >= limit:
        return denied(DenialCode.MAX_OPEN_POSITIONS, open_positions=view.open_positions, limit=limit)
    return None


def guard_position_notional(view: OrderView, _limits: RiskLimits, symbol: SymbolLimits) -> Denied | None:
    if view.symbol_exposure + view.notional > symbol.max_position_notional:
        return denied(DenialCode.MAX_POSITION_NOTIONAL, notional=view.notional, limit=symbol.max_position_notional)
    return None


def guard_symbol_exposure(view: OrderView, _limits: RiskLimits, symbol: SymbolLimits) -> Denied | None:
    limit = view.equity * symbol.max_exposure_fraction
    if view.symbol_exposure + view.notional > limit:
        return denied(DenialCode.SYMBOL_EXPOSURE, notional=view.symbol_exposure + view.notional, limit=limit)
    return None


def guard_total_exposure(view: OrderView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    if limits.max_total_exposure_fraction is None:
        return None
    limit = view.equity * limits.max_total_exposure_fraction
    if view.total_exposure + view.notional > limit:
        return denied(DenialCode.TOTAL_EXPOSURE, notional=view.total_exposure + view.notional, limit=limit)
    return None


def guard_daily_quantity(view: OrderView, _limits: RiskLimits, symbol: SymbolLimits) -> Denied | None:
    limit = _smaller(symbol.max_daily_quantity, view.strategy_limits.max_daily_quantity)
    if limit is not None and view.strategy_day_quantity + view.quantity > limit:
        return denied(DenialCode.DAILY_QUANTITY, quantity=view.strategy_day_quantity + view.quantity, limit=limit)
    return None


def liquidation_price(view: OrderView) -> Decimal | None:
    """Return the price at which the new position would be liquidated alone, or None when it cannot be.

    Source: the venue's formula for one leg, LP = (WB + cum - s q EP) / (q mmr - s q) with s = +1 long, -1 short.
    Isolated: WB is the initial margin; crossed: what is available, which is less than the wallet and so cautious.
    """
    notional = view.notional
    bracket = next((b for b in view.brackets if b.notional_floor <= notional <= b.notional_cap), None)
    if bracket is None or view.quantity <= 0:
        return None
    margin = notional / view.leverage if view.margin_type is MarginType.ISOLATED else view.margin_available
    sign = view.direction.sign
    numerator = margin + bracket.maintenance_amount - sign * notional
    price = numerator / (view.quantity * bracket.maintenance_margin_rate - sign * view.quantity)
    return price if price > 0 else None


def guard_liquidation(view: OrderView, limits: RiskLimits, _symbol: SymbolLimits) -> Denied | None:
    """The stop must fire well before the venue liquidates."""
    price = liquidation_price(view)
    if price is None:
        return None
    room = (view.stop_price - price) * view.direction.sign
    if room < view.price * limits.liquidation_margin_fraction:
        return denied(DenialCode.LIQUIDATION_TOO_CLOSE, liquidation_price=price, stop_price=view.stop_price)
    return None


ENTRY_GUARDS: tuple[Guard, ...] = (
    guard_stopping,
    guard_lease,
    guard_degraded,
    guard_signal,
    guard_reconciled,
    guard_streams,
    guard_clock,
    guard_symbol,
    guard_halt,
    guard_position,
    guard_fresh_data,
    guard_funding_window,
    guard_levels,
    guard_balance,
    guard_daily_loss,
    guard_drawdown,
    guard_strategy_loss,
    guard_symbol_loss,
    guard_consecutive_losses,
    guard_open_positions,
)

ORDER_GUARDS: tuple[OrderGuard, ...] = (
    guard_position_notional,
    guard_symbol_exposure,
    guard_total_exposure,
    guard_daily_quantity,
    guard_liquidation,
)


def check_entry(view: EntryView, limits: RiskLimits, symbol: SymbolLimits) -> Denied | None:
    """Return the first guard's denial before sizing, or None."""
    for guard in ENTRY_GUARDS:
        refusal = guard(view, limits, symbol)
        if refusal is not None:
            return refusal
    return None


def check_order(view: OrderView, limits: RiskLimits, symbol: SymbolLimits) -> Denied | None:
    """Return the first guard's denial of the sized order, or None."""
    for guard in ORDER_GUARDS:
        refusal = guard(view, limits, symbol)
        if refusal is not None:
            return refusal
    return None
