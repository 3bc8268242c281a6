"""Between the core and the pure exchange in one process: command -> engine call -> answer, engine event -> core event.

It shares nothing with the venue adapter: that one speaks the wire, this one hands values over.
"""

from __future__ import annotations

from bisect import bisect_left
from decimal import Decimal
from operator import attrgetter

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
    Outcome,
    QueryOrder,
    RefusalKind,
    Refused,
    SubmitOrder,
    SymbolConfig,
    VenueCommand,
)
from core.enums import LiquiditySide, OrderService
from core.events import AccountConfigChanged, AccountUpdated, AlgoOrderUpdated, Event, OrderUpdated
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
from simulator.engine.errors import ApiError
from simulator.engine.events import AccountConfigEvent, AccountEvent, AlgoEvent, ExchangeEvent, OrderEvent
from simulator.engine.exchange import Exchange
from simulator.engine.orders import AlgoOrder, Income, PlainOrder, Trade
from simulator.engine.requests import PlaceAlgo, PlaceOrder

_TIME_MS = attrgetter("time_ms")
KINDS = {
    -2021: RefusalKind.WOULD_TRIGGER,
    -2022: RefusalKind.REDUCE_ONLY,
    -4118: RefusalKind.REDUCE_ONLY,
    -4509: RefusalKind.REDUCE_ONLY,
    -4116: RefusalKind.DUPLICATE_ID,
    -2011: RefusalKind.NOT_FOUND,
    -2013: RefusalKind.NOT_FOUND,
}


class Listed:
    """Reports of the fills and ledger rows of one exchange that were listed before: neither changes any more."""

    __slots__ = ("fills", "incomes")

    def __init__(self) -> None:
        self.fills: dict[int, FillReport] = {}
        self.incomes: dict[int, IncomeReport] = {}

    def fill(self, row: Trade) -> FillReport:
        """Return the report of a fill that is listed for the first time."""
        report = self.fills[row.trade_id] = fill_report(row, "")
        return report

    def income(self, row: Income) -> IncomeReport:
        """Return the report of a ledger row that is listed for the first time."""
        report = IncomeReport(row.tran_id, row.income_type, row.symbol, row.income, row.asset, row.time_ms)
        self.incomes[row.tran_id] = report
        return report


def execute(
    exchange: Exchange, command: VenueCommand, *, answers_ended: bool = True, listed: Listed | None = None
) -> Outcome:
    """Carry a command out on the engine as the venue would, without faults.

    Without `answers_ended` the answer to an order that is over at once is empty, for a caller that takes its report.
    `listed` is what a caller keeps who lists the same rows again and again.
    """
    try:
        return Accepted(_do(exchange, command, answers_ended, listed))  # type: ignore[arg-type]
    except ApiError as error:
        return Refused(KINDS.get(error.code, RefusalKind.BUSINESS), error.code, error.message)


def _do(exchange: Exchange, command: VenueCommand, answers_ended: bool, listed: Listed | None) -> object:
    if isinstance(command, SubmitOrder):
        request = command.approved.order
        if isinstance(request, AlgoOrderRequest):
            return _place_algo(exchange, request)
        order = _place(exchange, request)
        return order_report(order, "ACK", with_average=False) if answers_ended or order.is_open else None
    if isinstance(command, CancelOrder):
        if command.service is OrderService.ALGO:
            exchange.cancel_algo(client_algo_id=command.client_order_id)
        else:
            exchange.cancel_order(command.symbol, client_id=command.client_order_id)
        return None
    if isinstance(command, QueryOrder):
        if command.service is OrderService.ALGO:
            return algo_report(exchange.get_algo(client_algo_id=command.client_order_id))
        return order_report(exchange.get_order(command.symbol, client_id=command.client_order_id), "QUERY")
    return _read(exchange, command, listed or Listed())


def _read(exchange: Exchange, command: VenueCommand, listed: Listed) -> object:  # noqa: PLR0911 - one line a command
    if isinstance(command, FetchPositions):
        return tuple(
            PositionReport(
                p.symbol, p.position_side, p.quantity, p.entry_price, p.unrealised_pnl, p.update_time_ms, p.mark_price
            )
            for p in exchange.legs(command.symbol)
        )
    if isinstance(command, FetchOpenOrders):
        return tuple(order_report(order, "QUERY") for order in exchange.open_orders(command.symbol))
    if isinstance(command, FetchOpenAlgoOrders):
        return tuple(algo_report(order) for order in exchange.open_algos(command.symbol))
    if isinstance(command, FetchBalances):
        return tuple(
            BalanceReport(b.asset, b.wallet_balance, b.cross_wallet_balance, b.available_balance)
            for b in exchange.funds()
        )
    if isinstance(command, FetchFills):
        rows = exchange.user_trades(command.symbol, command.from_trade_id, limit=1_000)
        first = bisect_left(rows, command.start_time_ms or 0, key=_TIME_MS)
        told = listed.fills
        return tuple([told.get(row.trade_id) or listed.fill(row) for row in rows[first:]])
    if isinstance(command, FetchIncome):
        ledger = exchange.income(start_ms=command.start_time_ms, limit=1_000)
        known = listed.incomes
        return tuple([known.get(row.tran_id) or listed.income(row) for row in ledger])
    if isinstance(command, FetchSymbolConfig):
        configs = exchange.symbol_config(command.symbol)
        return tuple(SymbolConfig(c.symbol, c.leverage, c.margin_type) for c in configs)
    if isinstance(command, IdentifyOrder):
        return order_report(exchange.get_order(command.symbol, order_id=command.venue_order_id), "QUERY")
    raise AssertionError(f"the core sent {command}")


