"""A few hours of trading as they could have been: seeded, written through the real writer, for tests and pictures."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from core.candle import ClosedCandle
from core.enums import Direction, Leg, LiquiditySide, OrderService, OrderType, PositionSide
from core.ids import ClientOrderId
from core.records import (
    AccountStatRecord,
    CandleRecord,
    DecisionRecord,
    DenialRecord,
    ExitReason,
    FillRecord,
    HaltRecord,
    IntentRecord,
    OrderRecord,
    PerformanceRecord,
    PositionMarkRecord,
    PositionRecord,
    Record,
    SignalRecord,
    SignalStatus,
    TradeState,
)
from core.signal import ExitPlan, Signal, Verdict, signal_id_for
from database.database import open_database

D = Decimal
MINUTE = 60_000
START = 1_746_080_400_000  # 2025-05-01 06:20 UTC
MINUTES = 400
SYMBOLS = {  # price, tick, step
    "BTCUSDT": ("94210.5", "0.1", "0.001"),
    "ETHUSDT": ("1794.32", "0.01", "0.001"),
    "BNBUSDT": ("598.71", "0.01", "0.01"),
    "SOLUSDT": ("147.135", "0.001", "0.01"),
    "XRPUSDT": ("2.1934", "0.0001", "0.1"),
    "ADAUSDT": ("0.6887", "0.0001", "1"),
    "AVAXUSDT": ("21.118", "0.001", "0.1"),
    "LINKUSDT": ("14.562", "0.001", "0.01"),
    "LTCUSDT": ("83.94", "0.01", "0.001"),
    "SUIUSDT": ("3.5071", "0.0001", "0.1"),
}
STRATEGIES = ("vwap_reversion", "range_fade")
FEE_RATE = D("0.0005")
RISK = D("10")


def write_sample(
    url: str,
    status_dir: Path | None = None,
    *,
    wall_ms: int = 0,
    seed: int = 10,
    strategies: Sequence[str] = STRATEGIES,
) -> None:
    """Write the sample into a new database, and a heartbeat where a folder is given."""
    write(url, Sample(seed, strategies).records())
    if status_dir is not None:
        status_dir.mkdir(parents=True, exist_ok=True)
        beat = {
            "time_ms": wall_ms,
            "mode": "sim",
            "version": "0.1.0",
            "health": "green",
            "reasons": [],
            "uptime_s": 5025,
        }
        (status_dir / "heartbeat.json").write_text(json.dumps(beat))


def write(url: str, records: Sequence[Record]) -> None:
    """Write records and close; without an event loop, which a browser's driver may hold already."""
    database = open_database(url, "sim")
    database.writer.submit(records)
    database.close()
    assert database.writer.rows_dropped == 0


def to_grid(value: float | Decimal, grid: str) -> Decimal:
    return (D(str(value)) / D(grid)).to_integral_value(ROUND_HALF_EVEN) * D(grid)


