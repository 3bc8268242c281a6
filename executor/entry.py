"""From signal to entry order: checks, size, filters, and one durable write before anything leaves."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.commands import SubmitOrder
from core.enums import Leg, PositionMode, PositionSide, Priority
from core.frozen import quick_init
from core.ids import ClientOrderId
from core.instrument import Instrument
from core.limits import StrategyLimits
from core.orders import Approved
from core.records import DenialRecord, SignalRecord, SignalStatus
from core.signal import Signal
from executor.denials import DenialCode, Denied, denied, limit_scope
from executor.desk import Desk
from executor.filters import EntryPlan, approve_entry, position_side_for, stop_trigger_price, target_trigger_price
from executor.kill import alert_limit
from executor.lifecycle import TERMINAL, TradeEvent
from executor.risk import NO_STRATEGY_LIMITS, EntryView, OrderView, check_entry, check_order
from executor.sizing import Sized, SizingInput, size_entry
from executor.tracked import track_request
from executor.trade import Trade
from executor.valuation import symbol_exposure, total_exposure

ZERO = Decimal(0)


@quick_init
@dataclass(frozen=True, slots=True)
class _Levels:
    """Expected entry and the planned, rounded exits around it."""

    price: Decimal
    stop_price: Decimal
    target_price: Decimal | None


@quick_init
@dataclass(frozen=True, slots=True)
class _OpenNow:
    """Absolute notional that is open or pending, on the signal's symbol and on all."""

    symbol: Decimal
    total: Decimal


def on_signal(desk: Desk, signal: Signal) -> None:
    """Turn a signal into a recorded intent and its market order, or into a stored denial."""
    instrument = desk.instrument(signal.symbol)
    outcome: Approved | Denied
    if instrument is None or signal.symbol not in desk.config.symbols:
        _deny(desk, signal, denied(DenialCode.SYMBOL_UNKNOWN, symbol=signal.symbol))
        return
    view = _view(desk, signal, instrument)
    refusal = check_entry(view, desk.config.limits, desk.limits_of(signal.symbol))
    desk.remember_signal(signal.signal_id)
    if refusal is not None or view.price is None or view.stop_price is None:
        _deny(desk, signal, refusal or denied(DenialCode.STOP_MISSING))
        return
    levels = _Levels(view.price, view.stop_price, view.target_price)
    open_now = _OpenNow(symbol_exposure(desk, signal.symbol), total_exposure(desk))
    sized = _size(desk, signal, levels, open_now)
    if isinstance(sized, Denied):
        _deny(desk, signal, sized)
        return
    identity = ClientOrderId(desk.epoch, desk.next_intent, Leg.ENTRY, 0)
    plan = EntryPlan(
        signal.direction.entry_side,
        position_side_for(signal.direction, desk.config.position_mode),
        sized.quantity,
        levels.price,
        desk.market.of(signal.symbol).valuation_price or levels.price,
        levels.stop_price,
        str(identity),
    )
    outcome = _approve(desk, signal, instrument, plan, open_now)
    if isinstance(outcome, Denied):
        _deny(desk, signal, outcome)
        return
    _enter(desk, signal, levels, outcome, identity)


def _view(desk: Desk, signal: Signal, instrument: Instrument) -> EntryView:
    symbol, direction, link = signal.symbol, signal.direction, desk.link
    market = desk.market.of(symbol)
    setup = desk.setup.get(symbol)
    halt = desk.halts.blocking(symbol)
    price, exits = market.trading_price, signal.exits
    stop = None if price is None else exits.stop_for(price, direction)
    target = None if price is None else exits.target_for(price, direction)
    account, days = desk.account, desk.days
    trades, side = desk.book.of_symbol(symbol), position_side_for(direction, desk.config.position_mode)
    return EntryView(  # by position, field by field: with names it would cost four times as much
        symbol,
        signal.strategy,
        direction,
        price,
        None if stop is None else stop_trigger_price(instrument, stop, direction),
        None if target is None else target_trigger_price(instrument, target, direction),
        desk.venue_ms,
        desk.venue_ms - signal.event_time_ms,
        desk.is_known_signal(signal.signal_id),
        link.stopping,
        link.degraded,
        link.reconciled and not _is_suspect(desk, symbol),
        link.user_ready and link.market_ready,
        link.clock_offset_ms,
        instrument.status,
        _block_reason(desk, symbol, None if setup is None else setup.blocked_reason),
        None if halt is None else f"{halt.scope}: {halt.reason}",
        market.price_age_ms(desk.now_ms),
        market.next_funding_time_ms,
        market.last_funding_time_ms,
        _has_position(desk, trades, symbol, side),
        _has_unresolved(desk, trades, symbol, side),
        account.equity,
        account.peak_equity,
        account.day_start_equity or ZERO,
        days.net_pnl(),
        account.unrealized_pnl,
        days.strategy_net_pnl(signal.strategy),
        days.strategy_quantity(signal.strategy, symbol),
        days.symbol_net_pnl(symbol),
        days.consecutive_losses,
        open_positions(desk),
        link.lease_lost,
        _strategy_limits(desk, signal),
    )


def open_positions(desk: Desk) -> int:
    """Return how many positions there are or may soon be: trades that have not ended."""
    return len([trade for trade in desk.book.active.values() if trade.state not in TERMINAL])


