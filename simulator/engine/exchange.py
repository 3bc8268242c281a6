"""The facade: one account on one market. Everything that a server, a backtest or a simulation calls is here.

Synchronous and deterministic: the same market, configuration and calls give the same events, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import partial

from core.candle import DAY_MS
from core.enums import MarginType, OrderType, WorkingType
from simulator.engine.account import Account
from simulator.engine.algo import AlgoService
from simulator.engine.config import ExchangeConfig
from simulator.engine.context import Context
from simulator.engine.desk import SymbolDesk
from simulator.engine.events import ExchangeEvent
from simulator.engine.funding import Funding
from simulator.engine.history import History
from simulator.engine.ledger import Ledger
from simulator.engine.liquidation import Liquidation
from simulator.engine.matching import Matching
from simulator.engine.orders import AlgoOrder, Income, PlainOrder, Trade
from simulator.engine.plain import PlainOrders
from simulator.engine.port import BracketLike, MarketPort
from simulator.engine.requests import PlaceAlgo, PlaceOrder
from simulator.engine.retention import is_kept
from simulator.engine.settings import Settings
from simulator.engine.state import Change, State
from simulator.engine.takeover import Takeover
from simulator.engine.views import (
    AccountView,
    BalanceView,
    CommissionView,
    FundsView,
    LegView,
    PositionView,
    SymbolConfigView,
)
from simulator.market.model import MarketTrade

_CONTRACT_PRICE, _MARK_PRICE = WorkingType.CONTRACT_PRICE, WorkingType.MARK_PRICE


class Exchange:
    """Requests raise `ApiError` when refused; the events that they cause wait for `drain_events`.

    Nothing that is returned changes afterwards: orders are copies, views and events are pictures of an instant.
    """

    def __init__(self, market: MarketPort, config: ExchangeConfig | None = None) -> None:
        self.config = config or ExchangeConfig()
        self._market = market
        self._state = State(self.config.asset, is_journalled=self.config.is_journalled)
        self._build()
        if self.config.deposit:
            self._ledger.transfer(self.config.deposit, "DEPOSIT")
        self._context.events.clear()

    def _build(self) -> None:
        context = self._context = Context(self._market, self.config, self._state)
        self._account = Account(context)
        self._ledger = Ledger(context)
        self._matching = self._make_matching()
        self._plain = PlainOrders(context, self._account, self._ledger, self._matching)
        self._algo = self._make_algo_service()
        self._funding = Funding(context, self._account, self._ledger)
        self._liquidation = Liquidation(context, self._account, self._ledger, self._plain)
        self._takeover = Takeover(context, self._account, self._ledger, self._plain, self._algo)
        self._settings = Settings(context, self._account, self._ledger)
        self._history = History(context)
        context.order_closers.append(self._algo.order_closed)
        context.position_followers.extend((self._plain.shrink_to, self._algo.position_changed))
        context.after_settling.append(self._liquidation.check)
        self._next_prune_ms = (context.now_ms // DAY_MS + 1) * DAY_MS

    def _make_matching(self) -> Matching:
        return Matching(self._context, self._ledger)

    def _make_algo_service(self) -> AlgoService:
        return AlgoService(self._context, self._plain)

    @property
    def now_ms(self) -> int:
        """The market time of the last thing that happened."""
        return self._context.now_ms

    @property
    def market(self) -> MarketPort:
        return self._market

    # time

    def advance(self, to_ms: int) -> list[ExchangeEvent]:
        """Let the market run to `to_ms` (inclusive) and return all events not yet drained, in time order.

        Each market trade comes before what it causes: fills of resting orders, triggers, liquidations. Funding
        and GTD expiry happen at their instant, after the trades of that instant.
        """
        context = self._context
        while (due_ms := self._next_timer_ms()) <= to_ms:
            self._run_market(due_ms)
            context.now_ms = max(due_ms, context.now_ms)
            self._funding.pay_due()
            self._plain.expire_due()
            self._prune()
        self._run_market(to_ms)
        if to_ms > context.now_ms:  # noqa: PLR1730 - every request comes through here, and a call costs three comparisons
            context.now_ms = to_ms
        return self.drain_events() if context.events else []

    def _run_market(self, to_ms: int) -> None:
        context = self._context
        events, desks, tells_items = context.events, context.desks, self.config.tells_market
        for item in self._market.advance(to_ms):
            if tells_items:
                events.append(item)
            desk = desks.get(item.symbol)
            if desk is not None:
                context.now_ms = item.time_ms
                if type(item) is MarketTrade:
                    self._on_trade(desk, item)
                else:
                    self._on_mark(desk)

    def _on_trade(self, desk: SymbolDesk, trade: MarketTrade) -> None:
        if desk.buys or desk.sells:
            self._matching.trade_through(desk, trade.price, trade.quantity)
        if desk.open_algos:
            self._algo.on_price(desk, trade.price, _CONTRACT_PRICE)
        self._on_mark(desk)

    def _on_mark(self, desk: SymbolDesk) -> None:
        low, high = desk.band_low, desk.band_high
        if low is None and not desk.open_algos:
            return
        mark = self._market.mark_price(desk.symbol)
        if desk.open_algos:
            self._algo.on_price(desk, mark, _MARK_PRICE)
        if low is not None and high is not None and not low <= mark <= high:
            self._liquidation.check()
            self._context.settle()

    def heeds(self, symbol: str) -> bool:
        """Whether a trade of the symbol may change anything: an order rests or waits there, or a position is held."""
        desk = self._context.desks.get(symbol)
        return desk is not None and bool(desk.buys or desk.sells or desk.open_algos or desk.band_low is not None)

    def _next_timer_ms(self) -> int:
        due_ms, funding_ms, expiry_ms = self._next_prune_ms, self._funding.next_ms(), self._plain.next_expiry_ms()
        if funding_ms is not None and funding_ms < due_ms:
            due_ms = funding_ms
        return due_ms if expiry_ms is None or expiry_ms > due_ms else expiry_ms

    def _prune(self) -> None:
        if self._context.now_ms >= self._next_prune_ms:
            self._next_prune_ms = (self._context.now_ms // DAY_MS + 1) * DAY_MS
            self._state.prune(partial(is_kept, now_ms=self._context.now_ms, limit_ms=self.config.history_ms))

    # plain orders

    def place_order(self, request: PlaceOrder) -> PlainOrder:
        """Place a LIMIT or MARKET order: as accepted with response type ACK, as it is now with RESULT."""
        return self._plain.place(request)

    def cancel_order(self, symbol: str, order_id: int | None = None, client_id: str | None = None) -> PlainOrder:
        return self._plain.cancel(symbol, order_id, client_id)

    def cancel_all(self, symbol: str) -> list[PlainOrder]:
        """Cancel the symbol's plain orders; conditional ones stay. Returns the cancelled orders."""
        return self._plain.cancel_all(symbol)

    def get_order(self, symbol: str, order_id: int | None = None, client_id: str | None = None) -> PlainOrder:
        return self._plain.get(symbol, order_id, client_id)

    def open_orders(self, symbol: str | None = None) -> list[PlainOrder]:
        return self._plain.open_orders(symbol)

    def all_orders(
        self,
        symbol: str,
        order_id: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 500,
    ) -> list[PlainOrder]:
        return self._history.all_orders(symbol, order_id, start_ms, end_ms, limit)

    # conditional orders

    def place_algo(self, request: PlaceAlgo) -> AlgoOrder:
        return self._algo.place(request)

    def cancel_algo(self, algo_id: int | None = None, client_algo_id: str | None = None) -> AlgoOrder:
        return self._algo.cancel(algo_id, client_algo_id)

    def cancel_all_algos(self, symbol: str) -> list[AlgoOrder]:
        return self._algo.cancel_all(symbol)

    def get_algo(self, algo_id: int | None = None, client_algo_id: str | None = None) -> AlgoOrder:
        return self._algo.get(algo_id, client_algo_id)

    def open_algos(self, symbol: str | None = None) -> list[AlgoOrder]:
        return self._algo.open_algos(symbol)

    def open_triggers(self, symbol: str) -> list[tuple[OrderType, Decimal]]:
        """Return type and trigger price of the symbol's open conditional orders, by algo id."""
        desk = self._context.desks.get(symbol)
        return [] if desk is None else [(order.type, order.trigger_price) for order in desk.open_algos.values()]

    def all_algos(
        self,
        symbol: str,
        algo_id: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 500,
    ) -> list[AlgoOrder]:
        return self._history.all_algos(symbol, algo_id, start_ms, end_ms, limit)

    # account

    def user_trades(
        self,
        symbol: str | None = None,
        from_id: int | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 500,
        *,
        order_id: int | None = None,
    ) -> list[Trade]:
        return self._history.trades(symbol, from_id, start_ms, end_ms, limit, order_id=order_id)

    def income(
        self,
        symbol: str | None = None,
        income_type: str | None = None,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 100,
        *,
        page: int = 1,
    ) -> list[Income]:
        return self._history.income(symbol, income_type, start_ms, end_ms, limit, page=page)

    def positions(self, symbol: str | None = None, *, include_flat: bool = False) -> list[PositionView]:
        """Return positions of symbols that have one or a resting order; with `include_flat` of every symbol asked."""
        if symbol is not None:
            self._context.spec(symbol)
        return self._account.position_views(symbol, include_flat=include_flat)

    def legs(self, symbol: str | None = None) -> list[LegView]:
        """Return the same legs as `positions` with their quantities and values alone."""
        if symbol is not None:
            self._context.spec(symbol)
        return self._account.leg_views(symbol)

    def safe_band(self, symbol: str) -> tuple[Decimal, Decimal] | None:
        """Return the mark prices between which no margin call and no liquidation can be due; None without a position.

        The band holds until the next fill, payment or price beyond it.
        """
        desk = self._context.desks.get(symbol)
        if desk is None or desk.band_low is None or desk.band_high is None:
            return None
        return desk.band_low, desk.band_high

    def is_flat(self, symbol: str) -> bool:
        return not self._account.open_positions(symbol)

    @property
    def wallet_balance(self) -> Decimal:
        return self._state.wallet.balance

    def balances(self) -> list[BalanceView]:
        return [self._account.balance_view()]

    def funds(self) -> list[FundsView]:
        """Return the same wallets as `balances` with what they hold and leave for new orders alone."""
        return [self._account.funds_view()]

    def account(self) -> AccountView:
        return self._account.view()

    def symbol_config(self, symbol: str | None = None) -> list[SymbolConfigView]:
        names = [symbol] if symbol is not None else list(self._market.specs)
        return [self._settings.symbol_config(name) for name in names]

    def commission_rate(self, symbol: str) -> CommissionView:
        spec = self._context.spec(symbol)
        return CommissionView(symbol, spec.maker_fee, spec.taker_fee)

    def brackets(self, symbol: str | None = None) -> Mapping[str, Sequence[BracketLike]]:
        names = [symbol] if symbol is not None else list(self._market.specs)
        return {name: self._context.spec(name).brackets for name in names}

    # settings

    def set_leverage(self, symbol: str, leverage: int) -> SymbolConfigView:
        """Set and return leverage and the largest notional that it allows."""
        return self._settings.set_leverage(symbol, leverage)

    def set_margin_type(self, symbol: str, margin_type: MarginType) -> None:
        self._settings.set_margin_type(symbol, margin_type)

    def set_position_mode(self, is_hedge: bool) -> None:
        self._settings.set_position_mode(is_hedge)

    @property
    def is_hedge_mode(self) -> bool:
        return self._state.settings.is_hedge_mode

    def transfer(self, amount: Decimal) -> None:
        """Deposit (positive) or withdraw (negative) money of the margin asset."""
        self._ledger.transfer(amount, "DEPOSIT" if amount > 0 else "WITHDRAW")
        self._context.settle()

    def liquidate(self, symbol: str) -> None:
        """Close the symbol's positions as the exchange would in a liquidation."""
        self._liquidation.liquidate(symbol)

    def deleverage(self, symbol: str, share: Decimal) -> None:
        """Close `share` (above 0 to 1) of the symbol's positions by auto-deleveraging."""
        self._takeover.deleverage(symbol, share)

    def settle_contract(self, symbol: str) -> None:
        """End the symbol's orders and close its positions, as the settlement of a delisted contract does."""
        self._takeover.settle(symbol)

    # events and journal

    def drain_events(self) -> list[ExchangeEvent]:
        """Return the events since the last call, oldest first."""
        waiting = self._context.events
        if not waiting:
            return []
        events = list(waiting)
        waiting.clear()
        return events

    def take_changes(self) -> list[Change]:
        """Return every private row changed since the last call, with its present value: the journal's facts."""
        return self._state.take_changes()

    def restore(self, changes: Iterable[Change]) -> None:
        """Replace the private state by journalled facts; the market must stand where it stood then.

        No facts leave the exchange as it is (a new account).
        """
        facts = list(changes)
        if not facts:
            return
        self._state.restore(facts)
        self._build()
        for order in self._state.orders.values():
            if order.is_open:
                self._plain.resume(order)
        for algo in self._state.algos.values():
            if algo.is_open:
                self._algo.resume(algo)
        self._liquidation.check()
        self._context.settle()
