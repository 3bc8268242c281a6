"""Margin of the whole account: what is used, what is free, whether an order can be afforded, and the views.

Cross positions share the cross wallet; an isolated position has its own part of the wallet. Open-order margin
follows the worse of |position + bids| and |position - asks| in one-way mode and the opening side of each leg in
hedge mode. Reduce-only orders need none.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from core.enums import PositionSide, Side
from simulator.engine import money
from simulator.engine.context import Context
from simulator.engine.errors import ApiError
from simulator.engine.margin import Leg, liquidation_price, maintenance_margin, max_notional
from simulator.engine.orders import ZERO
from simulator.engine.state import Position
from simulator.engine.views import AccountView, BalanceView, FundsView, LegView, PositionView

_SIDES = tuple(PositionSide)


class Exposure(Struct, frozen=True):
    """A symbol's notionals: signed net (one-way) or per leg (hedge), with what its resting orders could add."""

    long: Decimal
    short: Decimal
    bids: Decimal
    asks: Decimal
    is_hedge: bool

    def with_orders(self, bids: Decimal, asks: Decimal) -> Exposure:
        """Return the same with orders that would still be added."""
        return Exposure(self.long, self.short, self.bids + bids, self.asks + asks, self.is_hedge)

    @property
    def held(self) -> Decimal:
        return self.long + self.short

    @property
    def worst(self) -> Decimal:
        """The notional that the margin must cover if every resting order of the worse side filled."""
        if self.is_hedge:
            return self.long + self.bids + self.short + self.asks
        net = self.long - self.short
        rising, falling = abs(net + self.bids), abs(net - self.asks)
        return rising if rising >= falling else falling

    @property
    def worst_leg(self) -> Decimal:
        """The largest single position that could result: what the brackets limit."""
        return max(self.long + self.bids, self.short + self.asks) if self.is_hedge else self.worst


class CrossMargin(Struct, frozen=True):
    """The shared pool: `balance` is cross wallet plus unrealised PnL of the cross positions."""

    wallet: Decimal
    unrealised: Decimal
    maintenance: Decimal

    @property
    def balance(self) -> Decimal:
        return self.wallet + self.unrealised