class Sample:
    """Makes the records. Each trade enters at a candle's close and leaves at its stop or target where it is reached."""

    def __init__(self, seed: int, strategies: Sequence[str]) -> None:
        self._strategies = strategies
        self._random = random.Random(seed)
        self._next_intent = 1
        self._next_trade = 5_000_001
        self._cash: list[tuple[int, Decimal]] = []  # when realised, net
        self._open: list[tuple[PositionRecord, Decimal]] = []
        self._performance: dict[tuple[str, str], PerformanceRecord] = {}

    def records(self) -> list[Record]:
        rows: list[Record] = []
        for symbol in SYMBOLS:
            candles = self._candles(symbol)
            rows += [CandleRecord(candle) for candle in candles]
            rows += self._trades(symbol, candles)
        rows += self._account()
        rows += self._performance.values()
        rows.append(
            HaltRecord("SUIUSDT", "volatility", True, "1.62 % within 5 s", _now() - 4 * MINUTE, _now() + 6 * MINUTE)
        )
        return rows

    def _candles(self, symbol: str) -> list[ClosedCandle]:
        start, tick, _ = SYMBOLS[symbol]
        price, volatility, anchor = float(start), 0.0006, float(start)
        candles = []
        for n in range(MINUTES):
            volatility = 0.00025 + 0.93 * (volatility - 0.00025) + abs(self._random.gauss(0, 0.00006))
            pull = 0.012 * (anchor * (1 + 0.004 * math.sin(n / 41)) - price) / price
            open_price, close = price, price * (1 + pull + self._random.gauss(0, volatility))
            high = max(open_price, close) * (1 + abs(self._random.gauss(0, volatility * 0.6)))
            low = min(open_price, close) * (1 - abs(self._random.gauss(0, volatility * 0.6)))
            volume = D(str(round(2e6 / price * volatility * 1000 * self._random.uniform(0.4, 1.8), 3)))
            values = (to_grid(value, tick) for value in (open_price, high, low, close))
            candles.append(ClosedCandle(symbol, "1m", START + n * MINUTE, *values, volume, volume * D(start), 900))
            price = close
        return candles

    def _trades(self, symbol: str, candles: list[ClosedCandle]) -> list[Record]:
        rows: list[Record] = []
        n = self._random.randrange(20, 60)
        while n < MINUTES - 1:
            window = [float(candle.close) for candle in candles[n - 20 : n]]
            mean = sum(window) / len(window)
            direction = Direction.LONG if float(candles[n].close) < mean else Direction.SHORT
            signal = self._signal(symbol, candles[n], direction)
            rows.append(self._decision(signal))
            if self._random.random() < 0.18:
                rows += self._denied(signal)
                n += self._random.randrange(8, 30)
                continue
            trade, n = self._trade(signal, candles, n)
            rows += trade
            n += self._random.randrange(12, 55)
        rows.append(_refused(symbol, candles[-1]))
        return rows

    def _signal(self, symbol: str, candle: ClosedCandle, direction: Direction) -> Signal:
        strategy = self._strategies[-1 if self._random.random() < 0.3 else 0]
        return Signal(
            signal_id_for(strategy, symbol, "1m", candle.open_time_ms),
            strategy,
            symbol,
            "1m",
            direction,
            candle.open_time_ms,
            candle.close,
            ExitPlan(D("0.003"), D("0.006")),
            candle.close_time_ms,
            candle.close_time_ms + 9,
            f"close {'below' if direction is Direction.LONG else 'above'} VWAP by {self._random.uniform(2, 3):.1f} sd",
        )

    def _decision(self, signal: Signal) -> DecisionRecord:
        numbers = {"adx": round(self._random.uniform(9, 19.9), 2), "close": float(signal.reference_price)}
        times = (signal.candle_open_time_ms, signal.event_time_ms)
        return DecisionRecord(Verdict(signal.strategy, signal.symbol, "1m", *times, "signal", numbers))

    def _denied(self, signal: Signal) -> list[Record]:
        code, context = self._random.choice(
            [
                ("max_open_positions", {"open_positions": "10", "limit": "10"}),
                ("symbol_exposure", {"notional": "2731.20", "limit": "2500.6475"}),
                ("stale_data", {"age_ms": "15210", "max_ms": "15000"}),
            ]
        )
        denial = DenialRecord(signal.signal_id, signal.symbol, signal.strategy, code, context, signal.event_time_ms)
        return [SignalRecord(signal, SignalStatus.DENIED, code), denial]

    def _trade(self, signal: Signal, candles: list[ClosedCandle], n: int) -> tuple[list[Record], int]:
        _, tick, step = SYMBOLS[signal.symbol]
        intent_id, self._next_intent = self._next_intent, self._next_intent + 1
        sign = signal.direction.sign
        entry = to_grid(signal.reference_price * (1 + sign * D("0.00003")), tick)
        stop = to_grid(entry * (1 - sign * D("0.003")), tick)
        target = to_grid(entry * (1 + sign * D("0.006")), tick)
        quantity = max(to_grid(RISK / abs(entry - stop), step), D(step))
        opened = signal.event_time_ms + 41
        exit_at, reason = _exit(candles, n, signal.direction, stop, target)
        exit_price = stop if reason is ExitReason.STOP else target
        fee = entry * quantity * FEE_RATE
        is_open = reason is None
        gross = D(0) if is_open else (exit_price - entry) * quantity * sign
        fees = fee if is_open else fee + exit_price * quantity * FEE_RATE
        closed = None if is_open else candles[exit_at].close_time_ms - 20_000
        position = PositionRecord(
            intent_id=intent_id,
            symbol=signal.symbol,
            strategy=signal.strategy,
            direction=signal.direction,
            state=TradeState.PROTECTED if is_open else TradeState.CLOSED,
            quantity=quantity if is_open else D(0),
            entry_quantity=quantity,
            entry_price=entry,
            exit_price=None if is_open else exit_price,
            stop_price=stop,
            target_price=target,
            stop_client_order_id=_id(intent_id, Leg.STOP),
            target_client_order_id=_id(intent_id, Leg.TARGET),
            risk_usd=RISK,
            realized_pnl=gross,
            fees=fees,
            funding=D(0),
            exit_reason=reason,
            opened_time_ms=opened,
            closed_time_ms=closed,
            updated_time_ms=closed or opened,
        )
        rows: list[Record] = [SignalRecord(signal, SignalStatus.ENTERED), _intent(signal, position), position]
        rows += self._orders(position)
        if is_open:
            mark = to_grid(candles[-1].close, tick)
            pnl = (mark - entry) * quantity * sign
            rows.append(PositionMarkRecord(intent_id, mark, pnl, _now()))
            self._open.append((position, pnl))
        self._cash.append((opened, -fee))
        if closed is not None:
            self._cash.append((closed, gross - (fees - fee)))
            self._count(position)
        return rows, exit_at

    def _orders(self, position: PositionRecord) -> list[Record]:
        entry = OrderRecord(
            client_order_id=_id(position.intent_id, Leg.ENTRY),
            symbol=position.symbol,
            strategy=position.strategy,
            intent_id=position.intent_id,
            leg=Leg.ENTRY,
            service=OrderService.PLAIN,
            side=position.direction.entry_side,
            position_side=PositionSide.BOTH,
            type=OrderType.MARKET,
            status="FILLED",
            quantity=position.entry_quantity,
            price=None,
            stop_price=None,
            filled_quantity=position.entry_quantity,
            average_price=position.entry_price,
            reduce_only=False,
            close_position=False,
            venue_order_id=900_000 + position.intent_id,
            algo_id=None,
            created_time_ms=position.opened_time_ms or 0,
            updated_time_ms=position.opened_time_ms or 0,
        )
        rows: list[Record] = [entry, self._fill(position, entry)]
        for leg, kind, level in (
            (Leg.STOP, OrderType.STOP_MARKET, position.stop_price),
            (Leg.TARGET, OrderType.TAKE_PROFIT_MARKET, position.target_price),
        ):
            done = position.exit_reason is not None and position.exit_reason.value == leg.name.lower()
            status = "NEW" if position.exit_reason is None else "FINISHED" if done else "CANCELED"
            rows.append(
                replace(
                    entry,
                    client_order_id=_id(position.intent_id, leg),
                    leg=leg,
                    service=OrderService.ALGO,
                    side=position.direction.exit_side,
                    type=kind,
                    status=status,
                    quantity=None,
                    stop_price=level,
                    filled_quantity=D(0),
                    average_price=None,
                    close_position=True,
                    venue_order_id=None,
                    algo_id=2_000_000 + position.intent_id,
                    created_time_ms=(position.opened_time_ms or 0) + 80,
                    updated_time_ms=position.closed_time_ms or (position.opened_time_ms or 0) + 95,
                )
            )
        return rows

    def _fill(self, position: PositionRecord, order: OrderRecord) -> FillRecord:
        trade_id, self._next_trade = self._next_trade, self._next_trade + 1
        price, quantity = position.entry_price or D(0), position.entry_quantity
        return FillRecord(
            position.symbol,
            trade_id,
            order.venue_order_id or 0,
            order.client_order_id,
            position.intent_id,
            Leg.ENTRY,
            position.strategy,
            order.side,
            PositionSide.BOTH,
            price,
            quantity,
            price * quantity * FEE_RATE,
            "USDT",
            D(0),
            LiquiditySide.TAKER,
            position.opened_time_ms or 0,
            (position.opened_time_ms or 0) + 7,
        )

    def _count(self, position: PositionRecord) -> None:
        key = position.strategy, position.symbol
        before = self._performance.get(key) or PerformanceRecord(
            *key, "2025-05-01", 0, 0, 0, D(0), D(0), D(0), D(0), D(0), _now()
        )
        won = position.realized_pnl - position.fees > 0
        self._performance[key] = replace(
            before,
            trades=before.trades + 1,
            wins=before.wins + won,
            losses=before.losses + (not won),
            realized_pnl=before.realized_pnl + position.realized_pnl,
            fees=before.fees + position.fees,
        )

    def _account(self) -> list[Record]:
        rows: list[Record] = []
        peak = wallet = D("10000")
        waiting = sorted(self._cash)
        unrealized_at_end = sum((pnl for _, pnl in self._open), D(0))
        for n in range(MINUTES + 1):
            now = START + n * MINUTE
            while waiting and waiting[0][0] <= now:
                wallet += waiting.pop(0)[1]
            unrealized = unrealized_at_end if n == MINUTES else D(str(round(self._random.gauss(0, 4), 4)))
            peak = max(peak, wallet + unrealized)
            rows.append(
                AccountStatRecord(
                    now, wallet, wallet + unrealized, wallet * D("0.7"), unrealized, len(self._open), peak
                )
            )
        return rows