def _place(exchange: Exchange, request: OrderRequest) -> PlainOrder:
    return exchange.place_order(
        PlaceOrder(
            symbol=request.symbol,
            side=request.side,
            type=request.type,
            position_side=request.position_side,
            time_in_force=request.time_in_force,
            quantity=request.quantity,
            price=request.price,
            reduce_only=request.reduce_only or None,
            client_order_id=request.client_order_id,
            response_type="RESULT",
        )
    )


def _place_algo(exchange: Exchange, request: AlgoOrderRequest) -> AlgoOrderReport:
    return algo_report(
        exchange.place_algo(
            PlaceAlgo(
                symbol=request.symbol,
                side=request.side,
                type=request.type,
                position_side=request.position_side,
                trigger_price=request.trigger_price,
                working_type=request.working_type,
                close_position=request.close_position,
                client_algo_id=request.client_order_id,
            )
        )
    )


def event_of(event: ExchangeEvent, now_ms: int) -> Event | None:
    """Return the core's event for a private engine event; None for market items and warnings."""
    if isinstance(event, OrderEvent):
        return order_update(event, now_ms)
    if isinstance(event, AlgoEvent):
        return AlgoOrderUpdated(algo_report(event.order), event.time_ms, now_ms)
    if isinstance(event, AccountEvent):
        return account_update(event, now_ms)
    if isinstance(event, AccountConfigEvent):
        return AccountConfigChanged(event.symbol, event.leverage, None, event.time_ms, now_ms)
    return None


def order_update(event: OrderEvent, now_ms: int) -> OrderUpdated:
    fill = None if event.fill is None else fill_report(event.fill, event.order.client_order_id)
    report = order_report(event.order, event.execution_type, fill=fill, expiry_reason=event.expiry_reason)
    return OrderUpdated(report, event.time_ms, now_ms)


def account_update(event: AccountEvent, now_ms: int) -> AccountUpdated:
    balances = [
        BalanceReport(b.asset, b.wallet_balance, b.cross_wallet_balance, None, b.change) for b in event.balances
    ]
    positions = [
        PositionReport(p.symbol, p.position_side, p.quantity, p.entry_price, p.unrealised_pnl, event.time_ms)
        for p in event.positions
    ]
    return AccountUpdated(event.reason, tuple(balances), tuple(positions), event.time_ms, now_ms)


def order_report(
    order: PlainOrder,
    execution_type: str,
    *,
    fill: FillReport | None = None,
    expiry_reason: int = 0,
    with_average: bool = True,
) -> OrderReport:
    average: Decimal | None = order.average_price if with_average and order.executed_quantity else None
    return OrderReport(
        order.symbol,
        order.client_order_id,
        order.order_id,
        order.side,
        order.position_side,
        order.type,
        order.status,
        execution_type,
        order.quantity,
        order.price,
        order.executed_quantity,
        average,
        order.reduce_only,
        order.close_position,
        order.update_time_ms,
        expiry_reason,
        order.orig_type,
        fill,
    )


def algo_report(order: AlgoOrder) -> AlgoOrderReport:
    return AlgoOrderReport(
        order.symbol,
        order.client_algo_id,
        order.algo_id,
        order.side,
        order.position_side,
        order.type,
        order.status,
        order.trigger_price,
        order.quantity,
        order.close_position,
        order.reduce_only,
        order.update_time_ms,
        order.actual_order_id or None,
        order.actual_price or None,
        order.actual_quantity or None,
        order.reject_reason,
    )


def fill_report(trade: Trade, client_order_id: str) -> FillReport:
    return FillReport(
        trade.symbol,
        trade.trade_id,
        trade.order_id,
        client_order_id,
        trade.side,
        trade.position_side,
        trade.price,
        trade.quantity,
        trade.commission,
        trade.commission_asset,
        trade.realised_pnl,
        LiquiditySide.MAKER if trade.is_maker else LiquiditySide.TAKER,
        trade.time_ms,
    )
