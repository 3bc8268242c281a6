"""Records as they occur, for the tests of this room and of the dashboard."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from core.candle import ClosedCandle
from core.enums import Direction, Leg, LiquiditySide, OrderService, OrderType, PositionSide, Severity, Side
from core.records import (
    AccountStatRecord,
    AlertRecord,
    CandleRecord,
    DecisionRecord,
    DenialRecord,
    FillOwnerRecord,
    FillRecord,
    FundingRecord,
    HaltRecord,
    IncomeRecord,
    IntentRecord,
    OrderRecord,
    PerformanceRecord,
    PositionMarkRecord,
    PositionRecord,
    SignalRecord,
    SignalStatus,
    TradeState,
)
from core.signal import ExitPlan, Signal, Verdict

T0 = 1_746_057_600_000  # 2025-05-01 00:00 UTC
MINUTE = 60_000
D = Decimal


def made(record: Any, changes: dict[str, Any]) -> Any:
    """The record with some fields changed."""
    kind = type(record)
    return kind(**({name: getattr(record, name) for name in kind.__slots__} | changes))


def candle(symbol: str = "BTCUSDT", open_time_ms: int = T0, close: str = "94210.5") -> CandleRecord:
    price = D(close)
    return CandleRecord(
        ClosedCandle(symbol, "1m", open_time_ms, price, price + 5, price - 5, price, D("12.345"), D("1163027.6"), 912)
    )


def signal(signal_id: str = "vwap:BTCUSDT:1m:1", **changes: Any) -> SignalRecord:
    value = Signal(
        signal_id=signal_id,
        strategy="vwap_reversion",
        symbol="BTCUSDT",
        interval="1m",
        direction=Direction.LONG,
        candle_open_time_ms=T0,
        reference_price=D("94210.5"),
        exits=ExitPlan(stop_fraction=D("0.003"), target_fraction=D("0.006")),
        event_time_ms=T0 + MINUTE,
        received_time_ms=T0 + MINUTE + 12,
        reason="close below the band",
        features={"adx": 14.25},
        max_holding_ms=3_600_000,
    )
    return SignalRecord(made(value, changes), SignalStatus.APPROVED)


def intent(intent_id: int = 1, **changes: Any) -> IntentRecord:
    record = IntentRecord(
        intent_id=intent_id,
        epoch=1,
        signal_id=f"vwap:BTCUSDT:1m:{intent_id}",
        symbol="BTCUSDT",
        strategy="vwap_reversion",
        direction=Direction.LONG,
        position_side=PositionSide.BOTH,
        quantity=D("0.035"),
        reference_price=D("94210.5"),
        stop_price=D("93927.8"),
        target_price=D("94775.7"),
        risk_usd=D("10"),
        client_order_id=f"ft-1-{intent_id}-E0",
        state=TradeState.PROTECTED,
        evidence="fill",
        created_time_ms=T0 + MINUTE,
        updated_time_ms=T0 + MINUTE + 40,
    )
    return made(record, changes)


def order(client_order_id: str = "ft-1-1-E0", **changes: Any) -> OrderRecord:
    record = OrderRecord(
        client_order_id=client_order_id,
        symbol="BTCUSDT",
        strategy="vwap_reversion",
        intent_id=1,
        leg=Leg.ENTRY,
        service=OrderService.PLAIN,
        side=Side.BUY,
        position_side=PositionSide.BOTH,
        type=OrderType.MARKET,
        status="FILLED",
        quantity=D("0.035"),
        price=None,
        stop_price=None,
        filled_quantity=D("0.035"),
        average_price=D("94211.1"),
        reduce_only=False,
        close_position=False,
        venue_order_id=8_389_765_491_234_567_890,
        algo_id=None,
        created_time_ms=T0 + MINUTE,
        updated_time_ms=T0 + MINUTE + 40,
    )
    return made(record, changes)


def fill(trade_id: int = 1, **changes: Any) -> FillRecord:
    record = FillRecord(
        symbol="BTCUSDT",
        trade_id=trade_id,
        venue_order_id=77,
        client_order_id="ft-1-1-E0",
        intent_id=1,
        leg=Leg.ENTRY,
        strategy="vwap_reversion",
        side=Side.BUY,
        position_side=PositionSide.BOTH,
        price=D("94211.1"),
        quantity=D("0.035"),
        fee=D("1.648694250"),
        fee_asset="USDT",
        realized_pnl=D("0"),
        liquidity_side=LiquiditySide.TAKER,
        event_time_ms=T0 + MINUTE + 40,
        received_time_ms=T0 + MINUTE + 52,
    )
    return made(record, changes)


def fill_owner(trade_id: int = 1, client_order_id: str = "", leg: Leg | None = None) -> FillOwnerRecord:
    return FillOwnerRecord("BTCUSDT", trade_id, client_order_id, leg)


def position(intent_id: int = 1, **changes: Any) -> PositionRecord:
    record = PositionRecord(
        intent_id=intent_id,
        symbol="BTCUSDT",
        strategy="vwap_reversion",
        direction=Direction.LONG,
        state=TradeState.PROTECTED,
        quantity=D("0.035"),
        entry_quantity=D("0.035"),
        entry_price=D("94211.1"),
        exit_price=None,
        stop_price=D("93928.4"),
        target_price=D("94776.4"),
        stop_client_order_id=f"ft-1-{intent_id}-S0",
        target_client_order_id=f"ft-1-{intent_id}-T0",
        risk_usd=D("10"),
        realized_pnl=D("0"),
        fees=D("1.648694250"),
        funding=D("0"),
        exit_reason=None,
        opened_time_ms=T0 + MINUTE + 40,
        closed_time_ms=None,
        updated_time_ms=T0 + MINUTE + 40,
    )
    return made(record, changes)


def mark(intent_id: int = 1) -> PositionMarkRecord:
    return PositionMarkRecord(intent_id, D("94300.1"), D("3.115"), T0 + 2 * MINUTE)


def account_stat(event_time_ms: int = T0, equity: str = "10003.1150", **changes: Any) -> AccountStatRecord:
    record = AccountStatRecord(event_time_ms, D("10000"), D(equity), D("9340.5"), D("3.115"), 1, D("10010"))
    return made(record, changes)


def performance(symbol: str = "BTCUSDT", day: str = "2025-05-01", **changes: Any) -> PerformanceRecord:
    record = PerformanceRecord(
        "vwap_reversion", symbol, day, 3, 2, 1, D("12.5"), D("2.25"), D("-0.1"), D("9894.2"), D("0.105"), T0
    )
    return made(record, changes)


def denial(signal_id: str = "vwap:BTCUSDT:1m:9", **changes: Any) -> DenialRecord:
    record = DenialRecord(
        signal_id, "BTCUSDT", "vwap_reversion", "stop_too_close", {"distance": "0.0001", "least": "0.0005"}, T0 + MINUTE
    )
    return made(record, changes)


def decision(symbol: str = "BTCUSDT", open_time_ms: int = T0, gate: str = "adx", **numbers: float) -> DecisionRecord:
    numbers = numbers or {"adx": 27.5, "adx_max": 20.0}
    return DecisionRecord(
        Verdict("vwap_reversion", symbol, "1m", open_time_ms, open_time_ms + MINUTE - 1, gate, numbers)
    )


def income(transaction_id: int = 1, amount: str = "-0.1", **changes: Any) -> IncomeRecord:
    return made(IncomeRecord(transaction_id, "FUNDING_FEE", "BTCUSDT", D(amount), "USDT", T0 + MINUTE, 1), changes)


def halt(scope: str = "BTCUSDT", *, active: bool = True) -> HaltRecord:
    return HaltRecord(scope, "volatility", active, "1.7 % in 5 s", T0, T0 + 600_000)


def alert(key: str = "start-1") -> AlertRecord:
    return AlertRecord(key, Severity.INFO, "Started", "Trading ten symbols", T0, {"mode": "sim"})


def funding(symbol: str = "BTCUSDT", funding_time_ms: int = T0, rate: str = "-0.00012500") -> FundingRecord:
    return FundingRecord(symbol, funding_time_ms, D(rate))


ONE_OF_EACH = (
    signal(),
    intent(),
    order(),
    fill(),
    fill_owner(),
    position(),
    mark(),
    candle(),
    account_stat(),
    performance(),
    denial(),
    decision(),
    income(),
    halt(),
    alert(),
    funding(),
)