def _now() -> int:
    return START + MINUTES * MINUTE


def _id(intent_id: int, leg: Leg) -> str:
    return str(ClientOrderId(1, intent_id, leg, 0))


def _exit(
    candles: list[ClosedCandle], n: int, direction: Direction, stop: Decimal, target: Decimal
) -> tuple[int, ExitReason | None]:
    for i in range(n + 1, len(candles)):
        if candles[i].low <= stop <= candles[i].high or (stop - candles[i].close) * direction.sign >= 0:
            return i, ExitReason.STOP
        if candles[i].low <= target <= candles[i].high or (candles[i].close - target) * direction.sign >= 0:
            return i, ExitReason.TARGET
    return len(candles), None


def _intent(signal: Signal, position: PositionRecord) -> IntentRecord:
    opened = position.opened_time_ms or 0
    return IntentRecord(
        position.intent_id,
        1,
        signal.signal_id,
        position.symbol,
        position.strategy,
        position.direction,
        PositionSide.BOTH,
        position.entry_quantity,
        signal.reference_price,
        position.stop_price or D(0),
        position.target_price,
        position.risk_usd,
        _id(position.intent_id, Leg.ENTRY),
        position.state,
        "fill",
        opened,
        opened,
    )


def _refused(symbol: str, candle: ClosedCandle) -> DecisionRecord:
    times = (candle.open_time_ms, candle.close_time_ms)
    return DecisionRecord(Verdict(STRATEGIES[0], symbol, "1m", *times, "adx", {"adx": 26.41, "adx_max": 20.0}))
