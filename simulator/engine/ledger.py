"""The ledger: the only place where a fill, a fee or a payment moves the wallet and a position.

Identity: wallet = deposits + Σ realised PnL - Σ commissions + Σ funding, and Σ signed fills = position, both to
the last digit, because every booked amount has 8 decimals and the position carries its exact cost: what a closing
fill does not realise stays in the cost of the rest.
"""

from __future__ import annotations

from decimal import Decimal

from core.enums import OrderStatus
from simulator.engine import money
from simulator.engine.context import Context
from simulator.engine.events import NO_REASON, AccountEvent, BalanceChange, OrderEvent, PositionChange
from simulator.engine.orders import ZERO, Income, PlainOrder, Trade
from simulator.engine.state import Position, snapshot

_NOTHING = money.shown(ZERO)


class Ledger:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._state = context.state

    def transfer(self, amount: Decimal, reason: str) -> None:
        """Book a deposit (positive) or withdrawal (negative) and tell of it."""
        self._pay("", "TRANSFER", amount, info=reason)
        self.tell_account(reason, (), change=amount)
        self._context.money_changed()

    def fund(self, position: Position, amount: Decimal) -> None:
        """Book a funding payment; an isolated position's goes to its own part of the wallet."""
        self._pay(position.symbol, "FUNDING_FEE", amount, info="FUNDING_FEE")
        isolated = self._context.is_isolated(position.symbol)
        if isolated:
            position.isolated_wallet += amount
            self._state.touch(position)
        self.tell_account("FUNDING_FEE", (position,) if isolated else (), change=amount)
        self._context.money_changed()

    def fill(
        self,
        order: PlainOrder,
        price: Decimal,
        quantity: Decimal,
        *,
        is_maker: bool,
        fee_cap: Decimal | None = None,
        fee_rate: Decimal | None = None,
        execution_type: str = "TRADE",
    ) -> Trade:
        """Book one fill of `order` and tell of it: ACCOUNT_UPDATE first, then ORDER_TRADE_UPDATE, at one time.

        `fee_rate` overrides the contract's maker or taker fee; `fee_cap` bounds the fee (liquidations never cost
        more than there is).
        """
        spec = self._context.spec(order.symbol)
        rate = fee_rate if fee_rate is not None else (spec.maker_fee if is_maker else spec.taker_fee)
        quote = price * quantity
        fee = money.commission(quote * rate)
        position = self._state.position(order.symbol, order.position_side)
        signed = order.side.sign * quantity
        realised = self._move(position, signed, price)
        if fee_cap is not None:
            fee = max(ZERO, min(fee, money.commission(fee_cap)))
        self._spread_fee(position, signed, fee)
        trade = self._book(order, price, quantity, quote, realised=realised, fee=fee, is_maker=is_maker)
        desk = self._context.desks.get(order.symbol)
        if desk is not None and order.order_id in desk.open_orders:
            desk.note_fill(order, quantity)
        self._advance(order, quote, quantity)
        self.tell_account("ORDER", (position,))
        self.tell_order(order, execution_type, fill=trade)
        self._context.position_changed(position)
        return trade

    def _move(self, position: Position, signed: Decimal, price: Decimal) -> Decimal:
        """Change quantity, cost and isolated wallet; return the realised PnL of the closing part."""
        state = self._state
        held = abs(position.quantity)
        realised = ZERO
        closing = min(held, abs(signed)) if position.quantity * signed < 0 else ZERO
        if closing:
            proceeds, sign, is_flat = price * closing, position.sign, closing == held
            released = position.cost if is_flat else position.cost * closing / held
            realised = money.realised_pnl(sign * (proceeds - released))
            if is_flat:
                position.cost = position.fees = ZERO
                position.isolated_wallet -= position.isolated_wallet
            else:
                position.cost -= proceeds - sign * realised
                share = closing / held
                position.isolated_wallet -= money.margin_transfer(position.isolated_wallet * share)
                position.fees -= money.commission(position.fees * share)
        opening = abs(signed) - closing
        position.quantity += signed
        if opening:
            position.cost += price * opening
            if self._context.is_isolated(position.symbol):
                leverage = self._context.symbol_settings(position.symbol).leverage
                position.isolated_wallet += money.margin_transfer(price * opening / leverage)
        position.realised += realised
        position.update_time_ms = self._context.now_ms
        state.touch(position)
        return realised

    def _spread_fee(self, position: Position, signed: Decimal, fee: Decimal) -> None:
        """Give the opening part of a fill its share of the fee, for the break-even price."""
        if position.quantity * signed > 0:
            opening = min(abs(position.quantity), abs(signed))
            position.fees += money.commission(fee * opening / abs(signed))

    def _book(
        self,
        order: PlainOrder,
        price: Decimal,
        quantity: Decimal,
        quote: Decimal,
        *,
        realised: Decimal,
        fee: Decimal,
        is_maker: bool,
    ) -> Trade:
        state = self._state
        counters = state.counters
        trade = Trade(
            counters.trade_id,
            order.order_id,
            order.symbol,
            order.side,
            order.position_side,
            price,
            quantity,
            quote,
            realised,
            fee,
            state.wallet.asset,
            is_maker,
            self._context.now_ms,
        )
        counters.trade_id += 1
        state.touch(counters)
        state.add(trade)
        if realised:
            self._pay(order.symbol, "REALIZED_PNL", realised, trade_id=trade.trade_id)
        if fee:
            self._pay(order.symbol, "COMMISSION", -fee, trade_id=trade.trade_id)
        return trade

    def _advance(self, order: PlainOrder, quote: Decimal, quantity: Decimal) -> None:
        order.executed_quantity += quantity
        order.cum_quote += quote
        order.update_time_ms = self._context.now_ms
        is_full = order.executed_quantity == order.quantity
        order.status = OrderStatus.FILLED if is_full else OrderStatus.PARTIALLY_FILLED
        self._state.touch(order)

    def _pay(self, symbol: str, kind: str, amount: Decimal, *, trade_id: int = 0, info: str = "") -> None:
        """Change the wallet and write the income row that says why."""
        state, now_ms = self._state, self._context.now_ms
        wallet, counters = state.wallet, state.counters
        wallet.balance += amount
        wallet.update_time_ms = now_ms
        row = Income(
            counters.tran_id,
            symbol,
            kind,
            amount,
            wallet.asset,
            info or (str(trade_id) if trade_id else kind),
            trade_id,
            now_ms,
        )
        counters.tran_id += 1
        state.touch(counters)
        state.touch(wallet)
        state.add(row)

    def tell_account(self, reason: str, positions: tuple[Position, ...], *, change: Decimal = ZERO) -> None:
        """Push ACCOUNT_UPDATE with the balance and the given positions as they are now."""
        state = self._state
        wallet = state.wallet
        balance = BalanceChange(wallet.asset, wallet.balance, wallet.balance - state.set_aside(), change)
        rows = tuple([self._position_change(position) for position in positions])
        self._context.emit(AccountEvent(reason, (balance,), rows, self._context.now_ms))

    def _position_change(self, position: Position) -> PositionChange:
        entry_price = break_even_price = unrealised = _NOTHING
        if position.quantity:
            entry_price, break_even_price = money.shown(position.entry_price), money.shown(position.break_even_price)
            unrealised = money.shown(position.unrealised(self._context.mark(position.symbol)))
        return PositionChange(
            position.symbol,
            position.side,
            position.quantity,
            entry_price,
            break_even_price,
            position.realised,
            unrealised,
            self._context.symbol_settings(position.symbol).margin_type,
            position.isolated_wallet,
            self._state.wallet.asset,
        )

    def tell_order(
        self, order: PlainOrder, execution_type: str, *, fill: Trade | None = None, reason: int = NO_REASON
    ) -> None:
        """Push ORDER_TRADE_UPDATE with a copy of the order as it is now."""
        context = self._context
        desk = context.desks.get(order.symbol)
        bids = asks = _NOTHING  # one exponent, so that a rebuilt desk tells the same text
        if desk is not None and desk.open_orders:
            bids, asks = money.shown(desk.bid_notional), money.shown(desk.ask_notional)
        context.emit(OrderEvent(snapshot(order), execution_type, fill, reason, context.now_ms, bids, asks))
