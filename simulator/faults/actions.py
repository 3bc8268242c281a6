"""Instant faults: what the exchange does to positions, and what the account's owner does by hand."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from core.enums import OrderType, PositionSide, Side, TimeInForce
from core.instrument import Rounding
from simulator.engine.errors import ApiError
from simulator.engine.requests import PlaceOrder
from simulator.engine.views import PositionView
from simulator.faults.engine import STOP_TYPES, FaultyExchange
from simulator.faults.kinds import FaultKind
from simulator.faults.schedule import Fault

K = FaultKind
HAND_PREFIX = "web_"
"""Client ids of orders from the venue's own pages begin so."""


class AccountActions:
    """Carries out the instant faults that concern the account; each returns what it hit, "" if there was nothing."""

    def __init__(self, exchange: FaultyExchange) -> None:
        self._exchange = exchange
        self._orders = 0
        self._actions: dict[FaultKind, Callable[[Fault], str]] = {
            K.LIQUIDATE: self._liquidate,
            K.ADL: self._deleverage,
            K.SETTLE: self._settle,
            K.ALGO_VANISH: self._vanish,
            K.HAND_CLOSE: lambda fault: self._reduce(fault, "1"),
            K.HAND_REDUCE: lambda fault: self._reduce(fault, "0.5"),
            K.HAND_ADD: self._add,
            K.HAND_CANCEL_STOP: self._cancel_stop,
            K.HAND_LEVERAGE: self._leverage,
            K.HAND_POSITION_MODE: self._position_mode,
            K.HAND_WITHDRAW: self._withdraw,
            K.FOREIGN_ORDER: self._foreign_order,
            K.FOREIGN_POSITION: self._foreign_position,
        }

    def run(self, fault: Fault) -> str:
        """Carry out `fault`; a refusal by the exchange counts as nothing done."""
        try:
            return self._actions[fault.kind](fault)
        except ApiError:
            return ""

    # -- the exchange's own doing -----------------------------------------------------------------------------------

    def _liquidate(self, fault: Fault) -> str:
        held = self._held(fault)
        if held is None:
            return ""
        self._exchange.liquidate(held.symbol)
        return held.symbol

    def _deleverage(self, fault: Fault) -> str:
        held = self._held(fault)
        if held is None:
            return ""
        self._exchange.deleverage(held.symbol, fault.value("0.4"))
        return held.symbol

    def _settle(self, fault: Fault) -> str:
        held = self._held(fault)
        symbol = held.symbol if held is not None else fault.target
        if symbol:
            self._exchange.settle_contract(symbol)
        return symbol

    def _vanish(self, fault: Fault) -> str:
        return self._exchange.vanish(fault.target, is_silent=fault.detail != "event") or ""

    # -- the owner's hand -------------------------------------------------------------------------------------------

    def _reduce(self, fault: Fault, share: str) -> str:
        held = self._held(fault)
        if held is None:
            return ""
        instrument = self._exchange.market.specs[held.symbol].instrument
        part = instrument.round_quantity(abs(held.quantity) * fault.value(share), market=True)
        quantity = max(part, instrument.market_step_size)
        self._order(held.symbol, _closing_side(held), quantity, held.position_side, is_reducing=True)
        return held.symbol

    def _add(self, fault: Fault) -> str:
        held = self._held(fault)
        if held is None:
            return ""
        instrument = self._exchange.market.specs[held.symbol].instrument
        wanted = abs(held.quantity) * fault.value("0.5")
        quantity = instrument.round_quantity(wanted, Rounding.UP, market=True)
        quantity = max(quantity, self._smallest(held.symbol))
        side = Side.BUY if held.quantity > 0 else Side.SELL
        self._order(held.symbol, side, quantity, held.position_side)
        return held.symbol

    def _cancel_stop(self, fault: Fault) -> str:
        stops = [order for order in self._exchange.open_algos(fault.target or None) if order.type in STOP_TYPES]
        if not stops:
            return ""
        self._exchange.cancel_algo(algo_id=stops[0].algo_id)
        return stops[0].client_algo_id

    def _leverage(self, fault: Fault) -> str:
        symbol = self._symbol(fault)
        self._exchange.set_leverage(symbol, int(fault.value("3")))
        return symbol

    def _position_mode(self, fault: Fault) -> str:
        """Switch between one-way and hedge mode; the exchange refuses it with positions or orders."""
        self._exchange.set_position_mode(not self._exchange.is_hedge_mode)
        return "hedge" if self._exchange.is_hedge_mode else "one-way"

    def _withdraw(self, fault: Fault) -> str:
        available = self._exchange.balances()[0].max_withdraw_amount
        amount = (available * fault.value("0.3")).quantize(Decimal("0.01"))
        if amount <= 0:
            return ""
        self._exchange.transfer(-amount)
        return format(amount, "f")

    def _foreign_order(self, fault: Fault) -> str:
        """Rest a limit buy at `amount` of the mark price."""
        symbol = self._symbol(fault)
        instrument = self._exchange.market.specs[symbol].instrument
        price = instrument.round_price(self._exchange.market.mark_price(symbol) * fault.value("0.9"), Rounding.DOWN)
        quantity = instrument.round_quantity(instrument.min_notional * 2 / price, Rounding.UP)
        side = PositionSide.LONG if self._exchange.is_hedge_mode else PositionSide.BOTH
        self._order(symbol, Side.BUY, max(quantity, instrument.min_quantity), side, price=price)
        return symbol

    def _foreign_position(self, fault: Fault) -> str:
        """Buy for `amount` of the quote asset, at least the smallest order there is."""
        symbol = self._symbol(fault)
        instrument = self._exchange.market.specs[symbol].instrument
        wanted = fault.value("100") / self._exchange.market.mark_price(symbol)
        quantity = max(instrument.round_quantity(wanted, Rounding.UP, market=True), self._smallest(symbol))
        side = PositionSide.LONG if self._exchange.is_hedge_mode else PositionSide.BOTH
        self._order(symbol, Side.BUY, quantity, side)
        return symbol

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _held(self, fault: Fault) -> PositionView | None:
        """Return the position that the fault means: of its symbol, or the first there is."""
        held = [view for view in self._exchange.positions(fault.target or None) if view.quantity]
        return held[0] if held else None

    def _symbol(self, fault: Fault) -> str:
        if fault.target:
            return fault.target
        held = self._held(fault)
        return held.symbol if held is not None else next(iter(self._exchange.market.specs))

    def _smallest(self, symbol: str) -> Decimal:
        """Return the smallest market order that opens: the lot and the notional minimum, with a little room."""
        instrument = self._exchange.market.specs[symbol].instrument
        least = instrument.min_notional * Decimal("1.1") / self._exchange.market.mark_price(symbol)
        return max(instrument.round_quantity(least, Rounding.UP, market=True), instrument.market_min_quantity)

    def _order(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        position_side: PositionSide,
        *,
        price: Decimal | None = None,
        is_reducing: bool = False,
    ) -> None:
        self._orders += 1
        self._exchange.place_order(
            PlaceOrder(
                symbol,
                side,
                OrderType.MARKET if price is None else OrderType.LIMIT,
                position_side=position_side,
                time_in_force=None if price is None else TimeInForce.GTC,
                quantity=quantity,
                price=price,
                reduce_only=True if is_reducing and position_side is PositionSide.BOTH else None,
                client_order_id=f"{HAND_PREFIX}{self._exchange.now_ms}_{self._orders}",
            )
        )


def _closing_side(held: PositionView) -> Side:
    return Side.SELL if held.quantity > 0 else Side.BUY
