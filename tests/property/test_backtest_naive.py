"""The sparse replay against the plainest form of the same rules: every candle looked at, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.settings import BothHitRule
from core.enums import Direction
from core.instrument import Instrument, Rounding
from strategies.base import Entry
from tests.unit.backtest.support import START_MS, Bar, candles_of, enter, play

D = Decimal
FEE, CENT = D("0.0007"), D("1E-8")


@dataclass(frozen=True)
class Row:
    entry_minute: int
    entry_price: Decimal
    exit_minute: int | None
    exit_price: Decimal | None
    reason: str
    ambiguous: bool
    pnl: Decimal


def walk(seed: int, count: int) -> list[Bar]:
    """Return candles that often touch both levels, open in gaps, and sometimes stand still."""
    rng = Random(seed)
    price, bars = 10_000, []
    for _ in range(count):
        open_ = max(5_000, price + rng.choice((0, 0, 0, rng.randint(-250, 250))))
        close = max(5_000, open_ + rng.randint(-80, 80))
        high = max(open_, close) + rng.choice((0, rng.randint(0, 60), rng.randint(0, 300)))
        low = max(4_000, min(open_, close) - rng.choice((0, rng.randint(0, 60), rng.randint(0, 300))))
        bars.append(tuple(str(D(value) / 100) for value in (open_, high, low, close)))
        price = close
    return bars


def naive(
    bars: list[Bar], plans: dict[int, Entry], instrument: Instrument, rule: BothHitRule, slippage: Decimal
) -> list[Row]:
    rows, position, pending = [], None, None
    for minute, bar in enumerate(bars):
        open_, high, low, _ = map(D, bar)
        if pending is not None:
            sign = pending.direction.sign
            entry = fill(instrument, open_, sign, slippage)
            to_entry, away = (Rounding.UP, Rounding.DOWN) if sign > 0 else (Rounding.DOWN, Rounding.UP)
            stop = instrument.round_price(entry * (1 - sign * (pending.exits.stop_fraction or D(0))), to_entry)
            target = instrument.round_price(entry * (1 + sign * (pending.exits.target_fraction or D(0))), away)
            position, pending = (minute, entry, stop, target, sign), None
        if position is not None:
            start, entry, stop, target, sign = position
            done = exit_of(open_, high, low, stop, target, sign, rule)
            if done is not None:
                touched, reason, ambiguous = done
                price = fill(instrument, touched, -sign, slippage)
                fees = sum((value * FEE).quantize(CENT, "ROUND_DOWN") for value in (entry, price))
                rows.append(Row(start, entry, minute, price, reason, ambiguous, sign * (price - entry) - fees))
                position = None
        if position is None and minute in plans:
            pending = plans[minute]
    if position is not None:
        rows.append(Row(position[0], position[1], None, None, "open", False, -(position[1] * FEE).quantize(CENT)))
    return rows


def fill(instrument: Instrument, price: Decimal, sign: int, slippage: Decimal) -> Decimal:
    return instrument.round_price(price * (1 + sign * slippage / 10_000), Rounding.UP if sign > 0 else Rounding.DOWN)


def exit_of(open_, high, low, stop, target, sign, rule):
    if (open_ - stop) * sign <= 0:
        return open_, "stop", False
    if (open_ - target) * sign >= 0:
        return open_, "target", False
    hit_stop = low <= stop if sign > 0 else high >= stop
    hit_target = high >= target if sign > 0 else low <= target
    both = hit_stop and hit_target
    if hit_stop and not (both and rule is BothHitRule.TP_FIRST):
        return stop, "stop", both
    return (target, "target", both) if hit_target else None


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rule=st.sampled_from(BothHitRule),
    slippage=st.sampled_from([D(0), D(3)]),
    every=st.integers(1, 12),
)
def test_replay_equals_the_naive_form_to_the_last_digit(seed, rule, slippage, every) -> None:
    bars = walk(seed, 400)
    rng = Random(f"plans:{seed}")
    plans = {
        minute: enter(rng.choice((Direction.LONG, Direction.SHORT)), rng.choice(("0.004", "0.01")), "0.015")
        for minute in range(0, 400, every)
        if rng.random() < 0.7
    }
    result = play(bars, plans, both_hit_rule=rule, slippage_bps=slippage, fee_rate=FEE, has_risk=False)
    found = [
        Row(
            (trade.entry_time_ms - START_MS) // 60_000,
            trade.entry_price,
            None if trade.exit_time_ms is None else (trade.exit_time_ms - START_MS) // 60_000,
            trade.exit_price,
            trade.exit_reason,
            trade.ambiguous,
            trade.pnl,
        )
        for trade in result.trades
    ]
    assert found == naive(bars, plans, candles_of(bars).spec.instrument, rule, slippage)
    assert result.wallet == result.deposit + sum((row.pnl for row in found), D(0))
    assert not result.alerts
