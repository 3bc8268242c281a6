"""What the live rooms offer to a replay: no journal, short memory, one write a trade, a fixed size."""

from __future__ import annotations

from decimal import Decimal

from core.candle import DAY_MS
from core.enums import Direction, OrderType, Side
from core.limits import SizingPolicy
from executor.sizing import Sized, SizingInput, size_entry
from simulator.engine.config import ExchangeConfig
from simulator.engine.exchange import Exchange
from simulator.engine.requests import PlaceOrder
from simulator.market.candle_market import NEVER_MS, CandleMarket
from simulator.market.catalog import CATALOG
from simulator.market.model import FundingPoint
from tests.unit.backtest.support import START_MS

D = Decimal
SPECS = {"ETHUSDT": CATALOG["ETHUSDT"]}


def traded(config: ExchangeConfig) -> Exchange:
    market = CandleMarket(SPECS, START_MS)
    market.value("ETHUSDT", D(100))
    exchange = Exchange(market, config)
    for side in (Side.BUY, Side.SELL):
        exchange.place_order(PlaceOrder("ETHUSDT", side, OrderType.MARKET, quantity=D(1)))
    return exchange


def test_exchange_without_journal_collects_no_changes() -> None:
    assert traded(ExchangeConfig()).take_changes()
    assert not traded(ExchangeConfig(is_journalled=False)).take_changes()


def test_short_history_is_forgotten_after_its_time() -> None:
    kept, short = traded(ExchangeConfig()), traded(ExchangeConfig(history_ms=DAY_MS))
    for exchange in (kept, short):
        assert len(exchange.user_trades("ETHUSDT")) == 2
        exchange.advance(START_MS + 3 * DAY_MS)
    assert len(kept.user_trades("ETHUSDT")) == 2
    assert short.user_trades("ETHUSDT") == []


def test_safe_band_is_there_only_while_a_position_is() -> None:
    market = CandleMarket(SPECS, START_MS)
    market.value("ETHUSDT", D(100))
    exchange = Exchange(market, ExchangeConfig(deposit=D(50)))
    assert exchange.safe_band("ETHUSDT") is None
    exchange.place_order(PlaceOrder("ETHUSDT", Side.BUY, OrderType.MARKET, quantity=D(1)))
    low, high = exchange.safe_band("ETHUSDT") or (D(0), D(0))
    assert D(50) < low < D(100) < high
    assert not exchange.is_flat("ETHUSDT")


def test_fixed_quantity_replaces_the_risk_and_is_still_capped() -> None:
    def sized(limit: int) -> Sized:
        result = size_entry(
            SizingPolicy(fixed_quantity=D(3)),
            SizingInput(
                direction=Direction.LONG,
                price=D(100),
                stop_price=D(99),
                equity=D(10_000),
                available=D(10_000),
                taker_fee_rate=D("0.0005"),
                leverage=5,
                brackets=(),
                symbol_exposure=D(0),
                total_exposure=D(0),
                max_position_notional=D(limit),
                max_exposure_fraction=D(1),
                max_total_exposure_fraction=None,
            ),
        )
        assert isinstance(result, Sized)
        return result

    assert (sized(5_000).quantity, sized(5_000).bound_by) == (D(3), "fixed")
    assert sized(200).quantity == D(2)


def test_market_offers_its_price_with_slippage_on_the_tick_grid() -> None:
    market = CandleMarket(SPECS, START_MS, D(1))
    market.value("ETHUSDT", D("100.05"))
    (bid,), (ask,) = market.depth("ETHUSDT", 5)
    assert (bid[0], ask[0]) == (D("100.03"), D("100.07"))


def test_market_knows_its_funding_times() -> None:
    points = {"ETHUSDT": (FundingPoint(START_MS + 5, D("0.1"), D(7)), FundingPoint(START_MS + 9, D("0.2"), D(0)))}
    market = CandleMarket(SPECS, START_MS, funding=points)
    assert market.next_funding_ms("ETHUSDT") == START_MS + 5
    list(market.advance(START_MS + 5))
    assert (market.funding_rate("ETHUSDT"), market.funding_mark("ETHUSDT", START_MS + 5)) == (D("0.1"), D(7))
    assert market.funding_mark("ETHUSDT", START_MS + 9) is None
    list(market.advance(START_MS + 9))
    assert market.next_funding_ms("ETHUSDT") == NEVER_MS
