"""Margin calls and liquidation.

Each isolated position stands alone, all cross positions stand together: a pool. A pool whose maintenance margin
reaches its balance loses its open orders, then its positions, the one with the largest maintenance first, until it
is sound. A position is closed by a LIQUIDATION order at its bankruptcy price: the book as far as that price, the
rest is taken over by the insurance fund at it, so that the wallet never goes below zero. Taker fee and liquidation
fee are charged together as the commission of the fill, but never more than what is left.

So as not to reckon this at every trade, each symbol's desk carries a band of mark prices within which no pool can
have reached its limit: the pool's buffer, shared by its positions, over the steepest possible loss per price unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from core.enums import MarginType, OrderStatus, Side
from core.instrument import Rounding
from simulator.engine import money
from simulator.engine.account import Account
from simulator.engine.context import Context
from simulator.engine.events import LIQUIDATED, MarginCallEvent, MarginCallPosition
from simulator.engine.ledger import Ledger
from simulator.engine.margin import Leg, bankruptcy_price
from simulator.engine.orders import ZERO, PlainOrder
from simulator.engine.plain import PlainOrders
from simulator.engine.state import Position
from simulator.engine.takeover import forced_order

_DEPTH = 1000


class Pool:
    """Positions that share one balance: wallet part plus unrealised PnL."""

    __slots__ = ("_account", "_context", "is_isolated", "positions")

    def __init__(self, context: Context, account: Account, positions: Sequence[Position], *, is_isolated: bool) -> None:
        self._context = context
        self._account = account
        self.positions = positions
        self.is_isolated = is_isolated

    def balance(self) -> Decimal:
        wallet = self.positions[0].isolated_wallet if self.is_isolated else self._account.cross_wallet()
        unrealised = ZERO
        for position in self.positions:
            unrealised += position.unrealised(self._context.mark(position.symbol))
        return wallet + unrealised

    def maintenance(self) -> Decimal:
        maintenance = ZERO
        for position in self.positions:
            maintenance += self._account.maintenance(position)
        return maintenance


class Liquidation:
    def __init__(self, context: Context, account: Account, ledger: Ledger, plain: PlainOrders) -> None:
        self._context = context
        self._account = account
        self._ledger = ledger
        self._plain = plain

    def check(self) -> None:
        """Call margin, liquidate what must be, and draw the bands anew."""
        for desk in self._context.desks.values():
            desk.band_low = desk.band_high = None
        for pool in self._pools():
            balance, maintenance = pool.balance(), pool.maintenance()
            if maintenance >= balance:
                self._liquidate(pool)
            else:
                self._call(pool, balance, maintenance)
                self._draw_bands(pool, balance, maintenance)
        for symbol in list(self._context.desks):
            self._context.desk_changed(symbol)

    def liquidate(self, symbol: str) -> None:
        """Close the symbol's positions as a liquidation would, whatever the margin is."""
        for position in self._account.open_positions(symbol):
            self._close(self._pool_of(position), position)
        self._context.settle()

    def _pools(self) -> list[Pool]:
        positions = self._account.open_positions()
        if not positions:
            return []
        pools: list[Pool] = []
        cross: list[Position] = []
        for position in positions:
            if self._context.is_isolated(position.symbol):
                pools.append(Pool(self._context, self._account, [position], is_isolated=True))
            else:
                cross.append(position)
        if cross:
            pools.append(Pool(self._context, self._account, cross, is_isolated=False))
        return pools

    def _pool_of(self, position: Position) -> Pool:
        return next(pool for pool in self._pools() if any(member is position for member in pool.positions))

    def _liquidate(self, pool: Pool) -> None:
        for symbol in self._order_symbols(pool):
            self._plain.expire_all(symbol, OrderStatus.EXPIRED, "EXPIRED", LIQUIDATED)
        for position in sorted(pool.positions, key=self._account.maintenance, reverse=True):
            left = [p for p in pool.positions if p.quantity]
            rest = Pool(self._context, self._account, left, is_isolated=pool.is_isolated)
            if not rest.positions or rest.maintenance() < rest.balance():
                return
            self._close(rest, position)

    def _order_symbols(self, pool: Pool) -> list[str]:
        if pool.is_isolated:
            return [pool.positions[0].symbol]
        return [symbol for symbol in self._account.active_symbols() if not self._context.is_isolated(symbol)]

    def _close(self, pool: Pool, position: Position) -> None:
        context, symbol = self._context, position.symbol
        spec, mark = context.spec(symbol), context.mark(symbol)
        equity = pool.balance()
        exact = bankruptcy_price(Leg(position.quantity, position.cost), equity, mark)
        rounding = Rounding.UP if position.quantity > 0 else Rounding.DOWN
        price = max(spec.instrument.tick_size, spec.instrument.round_price(exact, rounding))
        order = forced_order(context, position, abs(position.quantity), price)
        fills = self._fills(order)
        sign = position.sign
        budget = equity + sum((sign * (at - mark) * quantity for at, quantity in fills), ZERO)
        for at, quantity in fills:
            rate = spec.taker_fee + spec.liquidation_fee
            trade = self._ledger.fill(
                order, at, quantity, is_maker=False, fee_rate=rate, fee_cap=budget, execution_type="CALCULATED"
            )
            budget -= trade.commission
        context.order_closed(order)

    def _fills(self, order: PlainOrder) -> list[tuple[Decimal, Decimal]]:
        """Return price and quantity of each fill: book levels no worse than the order's price, then that price."""
        bids, asks = self._context.market.depth(order.symbol, _DEPTH)
        levels = asks if order.side is Side.BUY else bids
        left, fills = order.quantity, []
        for price, offered in levels:
            if left <= 0 or (price > order.price if order.side is Side.BUY else price < order.price):
                break
            fills.append((price, min(left, offered)))
            left -= fills[-1][1]
        return [*fills, (order.price, left)] if left > 0 else fills

    def _call(self, pool: Pool, balance: Decimal, maintenance: Decimal) -> None:
        """Push one MARGIN_CALL when a pool gets into the danger zone, and again only after it was out of it."""
        is_called = maintenance >= balance * self._context.config.margin_call_ratio
        newly = [position for position in pool.positions if position.is_margin_called is not is_called]
        for position in newly:
            position.is_margin_called = is_called
            self._context.state.touch(position)
        if newly and is_called:
            rows = tuple(self._call_row(position) for position in pool.positions)
            self._context.emit(MarginCallEvent(self._account.cross_wallet(), rows, self._context.now_ms))

    def _call_row(self, position: Position) -> MarginCallPosition:
        mark = self._context.mark(position.symbol)
        is_isolated = self._context.is_isolated(position.symbol)
        return MarginCallPosition(
            symbol=position.symbol,
            position_side=position.side,
            quantity=position.quantity,
            margin_type=MarginType.ISOLATED if is_isolated else MarginType.CROSSED,
            isolated_wallet=position.isolated_wallet,
            mark_price=mark,
            unrealised_pnl=money.shown(position.unrealised(mark)),
            maintenance_margin=money.shown(self._account.maintenance(position)),
        )

    def _draw_bands(self, pool: Pool, balance: Decimal, maintenance: Decimal) -> None:
        """A pool cannot reach its limit while every mark stays within its share of the buffer.

        Per price unit a position changes balance minus maintenance by at most |quantity| x (1 + highest mmr).
        """
        called = pool.positions[0].is_margin_called
        limit = balance if called else balance * self._context.config.margin_call_ratio
        buffer = limit - maintenance
        for position in pool.positions:
            desk = self._context.desk(position.symbol)
            steepest = abs(position.quantity) * (1 + desk.spec.brackets[-1].maint_margin_ratio)
            reach = buffer / (len(pool.positions) * steepest)
            mark = self._context.mark(position.symbol)
            low, high = mark - reach, mark + reach
            desk.band_low = low if desk.band_low is None else max(desk.band_low, low)
            desk.band_high = high if desk.band_high is None else min(desk.band_high, high)