def _strategy_limits(desk: Desk, signal: Signal) -> StrategyLimits:
    return desk.config.strategies.get(signal.strategy) or NO_STRATEGY_LIMITS


def _is_suspect(desk: Desk, symbol: str) -> bool:
    """True while the venue's quantity and ours differ on the symbol."""
    for side in desk.position_sides():
        fact = desk.positions.get(symbol, side)
        if fact is not None and fact.quantity != desk.expected((symbol, side)):
            return True
    return False


def _block_reason(desk: Desk, symbol: str, setup_reason: str | None) -> str | None:
    return setup_reason or desk.foreign_positions.get(symbol) or desk.foreign_orders.get(symbol)


def _has_position(desk: Desk, trades: list[Trade], symbol: str, side: PositionSide) -> bool:
    """True when the leg that the signal would use is or may be held, by our book or by the venue's word."""
    for trade in trades:
        if trade.position_side is side and not trade.is_over:
            return True
    fact = desk.positions.get(symbol, side)
    return fact is not None and fact.quantity != 0


def _has_unresolved(desk: Desk, trades: list[Trade], symbol: str, side: PositionSide) -> bool:
    """True when an order of a finished trade may still act: a left-over stop would close the new position."""
    in_hedge = desk.config.position_mode is PositionMode.HEDGE
    for item in desk.held.values():
        if item.fill.symbol == symbol:
            return True
    for trade in trades:
        if trade.is_over and not trade.is_clear and (trade.position_side is side or not in_hedge):
            return True
    return False


def _size(desk: Desk, signal: Signal, levels: _Levels, open_now: _OpenNow) -> Sized | Denied:
    limits, setup = desk.limits_of(signal.symbol), desk.setup_of(signal.symbol)
    return size_entry(
        desk.config.sizing,
        SizingInput(
            signal.direction,
            levels.price,
            levels.stop_price,
            desk.account.equity or ZERO,
            desk.account.available,
            setup.taker_fee_rate,
            setup.leverage,
            setup.brackets,
            open_now.symbol,
            open_now.total,
            limits.max_position_notional,
            limits.max_exposure_fraction,
            desk.config.limits.max_total_exposure_fraction,
        ),
    )


def _approve(
    desk: Desk, signal: Signal, instrument: Instrument, plan: EntryPlan, open_now: _OpenNow
) -> Approved | Denied:
    """Filter the sized order, then check its final quantity against every limit once more."""
    approved = approve_entry(instrument, plan)
    if isinstance(approved, Denied):
        return approved
    setup = desk.setup_of(signal.symbol)
    view = OrderView(
        signal.direction,
        plan.price,
        plan.stop_price,
        approved.order.quantity or ZERO,
        desk.account.equity or ZERO,
        desk.account.available,
        setup.leverage,
        setup.margin_type,
        setup.brackets,
        open_now.symbol,
        open_now.total,
        desk.days.strategy_quantity(signal.strategy, signal.symbol),
        _strategy_limits(desk, signal),
    )
    return check_order(view, desk.config.limits, desk.limits_of(signal.symbol)) or approved


def _enter(desk: Desk, signal: Signal, levels: _Levels, approved: Approved, identity: ClientOrderId) -> None:
    """Record the intent and send its order: both in one batch, the write first and durable, the order gated by it."""
    order = track_request(approved.order, identity, signal.strategy, desk.venue_ms, desk.now_ms)
    quantity = approved.order.quantity or ZERO
    setup = desk.setup_of(signal.symbol)
    loss = abs(levels.price - levels.stop_price) + (levels.price + levels.stop_price) * (
        setup.taker_fee_rate + desk.config.sizing.slippage_fraction
    )
    trade = Trade(
        desk.next_intent,
        desk.epoch,
        signal.signal_id,
        signal.symbol,
        signal.strategy,
        signal.direction,
        approved.order.position_side,
        quantity,
        levels.price,
        signal.exits,
        levels.stop_price,
        levels.target_price,
        quantity * loss,
        order.client_order_id,
        desk.venue_ms,
        desk.config.quote_asset,
        signal.max_holding_ms or desk.limits_of(signal.symbol).max_holding_ms,
    )
    desk.next_intent += 1
    desk.instrument_for_exit(signal.symbol)
    desk.book.add(trade)
    desk.book.add_order(trade, order)
    desk.signals[trade.intent_id] = signal
    trade.advance(TradeEvent.SENT)
    if desk.policy.writes_orders:
        desk.write(signal.symbol, SignalRecord(signal, SignalStatus.APPROVED))
    desk.touch(trade, durable=True)
    desk.send(signal.symbol, SubmitOrder(approved, Priority.ENTRY), gated=True)


def _deny(desk: Desk, signal: Signal, refusal: Denied) -> None:
    if refusal.code is DenialCode.SIGNAL_DUPLICATE:
        # The signal's own row already tells what became of it.
        return
    desk.write(
        signal.symbol,
        SignalRecord(signal, SignalStatus.DENIED, refusal.code.value),
        DenialRecord(
            signal_id=signal.signal_id,
            symbol=signal.symbol,
            strategy=signal.strategy,
            code=refusal.code.value,
            context=refusal.context,
            event_time_ms=desk.venue_ms,
        ),
    )
    desk.denials += 1
    scope = limit_scope(refusal.code, signal.strategy, signal.symbol)
    if scope is not None:
        alert_limit(desk, refusal, scope)
