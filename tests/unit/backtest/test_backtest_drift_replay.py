"""The replay of a recorded day: which signals count, under which conditions, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from pathlib import Path

import numpy as np
import pytest

from backtest.candles import ReplayCandles, from_units
from backtest.conditions import Conditions, Contract, digest_of, parameters_of, read_conditions
from backtest.drift import Key
from backtest.drift_replay import RecordedDay, ReplayedDay, replay_day
from core.candle import DAY_MS
from core.enums import MarginType, PositionMode
from core.errors import RuntimeFailure
from core.limits import RiskLimits, SizingPolicy, SymbolLimits, TradingConfig
from core.orders import LeverageBracket
from simulator.market.catalog import CATALOG
from simulator.market.model import FundingPoint
from strategies.loader import StrategyBook

D = Decimal
SYMBOL = "BTCUSDT"
STRATEGY = "vwap_reversion"
MINUTE = 60_000
DAY_START = 1_767_225_600_000
ROOT = Path(__file__).resolve().parents[3] / "strategies"
DIPS = (300, 600, 900)
"""Minutes of the day at whose close the price has left its range: each is a signal to buy, and the target is met."""


def candles(stays: int = 1) -> ReplayCandles:
    """Two days without a trend; at `DIPS` of the second the price falls by 1 % and is back after `stays` minutes."""
    minutes = np.arange(2 * 1440, dtype=np.int64)
    close = 1_000_000 + np.random.default_rng(1).integers(-300, 300, len(minutes))
    low_at = [1440 + minute + more for minute in DIPS for more in range(stays)]
    close[low_at] = 990_000
    open_ = np.roll(close, 1)
    open_[0] = close[0]
    high, low = np.maximum(open_, close) + 100, np.minimum(open_, close) - 100
    times = DAY_START - DAY_MS + minutes * MINUTE
    volume = np.full(len(minutes), 10.0)
    return from_units(SYMBOL, CATALOG[SYMBOL], 1, times, (open_, high, low, close), volume)


def conditions(limits: RiskLimits | None = None) -> Conditions:
    config = TradingConfig(
        PositionMode.ONEWAY,
        "USDT",
        SizingPolicy(),
        limits or RiskLimits(),
        {SYMBOL: SymbolLimits(SYMBOL, margin_type=MarginType.ISOLATED, volatility_halt_pct=D(50))},
    )
    spec = CATALOG[SYMBOL]
    ladder = tuple(
        LeverageBracket(
            row.bracket, row.initial_leverage, row.notional_floor, row.notional_cap, row.maint_margin_ratio, row.cum
        )
        for row in spec.brackets
    )
    contract = Contract(spec.instrument, ladder, spec.maker_fee, spec.taker_fee)
    params = parameters_of(StrategyBook(ROOT, [SYMBOL]))[SYMBOL][STRATEGY]
    return Conditions("0.1.0", config, {SYMBOL: {STRATEGY: {**params, "adx_max": 100, "k": 4.0}}}, {SYMBOL: contract})


def recorded(**changes: object) -> RecordedDay:
    minutes = range(DAY_START, DAY_START + DAY_MS, MINUTE)
    day = RecordedDay(DAY_START, DAY_START + DAY_MS, D(10_000), [candles()], minutes)
    return replace(day, **changes)  # type: ignore[arg-type]


def replayed(day: RecordedDay, under: Conditions | None = None) -> ReplayedDay:
    under = under or conditions()
    return replay_day(day, under, under.strategies(StrategyBook(ROOT, [SYMBOL])))


def key(minute: int) -> Key:
    return Key(DAY_START + (minute + 1) * MINUTE, SYMBOL, STRATEGY)


def test_replay_day_makes_the_trades_of_its_signals() -> None:
    trades = replayed(recorded()).trades

    assert [trade.key for trade in trades] == [key(minute) for minute in DIPS]
    assert {(trade.entered_ms - trade.key.decided_ms, trade.exit_reason) for trade in trades} == {(0, "target")}
    assert trades[0].entry_price == D("99000.0")


def test_replay_day_leaves_out_candles_that_the_trader_was_not_there_for() -> None:
    absent = DAY_START + DIPS[1] * MINUTE
    minutes = [time for time in range(DAY_START, DAY_START + DAY_MS, MINUTE) if time != absent]

    assert [trade.key for trade in replayed(recorded(minutes=minutes)).trades] == [key(DIPS[0]), key(DIPS[2])]


def test_replay_day_waits_while_a_position_of_an_earlier_day_is_held() -> None:
    held = {SYMBOL: DAY_START + (DIPS[1] - 1) * MINUTE}

    assert [trade.key for trade in replayed(recorded(held_until_ms=held)).trades] == [key(DIPS[1]), key(DIPS[2])]


def test_replay_day_tells_what_its_limits_refused() -> None:
    found = replayed(recorded(), conditions(RiskLimits(min_balance=D(20_000))))

    assert found.trades == ()
    assert found.denied == {key(minute): "min_balance" for minute in DIPS}


def test_replay_day_pays_the_funding_of_the_day() -> None:
    day = recorded(candles=[candles(stays=4)])
    first = replayed(day).trades[0]
    assert first.exited_ms == first.entered_ms + 3 * MINUTE
    due = FundingPoint(first.entered_ms + MINUTE, D("0.001"), D(0))

    paid = replayed(replace(day, funding={SYMBOL: (due,)})).trades

    at = int(np.searchsorted(day.candles[0].open_time, due.time_ms))
    price = day.candles[0].price(int(day.candles[0].open[at]))
    amount = -(first.quantity * price * due.rate).quantize(D("1E-8"), ROUND_DOWN)
    assert (paid[0].funding, paid[0].pnl) == (amount, first.pnl + amount)
    assert [trade.funding for trade in paid[1:]] == [0, 0]


def test_replay_day_holds_entries_back_around_funding_as_live_trading_does() -> None:
    due = FundingPoint(DAY_START + (DIPS[1] + 5) * MINUTE, D(0), D(0))
    limits = RiskLimits(funding_window_before_ms=10 * MINUTE)

    assert len(replayed(recorded(), conditions(limits)).trades) == 3
    found = replayed(recorded(funding={SYMBOL: (due,)}), conditions(limits))

    assert [trade.key for trade in found.trades] == [key(DIPS[0]), key(DIPS[2])]
    assert found.denied == {key(DIPS[1]): "funding_window"}


def test_replay_day_without_candles_or_contract_is_refused() -> None:
    with pytest.raises(RuntimeFailure, match="no candles"):
        replayed(recorded(candles=[]))
    with pytest.raises(RuntimeFailure, match="contract of BTCUSDT"):
        replayed(recorded(), replace(conditions(), contracts={}))


def test_conditions_come_back_from_their_text_as_they_were() -> None:
    before = conditions()

    after = read_conditions(before.text())

    assert after == before
    assert digest_of(after.text()) == digest_of(before.text())
    (active,) = after.strategies(StrategyBook(ROOT, [SYMBOL]))
    assert active.params.model_dump(mode="json") == {**before.parameters[SYMBOL][STRATEGY], "adx_max": 100, "k": 4.0}


def test_conditions_of_another_code_are_refused_in_one_line() -> None:
    gone = replace(conditions(), parameters={SYMBOL: {"gone": {}}})
    other = replace(conditions(), parameters={SYMBOL: {STRATEGY: {"k": "wide"}}})

    with pytest.raises(RuntimeFailure, match="another version"):
        read_conditions('{"code_version": "0"}')
    with pytest.raises(RuntimeFailure, match="no longer in the code"):
        gone.strategies(StrategyBook(ROOT, [SYMBOL]))
    with pytest.raises(RuntimeFailure, match="other parameters"):
        other.strategies(StrategyBook(ROOT, [SYMBOL]))


def test_what_counts_for_a_trade_changes_with_its_own_parameters_and_limits_alone() -> None:
    first = conditions()
    wider = replace(first, parameters={SYMBOL: {STRATEGY: {"k": 3}}})
    elsewhere = replace(first, parameters={**first.parameters, "ETHUSDT": {STRATEGY: {"k": 3}}})

    assert wider.what_counts_for(STRATEGY, SYMBOL) != first.what_counts_for(STRATEGY, SYMBOL)
    assert elsewhere.what_counts_for(STRATEGY, SYMBOL) == first.what_counts_for(STRATEGY, SYMBOL)