class Account:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._state = context.state

    def open_positions(self, symbol: str | None = None) -> list[Position]:
        """Return the non-flat positions in the market's symbol order, LONG before SHORT."""
        if symbol is not None:
            positions = self._state.positions
            found = [positions[key] for side in _SIDES if (key := (symbol, side)) in positions]
            return [position for position in found if position.quantity]
        held = [position for position in self._state.positions.values() if position.quantity]
        if len(held) > 1:
            rank = self._context.rank
            held.sort(key=lambda position: (rank[position.symbol], _SIDES.index(position.side)))
        return held

    def cross_wallet(self) -> Decimal:
        return self._state.wallet.balance - self._state.set_aside()

    def cross_margin(self, *, leaving_out: str | None = None) -> CrossMargin:
        """Return the cross pool, optionally without the positions of one symbol."""
        unrealised = maintenance = ZERO
        for position in self.open_positions():
            if position.symbol != leaving_out and not self._context.is_isolated(position.symbol):
                unrealised += position.unrealised(self._context.mark(position.symbol))
                maintenance += self.maintenance(position)
        return CrossMargin(self.cross_wallet(), unrealised, maintenance)

    def maintenance(self, position: Position) -> Decimal:
        notional = abs(position.quantity) * self._context.mark(position.symbol)
        return maintenance_margin(self._context.spec(position.symbol).brackets, notional)

    def exposure(self, symbol: str) -> Exposure:
        """Return the symbol's notionals as they are now."""
        mark = self._context.mark(symbol)
        long = short = ZERO
        for position in self.open_positions(symbol):
            value = position.quantity * mark
            if value > 0:
                long += value
            else:
                short -= value
        desk = self._context.desks.get(symbol)
        bids, asks = (ZERO, ZERO) if desk is None else (desk.bid_notional, desk.ask_notional)
        return Exposure(long, short, bids, asks, self._state.settings.is_hedge_mode)

    def available(self) -> Decimal:
        """Return what new orders may use; negative when positions already ask for more than there is."""
        cross = self.cross_margin()
        free = cross.balance
        for symbol in self.active_symbols():
            exposure = self.exposure(symbol)
            leverage = self._context.symbol_settings(symbol).leverage
            needed = exposure.worst - exposure.held if self._context.is_isolated(symbol) else exposure.worst
            free -= needed / leverage
        return free

    def check_order(self, symbol: str, side: Side, quantity: Decimal, price: Decimal) -> None:
        """Refuse an opening order that the bracket (-2027) or the free margin (-2019) does not allow.

        `price` is the limit price, or the assumed price of a market order. Cost = growth of the initial margin
        plus the loss that the order would have at once against the mark price. A reducing order costs nothing.
        """
        notional = quantity * price
        is_buy = side is Side.BUY
        before = self.exposure(symbol)
        after = before.with_orders(notional if is_buy else ZERO, ZERO if is_buy else notional)
        worst = after.worst
        growth = worst - before.worst
        if growth <= 0:
            return
        settings = self._context.symbol_settings(symbol)
        brackets = self._context.spec(symbol).brackets
        if (after.worst_leg if after.is_hedge else worst) > max_notional(brackets, settings.leverage):
            raise ApiError(-2027, "Exceeded the maximum allowable position at current leverage.")
        gap = side.sign * (price - self._context.mark(symbol))
        cost = growth / settings.leverage
        if gap > 0:
            cost += gap * quantity
        if cost > self.available():
            raise ApiError(-2019, "Margin is insufficient.")

    def active_symbols(self) -> list[str]:
        """Return the symbols with a position or a resting order, in the market's order."""
        names = {position.symbol for position in self._state.positions.values() if position.quantity}
        names.update(desk.symbol for desk in self._context.desks.values() if desk.open_orders)
        return self._in_order(names)

    def position_view(self, position: Position) -> PositionView:
        """Return the picture of one position leg; it may be flat."""
        context, symbol = self._context, position.symbol
        settings, spec = context.symbol_settings(symbol), context.spec(symbol)
        mark = context.mark(symbol)
        unrealised = position.unrealised(mark)
        notional = position.quantity * mark
        exposure = self.exposure(symbol)
        held_margin, order_margin = self._initial_margins(position, exposure)
        isolated = context.is_isolated(symbol)
        return PositionView(
            symbol=symbol,
            position_side=position.side,
            quantity=position.quantity,
            entry_price=money.shown(position.entry_price),
            break_even_price=money.shown(position.break_even_price),
            mark_price=mark,
            unrealised_pnl=money.shown(unrealised),
            liquidation_price=self.liquidation_price(position),
            isolated_margin=money.shown(position.isolated_wallet + unrealised) if isolated else ZERO,
            isolated_wallet=position.isolated_wallet,
            notional=money.shown(notional),
            margin_asset=self._state.wallet.asset,
            initial_margin=held_margin + order_margin,
            maintenance_margin=money.shown(self.maintenance(position)),
            position_initial_margin=held_margin,
            open_order_initial_margin=order_margin,
            bid_notional=money.shown(exposure.bids),
            ask_notional=money.shown(exposure.asks),
            leverage=settings.leverage,
            margin_type=settings.margin_type,
            max_notional=max_notional(spec.brackets, settings.leverage),
            adl_quantile=1 if position.quantity else 0,
            update_time_ms=position.update_time_ms,
        )

    def _initial_margins(self, position: Position, exposure: Exposure) -> tuple[Decimal, Decimal]:
        """Return what the leg and what its resting orders tie up."""
        leverage = self._context.symbol_settings(position.symbol).leverage
        notional = abs(position.quantity * self._context.mark(position.symbol))
        return money.shown(notional / leverage), money.shown(self._order_notional(position, exposure) / leverage)

    @staticmethod
    def _order_notional(position: Position, exposure: Exposure) -> Decimal:
        if position.side is PositionSide.LONG:
            return exposure.bids
        if position.side is PositionSide.SHORT:
            return exposure.asks
        return exposure.worst - exposure.held

    def liquidation_price(self, position: Position) -> Decimal:
        """Return the liquidation price (8 decimals); 0 if there is none."""
        if not position.quantity:
            return ZERO
        context, symbol = self._context, position.symbol
        if context.is_isolated(symbol):
            legs, balance = [position], position.isolated_wallet
        else:
            others = self.cross_margin(leaving_out=symbol)
            legs, balance = self.open_positions(symbol), others.balance - others.maintenance
        as_legs = [Leg(leg.quantity, leg.cost) for leg in legs]
        price = liquidation_price(context.spec(symbol).brackets, as_legs, balance, context.mark(symbol))
        return money.shown(price)

    def position_views(self, symbol: str | None, *, include_flat: bool = False) -> list[PositionView]:
        """Return the legs of symbols with a position or resting order; of all (or `symbol`) if `include_flat`."""
        return [self.position_view(row) for row in self._legs(symbol, include_flat=include_flat)]

    def leg_views(self, symbol: str | None) -> list[LegView]:
        """Return the same legs without what only the margin rules ask for: a tenth of the work."""
        views = []
        for row in self._legs(symbol):
            mark = self._context.mark(row.symbol)
            entry_price, unrealised = money.shown(row.entry_price), money.shown(row.unrealised(mark))
            at_ms = row.update_time_ms
            views.append(LegView(row.symbol, row.side, row.quantity, entry_price, mark, unrealised, at_ms))
        return views

    def _legs(self, symbol: str | None, *, include_flat: bool = False) -> list[Position]:
        hedge = self._state.settings.is_hedge_mode
        sides = (PositionSide.LONG, PositionSide.SHORT) if hedge else (PositionSide.BOTH,)
        if include_flat:
            names = list(self._context.market.specs) if symbol is None else [symbol]
        else:
            names = [name for name in self.active_symbols() if symbol in (None, name)]
        rows = [self._state.positions.get((name, side)) or Position(name, side) for name in names for side in sides]
        return [row for row in rows if include_flat or self._is_active(row)]

    def _is_active(self, position: Position) -> bool:
        if position.quantity or position.side is PositionSide.BOTH:
            return True
        desk = self._context.desks.get(position.symbol)
        return desk is not None and any(order.position_side is position.side for order in desk.open_orders.values())

    def balance_view(self) -> BalanceView:
        held = ordered = maintenance = ZERO
        for row in self._legs(None):
            margins = self._initial_margins(row, self.exposure(row.symbol))
            held, ordered = held + margins[0], ordered + margins[1]
            maintenance += money.shown(self.maintenance(row))
        unrealised = sum((p.unrealised(self._context.mark(p.symbol)) for p in self.open_positions()), ZERO)
        cross = self.cross_margin()
        wallet = self._state.wallet
        available = max(ZERO, money.shown(self.available()))
        return BalanceView(
            asset=wallet.asset,
            wallet_balance=wallet.balance,
            unrealised_pnl=money.shown(unrealised),
            margin_balance=money.shown(wallet.balance + unrealised),
            maintenance_margin=maintenance,
            initial_margin=held + ordered,
            position_initial_margin=held,
            open_order_initial_margin=ordered,
            cross_wallet_balance=cross.wallet,
            cross_unrealised_pnl=money.shown(cross.unrealised),
            available_balance=available,
            max_withdraw_amount=max(ZERO, min(available, cross.wallet)),
            update_time_ms=wallet.update_time_ms,
        )

    def funds_view(self) -> FundsView:
        """Return the wallet without what only a display asks for: a third of the work."""
        wallet, available = self._state.wallet, money.shown(self.available())
        return FundsView(wallet.asset, wallet.balance, self.cross_wallet(), max(ZERO, available))

    def view(self) -> AccountView:
        balance = self.balance_view()
        return AccountView(balance, tuple(self.position_views(None)), balance.update_time_ms)

    def _in_order(self, names: set[str]) -> list[str]:
        return sorted(names, key=self._context.rank.__getitem__) if len(names) > 1 else list(names)
