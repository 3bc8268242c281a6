"""A small pure venue that answers the core's commands, with scripted faults. One-way mode, one quote asset.

Far simpler than the embedded exchange, and written apart from it: market orders fill at the last price, conditional
orders fire when told a price, every command can be made to fail in each of the ways that matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from core.commands import (
    Accepted,
    CancelOrder,
    FetchBalances,
    FetchFills,
    FetchIncome,
    FetchOpenAlgoOrders,
    FetchOpenOrders,
    FetchPositions,
    FetchSymbolConfig,
    IdentifyOrder,
    InDoubt,
    Outcome,
    QueryOrder,
    RefusalKind,
    Refused,
    SubmitOrder,
    SymbolConfig,
    VenueCommand,
)
from core.enums import AlgoStatus, LiquiditySide, MarginType, OrderService, OrderStatus, OrderType, PositionSide, Side
from core.events import AccountUpdated, AlgoOrderUpdated, Event, OrderUpdated
from core.orders import (
    AlgoOrderReport,
    AlgoOrderRequest,
    BalanceReport,
    FillReport,
    IncomeReport,
    OrderReport,
    OrderRequest,
    PositionReport,
)

D = Decimal
ZERO, ONE, DEPOSIT = D(0), D(1), D(10_000)
FEE_RATE = D("0.0005")


@dataclass
class Rule:
    """A scripted fault: the first rule that matches a command decides what becomes of it.

    `apply` says whether the venue executes it, `outcome` what is answered (None: nothing, ever).
    """

    matches: Callable[[VenueCommand], bool]
    apply: bool
    outcome: Outcome | None
    times: int = 1


@dataclass
class _Position:
    quantity: Decimal = ZERO
    entry_price: Decimal = ZERO


@dataclass
class FakeVenue:
    """State and rules of the venue. `mute` swallows user events; `log` keeps every accepted write."""

    wallet: Decimal = DEPOSIT
    now_ms: int = 0
    prices: dict[str, Decimal] = field(default_factory=dict)
    fill_parts: tuple[Decimal, ...] = (ONE,)
    fill_share: Decimal = ONE
    mute: bool = False
    rules: list[Rule] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    orders: dict[str, OrderReport] = field(default_factory=dict)
    algos: dict[str, AlgoOrderReport] = field(default_factory=dict)
    fills: list[FillReport] = field(default_factory=list)
    incomes: list[IncomeReport] = field(default_factory=list)
    positions: dict[str, _Position] = field(default_factory=dict)
    commands: list[VenueCommand] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    hide_from_lookup: set[str] = field(default_factory=set)
    hide_from_list: set[str] = field(default_factory=set)
    trigger_client_id: Callable[[AlgoOrderReport], str] = lambda algo: algo.client_order_id
    _ids: int = 100

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def position(self, symbol: str) -> Decimal:
        return self.positions.get(symbol, _Position()).quantity

    # --- commands -----------------------------------------------------------------------------------------------

    def execute(self, command: VenueCommand) -> Outcome | None:
        """Return the answer, or None when none ever comes."""
        self.commands.append(command)
        for rule in self.rules:
            if rule.times > 0 and rule.matches(command):
                rule.times -= 1
                real = self._do(command) if rule.apply else None
                return rule.outcome if rule.outcome is not None or not rule.apply else _silent(real)
        return self._do(command)

    def _do(self, command: VenueCommand) -> Outcome:
        if isinstance(command, SubmitOrder):
            order = command.approved.order
            return self._place_algo(order) if isinstance(order, AlgoOrderRequest) else self._place(order)
        if isinstance(command, CancelOrder):
            return self._cancel(command)
        if isinstance(command, QueryOrder):
            return self._query(command)
        if isinstance(command, IdentifyOrder):
            return self._identify(command)
        return Accepted(self._read(command))

    def _read(self, command: VenueCommand) -> object:
        if isinstance(command, FetchPositions):
            return tuple(
                self._position_report(symbol)
                for symbol, position in self.positions.items()
                if position.quantity != 0 and command.symbol in (None, symbol)
            )
        if isinstance(command, FetchOpenOrders):
            return tuple(o for o in self.orders.values() if not o.status.is_terminal)
        if isinstance(command, FetchOpenAlgoOrders):
            alive = [a for a in self.algos.values() if not a.status.is_terminal]
            return tuple(a for a in alive if a.client_order_id not in self.hide_from_list)
        if isinstance(command, FetchFills):
            return tuple(self._listed_fills(command))
        if isinstance(command, FetchIncome):
            return tuple(row for row in self.incomes if row.event_time_ms >= command.start_time_ms)
        if isinstance(command, FetchBalances):
            return (BalanceReport("USDT", self.wallet, self.wallet, available=self.wallet),)
        if isinstance(command, FetchSymbolConfig):
            return (SymbolConfig(command.symbol or "BTCUSDT", 5, MarginType.ISOLATED),)
        raise AssertionError(f"unexpected command {command}")

    def _listed_fills(self, command: FetchFills) -> list[FillReport]:
        rows = [fill for fill in self.fills if fill.symbol == command.symbol]
        if command.from_trade_id is not None:
            rows = [fill for fill in rows if fill.trade_id >= command.from_trade_id]
        if command.start_time_ms is not None:
            rows = [fill for fill in rows if fill.event_time_ms >= command.start_time_ms]
        return [replace(fill, client_order_id="") for fill in rows]

    def _query(self, command: QueryOrder) -> Outcome:
        book = self.orders if command.service is OrderService.PLAIN else self.algos
        found = book.get(command.client_order_id)
        if found is None or command.client_order_id in self.hide_from_lookup:
            return Refused(RefusalKind.NOT_FOUND, -2013, "Order does not exist.")
        return Accepted(found)

    def _identify(self, command: IdentifyOrder) -> Outcome:
        for order in self.orders.values():
            if order.venue_order_id == command.venue_order_id and order.client_order_id not in self.hide_from_lookup:
                return Accepted(order)
        return Refused(RefusalKind.NOT_FOUND, -2013, "Order does not exist.")

    def _cancel(self, command: CancelOrder) -> Outcome:
        algo = self.algos.get(command.client_order_id)
        if algo is None or algo.status.is_terminal:
            return Refused(RefusalKind.NOT_FOUND, -2011, "Unknown order sent.")
        self.end_algo(command.client_order_id, AlgoStatus.CANCELED)
        return Accepted(None)

    # --- orders -------------------------------------------------------------------------------------------------

    def _place(self, request: OrderRequest) -> Outcome:
        reducing = self.position(request.symbol) * request.side.sign < 0
        if request.reduce_only and not reducing:
            return Refused(RefusalKind.REDUCE_ONLY, -2022, "ReduceOnly Order is rejected.")
        self.accepted.append(request.client_order_id)
        report = self.market_order(
            request.symbol, request.side, request.quantity, request.client_order_id, reduce_only=request.reduce_only
        )
        return Accepted(replace(report, average_price=None, fill=None, execution_type="ACK"))

    def market_order(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        client_id: str,
        *,
        reduce_only: bool = False,
        original_type: OrderType = OrderType.MARKET,
        close_position: bool = False,
    ) -> OrderReport:
        """Fill a market order in parts at the last price and tell the stream of each."""
        order_id = self.next_id()
        if reduce_only:
            quantity = min(quantity, abs(self.position(symbol)))
        wanted = quantity * self.fill_share
        report = OrderReport(
            symbol=symbol,
            client_order_id=client_id,
            venue_order_id=order_id,
            side=side,
            position_side=PositionSide.BOTH,
            type=OrderType.MARKET,
            status=OrderStatus.NEW,
            execution_type="NEW",
            quantity=quantity,
            price=ZERO,
            filled_quantity=ZERO,
            average_price=None,
            reduce_only=reduce_only,
            close_position=close_position,
            update_time_ms=self.now_ms,
            original_type=original_type,
        )
        self._tell(OrderUpdated(report, self.now_ms, self.now_ms))
        for part in self.fill_parts:
            report = self._fill(report, wanted * part)
        if report.filled_quantity < quantity and not report.status.is_terminal:
            report = replace(report, status=OrderStatus.EXPIRED, execution_type="EXPIRED", fill=None, expiry_reason=9)
            self._tell(OrderUpdated(report, self.now_ms, self.now_ms))
        self.orders[client_id] = replace(report, fill=None)
        return report

    def _fill(self, report: OrderReport, quantity: Decimal) -> OrderReport:
        if quantity == 0:
            return report
        price = self.prices[report.symbol]
        position = self.positions.setdefault(report.symbol, _Position())
        realized = self._move(position, report.side.sign * quantity, price)
        fee = price * quantity * FEE_RATE
        self.wallet += realized - fee
        fill = FillReport(
            symbol=report.symbol,
            trade_id=self.next_id(),
            venue_order_id=report.venue_order_id,
            client_order_id=report.client_order_id,
            side=report.side,
            position_side=PositionSide.BOTH,
            price=price,
            quantity=quantity,
            fee=fee,
            fee_asset="USDT",
            realized_pnl=realized,
            liquidity_side=LiquiditySide.TAKER,
            event_time_ms=self.now_ms,
        )
        self.fills.append(fill)
        done = report.filled_quantity + quantity
        report = replace(
            report,
            filled_quantity=done,
            average_price=price,
            status=OrderStatus.FILLED if done == report.quantity else OrderStatus.PARTIALLY_FILLED,
            execution_type="TRADE",
            fill=fill,
            update_time_ms=self.now_ms,
        )
        self._tell_account("ORDER", report.symbol)
        self._tell(OrderUpdated(report, self.now_ms, self.now_ms))
        if position.quantity == 0:
            self._expire_bound(report.symbol)
        return report

    @staticmethod
    def _move(position: _Position, signed: Decimal, price: Decimal) -> Decimal:
        held = position.quantity
        if held * signed >= 0:
            cost = abs(held) * position.entry_price + abs(signed) * price
            position.quantity = held + signed
            position.entry_price = cost / abs(position.quantity)
            return ZERO
        closed = min(abs(held), abs(signed))
        realized = (price - position.entry_price) * closed * (1 if held > 0 else -1)
        position.quantity = held + signed
        if held * position.quantity < 0:
            position.entry_price = price
        return realized

    def _place_algo(self, request: AlgoOrderRequest) -> Outcome:
        held = self.position(request.symbol)
        if held * request.side.sign >= 0:
            return Refused(RefusalKind.BUSINESS, -4509, "TIF GTE can only be used with open positions.")
        if self._is_triggered(request.type, request.side, request.trigger_price, self.prices[request.symbol]):
            return Refused(RefusalKind.WOULD_TRIGGER, -2021, "Order would immediately trigger.")
        for other in self.algos.values():
            same = (other.symbol, other.side, other.type) == (request.symbol, request.side, request.type)
            if same and not other.status.is_terminal:
                return Refused(RefusalKind.BUSINESS, -4130, "An open stop with closePosition exists.")
        report = AlgoOrderReport(
            symbol=request.symbol,
            client_order_id=request.client_order_id,
            algo_id=self.next_id(),
            side=request.side,
            position_side=request.position_side,
            type=request.type,
            status=AlgoStatus.NEW,
            trigger_price=request.trigger_price,
            quantity=ZERO,
            close_position=True,
            reduce_only=False,
            update_time_ms=self.now_ms,
        )
        self.algos[request.client_order_id] = report
        self.accepted.append(request.client_order_id)
        self._tell(AlgoOrderUpdated(report, self.now_ms, self.now_ms))
        return Accepted(report)

    @staticmethod
    def _is_triggered(kind: OrderType, side: Side, trigger: Decimal, price: Decimal) -> bool:
        upwards = (kind is OrderType.STOP_MARKET) == (side is Side.BUY)
        return price >= trigger if upwards else price <= trigger

    def move_price(self, symbol: str, price: Decimal, *, fire: bool = True) -> None:
        """Set the last price and fire every conditional order that it reaches."""
        self.prices[symbol] = price
        for algo in list(self.algos.values()):
            alive = algo.symbol == symbol and algo.status is AlgoStatus.NEW
            if fire and alive and self._is_triggered(algo.type, algo.side, algo.trigger_price, price):
                self.fire(algo.client_order_id)

    def fire(self, client_id: str) -> None:
        """Walk a conditional order through its trigger; its plain order closes the position."""
        algo = self.algos[client_id]
        self._set_algo(client_id, AlgoStatus.TRIGGERING)
        held = self.position(algo.symbol)
        plain = self.market_order(
            algo.symbol,
            algo.side,
            abs(held),
            self.trigger_client_id(algo),
            reduce_only=True,
            original_type=algo.type,
            close_position=True,
        )
        self.algos[client_id] = replace(self.algos[client_id], venue_order_id=plain.venue_order_id)
        self._set_algo(client_id, AlgoStatus.TRIGGERED)
        self._set_algo(client_id, AlgoStatus.FINISHED)

    def _set_algo(self, client_id: str, status: AlgoStatus) -> None:
        self.algos[client_id] = replace(self.algos[client_id], status=status, update_time_ms=self.now_ms)
        self._tell(AlgoOrderUpdated(self.algos[client_id], self.now_ms, self.now_ms))

    def end_algo(self, client_id: str, status: AlgoStatus) -> None:
        self._set_algo(client_id, status)

    def _expire_bound(self, symbol: str) -> None:
        for algo in list(self.algos.values()):
            if algo.symbol == symbol and algo.status is AlgoStatus.NEW:
                self.end_algo(algo.client_order_id, AlgoStatus.EXPIRED)

    def pay_funding(self, symbol: str, amount: Decimal) -> None:
        self.wallet += amount
        self.incomes.append(IncomeReport(self.next_id(), "FUNDING_FEE", symbol, amount, "USDT", self.now_ms))
        self._tell_account("FUNDING_FEE", None)

    # --- events -------------------------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        if not self.mute:
            self.events.append(event)

    def _tell_account(self, reason: str, symbol: str | None) -> None:
        rows = () if symbol is None else (self._position_report(symbol),)
        balances = (BalanceReport("USDT", self.wallet, self.wallet),)
        self._tell(AccountUpdated(reason, balances, rows, self.now_ms, self.now_ms))

    def _position_report(self, symbol: str) -> PositionReport:
        position = self.positions[symbol]
        return PositionReport(symbol, PositionSide.BOTH, position.quantity, position.entry_price, ZERO, self.now_ms)


def _silent(_real: Outcome | None) -> None:
    return None


def doubt(text: str = "timeout") -> InDoubt:
    return InDoubt(text)
