"""A market that does exactly what a test writes down, and short ways to place orders on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

import pytest

from core.enums import MarginType, OrderType, PositionSide, Side, SymbolStatus, TimeInForce
from core.instrument import Instrument
from simulator.engine.config import ExchangeConfig
from simulator.engine.errors import ApiError
from simulator.engine.events import AccountEvent, AlgoEvent, OrderEvent
from simulator.engine.exchange import Exchange
from simulator.engine.orders import AlgoOrder, PlainOrder
from simulator.engine.requests import PlaceAlgo, PlaceOrder
from simulator.market.model import KlineClosed, KlineView, MarketEvent, MarketTrade

START_MS = 1_700_000_040_000
HOUR_MS = 3_600_000
BTC, ETH = "BTCUSDT", "ETHUSDT"
BUY, SELL = Side.BUY, Side.SELL
D = Decimal


def instrument(symbol: str = BTC, **changes: object) -> Instrument:
    values: dict[str, object] = {
        "symbol": symbol,
        "base_asset": symbol[:3],
        "quote_asset": "USDT",
        "status": SymbolStatus.TRADING,
        "tick_size": D("0.1"),
        "min_price": D("10"),
        "max_price": D("1000000"),
        "step_size": D("0.001"),
        "min_quantity": D("0.001"),
        "max_quantity": D("1000"),
        "market_step_size": D("0.001"),
        "market_min_quantity": D("0.001"),
        "market_max_quantity": D("120"),
        "min_notional": D("5"),
        "multiplier_up": D("1.05"),
        "multiplier_down": D("0.95"),
        "market_take_bound": D("0.05"),
        "trigger_protect": D("0.05"),
        "price_precision": 2,
        "quantity_precision": 3,
    }
    return Instrument(**(values | changes))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Bracket:
    bracket: int
    initial_leverage: int
    notional_floor: Decimal
    notional_cap: Decimal
    maint_margin_ratio: Decimal
    cum: Decimal


BRACKETS = (
    Bracket(1, 50, D(0), D(50_000), D("0.01"), D(0)),
    Bracket(2, 20, D(50_000), D(250_000), D("0.025"), D(750)),
    Bracket(3, 10, D(250_000), D(1_000_000), D("0.05"), D(7_000)),
)


@dataclass
class Spec:
    instrument: Instrument
    brackets: tuple[Bracket, ...] = BRACKETS
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0005")
    funding_interval_hours: int = 8
    liquidation_fee: Decimal = Decimal("0.01")


@dataclass
class ScriptedMarket:
    """Every symbol starts at 1000 with one tick of spread and plenty of depth; marks follow the last price."""

    specs: dict[str, Spec] = field(default_factory=lambda: {BTC: Spec(instrument()), ETH: Spec(instrument(ETH))})
    now_ms: int = START_MS
    funding_ms: int = START_MS + 8 * HOUR_MS
    rate: Decimal = Decimal("0.0001")

    def __post_init__(self) -> None:
        self.last = {symbol: D(1000) for symbol in self.specs}
        self.marks: dict[str, Decimal] = {}
        self.books: dict[str, tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]] = {}
        self.script: list[MarketEvent] = []
        self.trade_ids = 0

    def trade(self, price: str | Decimal, quantity: str = "100", symbol: str = BTC, at_ms: int | None = None) -> None:
        """Write down a trade, one millisecond after the previous item unless a time is given."""
        before = self.script[-1].time_ms if self.script else self.now_ms
        self.trade_ids += 1
        time_ms = at_ms if at_ms is not None else before + 1
        ids = (self.trade_ids,) * 3
        self.script.append(MarketTrade(time_ms, symbol, D(price), D(quantity), False, *ids))

    def close_candle(self, symbol: str = BTC) -> None:
        before = self.script[-1].time_ms if self.script else self.now_ms
        kline = KlineView(0, 59_999, *[D(1)] * 4, D(0), D(0), 0, D(0), D(0), -1, -1, True)
        self.script.append(KlineClosed(symbol, "1m", kline, before + 1))

    def book(self, bids: list[tuple[str, str]], asks: list[tuple[str, str]], symbol: str = BTC) -> None:
        self.books[symbol] = ([(D(p), D(q)) for p, q in bids], [(D(p), D(q)) for p, q in asks])

    def advance(self, to_ms: int) -> Iterator[MarketEvent]:
        while self.script and self.script[0].time_ms <= to_ms:
            item = self.script.pop(0)
            self.now_ms = item.time_ms
            if isinstance(item, MarketTrade):
                self.last[item.symbol] = item.price
                self.books.pop(item.symbol, None)
            yield item
        self.now_ms = max(self.now_ms, to_ms)

    def depth(self, symbol: str, limit: int) -> tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]:
        if symbol in self.books:
            bids, asks = self.books[symbol]
            return bids[:limit], asks[:limit]
        last, tick = self.last[symbol], self.specs[symbol].instrument.tick_size
        return [(last, D(1000))], [(last + tick, D(1000))]

    def last_price(self, symbol: str) -> Decimal:
        return self.last[symbol]

    def mark_price(self, symbol: str) -> Decimal:
        return self.marks.get(symbol, self.last[symbol])

    def funding_rate(self, symbol: str) -> Decimal:
        return self.rate

    def next_funding_ms(self, symbol: str) -> int:
        due = self.funding_ms
        while due <= self.now_ms:
            due += self.specs[symbol].funding_interval_hours * HOUR_MS
        return due


class Desk:
    """An exchange on a scripted market, with the shortest words for what tests do."""

    def __init__(self, **config: object) -> None:
        self.market = ScriptedMarket()
        self.exchange = Exchange(self.market, ExchangeConfig(**config))  # type: ignore[arg-type]

    def play(self) -> list[object]:
        """Run the market through its whole script and return what happened."""
        end_ms = self.market.script[-1].time_ms if self.market.script else self.market.now_ms
        return list(self.exchange.advance(end_ms))

    def trade(self, *prices: str | Decimal, quantity: str = "100", symbol: str = BTC) -> list[object]:
        for price in prices:
            self.market.trade(price, quantity, symbol)
        return self.play()

    def market_order(self, side: Side, quantity: str, symbol: str = BTC, **more: object) -> PlainOrder:
        request = PlaceOrder(symbol, side, OrderType.MARKET, quantity=D(quantity), response_type="RESULT", **more)  # type: ignore[arg-type]
        return self.exchange.place_order(request)

    def limit_order(self, side: Side, quantity: str, price: str, symbol: str = BTC, **more: object) -> PlainOrder:
        values = {"time_in_force": TimeInForce.GTC, "response_type": "RESULT"} | more
        request = PlaceOrder(symbol, side, OrderType.LIMIT, quantity=D(quantity), price=D(price), **values)  # type: ignore[arg-type]
        return self.exchange.place_order(request)

    def algo(
        self, side: Side, order_type: OrderType, trigger: str | None, symbol: str = BTC, **more: object
    ) -> AlgoOrder:
        if not more.get("close_position") and "quantity" not in more:
            more["quantity"] = D(1)
        request = PlaceAlgo(symbol, side, order_type, trigger_price=D(trigger) if trigger else None, **more)  # type: ignore[arg-type]
        return self.exchange.place_algo(request)

    def position(self, symbol: str = BTC, side: PositionSide = PositionSide.BOTH) -> Decimal:
        views = self.exchange.positions(symbol, include_flat=True)
        return next(view.quantity for view in views if view.position_side is side)

    def wallet(self) -> Decimal:
        return self.exchange.account().balance.wallet_balance

    def events(self) -> list[object]:
        return list(self.exchange.drain_events())

    def isolate(self, symbol: str = BTC) -> None:
        self.exchange.set_margin_type(symbol, MarginType.ISOLATED)
        self.exchange.drain_events()


def refusal(code: int) -> pytest.RaisesContext[ApiError]:  # type: ignore[name-defined]
    """Expect an ApiError of exactly this code."""
    return pytest.raises(ApiError, match=rf"^{code} ")


def words(events: list[object]) -> list[str]:
    """Return private events as short words, to compare sequences."""
    found = []
    for event in events:
        if isinstance(event, OrderEvent):
            found.append(f"{event.execution_type}:{event.order.status}")
        elif isinstance(event, AlgoEvent):
            found.append(f"ALGO:{event.order.status}")
        elif isinstance(event, AccountEvent):
            found.append(f"ACCOUNT:{event.reason}")
        elif not isinstance(event, MarketTrade | KlineClosed):
            found.append(type(event).__name__)
    return found


def assert_identity(exchange: Exchange) -> None:
    """The ledger's identity, to the last digit: wallet and position from fills, fees and funding alone."""
    rows = exchange.income(start_ms=0, limit=1000)
    trades = exchange.user_trades(from_id=1, limit=1000)
    deposits = sum((row.income for row in rows if row.income_type == "TRANSFER"), D(0))
    funding = sum((row.income for row in rows if row.income_type == "FUNDING_FEE"), D(0))
    realised = sum((trade.realised_pnl for trade in trades), D(0))
    fees = sum((trade.commission for trade in trades), D(0))
    assert exchange.account().balance.wallet_balance == deposits + realised - fees + funding
    assert exchange.account().balance.wallet_balance == sum((row.income for row in rows), D(0))
    held: dict[tuple[str, PositionSide], Decimal] = {}
    for trade in trades:
        key = (trade.symbol, trade.position_side)
        held[key] = held.get(key, D(0)) + trade.side.sign * trade.quantity
    views = {(view.symbol, view.position_side): view.quantity for view in exchange.positions()}
    assert {key: quantity for key, quantity in held.items() if quantity} == {
        key: quantity for key, quantity in views.items() if quantity
    }
