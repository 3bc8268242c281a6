"""The contracts that the embedded exchange lists: filters, margin brackets, fees and how each of them trades.

All figures are of our own writing, of a realistic order of magnitude. They are not a copy of any venue's list.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from core.enums import SymbolStatus
from core.errors import ConfigurationError
from core.instrument import Instrument
from simulator.market.noise import key_of, uniform_at

GENERATED_SYMBOLS_MAX = 300
MAKER_FEE = Decimal("0.0002")
TAKER_FEE = Decimal("0.0005")
_ONBOARD_MS = 1_577_836_800_000  # 2020-01-01


@dataclass(frozen=True, slots=True)
class Bracket:
    """One step of the margin ladder. Notionals in the quote asset; `cum` is the maintenance amount to subtract."""

    bracket: int
    initial_leverage: int
    notional_floor: Decimal
    notional_cap: Decimal
    maint_margin_ratio: Decimal
    cum: Decimal


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    """A listed contract and the character of its market.

    `volatility` is the standard deviation of one minute's return (a fraction), `beta` the weight of the move that all
    symbols share. `spread_ticks` is best ask minus best bid. `level_quantity` is the mean quantity on a book level at
    the touch and `base_volume` the mean traded quantity a minute, both in the base asset.
    """

    instrument: Instrument
    brackets: tuple[Bracket, ...]
    reference_price: Decimal
    volatility: float
    beta: float
    spread_ticks: int
    level_quantity: Decimal
    base_volume: Decimal
    maker_fee: Decimal = MAKER_FEE
    taker_fee: Decimal = TAKER_FEE
    funding_interval_hours: int = 8
    funding_rate_cap: Decimal = Decimal("0.003")
    liquidation_fee: Decimal = Decimal("0.015")
    onboard_date_ms: int = _ONBOARD_MS

    @property
    def symbol(self) -> str:
        return self.instrument.symbol

    @property
    def max_leverage(self) -> int:
        return self.brackets[0].initial_leverage


def build_brackets(scale: Decimal, ladder: Sequence[tuple[int, str, str]]) -> tuple[Bracket, ...]:
    """Return brackets from rows (max leverage, maintenance ratio, cap in units of `scale`).

    `cum` follows cum_n = floor_n x (mmr_n - mmr_(n-1)) + cum_(n-1), so that maintenance is continuous at every cap.
    """
    brackets: list[Bracket] = []
    floor, ratio_before, cum = Decimal(0), Decimal(0), Decimal(0)
    for number, (leverage, ratio_text, cap_text) in enumerate(ladder, start=1):
        ratio = Decimal(ratio_text)
        if brackets:
            cum += floor * (ratio - ratio_before)
        cap = scale * Decimal(cap_text)
        brackets.append(Bracket(number, leverage, floor, cap, ratio, cum))
        floor, ratio_before = cap, ratio
    return tuple(brackets)


_LADDER_MAJOR = (
    (125, "0.004", "0.1"),
    (100, "0.005", "1"),
    (75, "0.0065", "5"),
    (50, "0.01", "20"),
    (25, "0.02", "100"),
    (20, "0.025", "150"),
    (10, "0.05", "400"),
    (5, "0.1", "800"),
    (2, "0.25", "1600"),
    (1, "0.5", "3000"),
)
_LADDER_ALT = (
    (75, "0.005", "0.02"),
    (50, "0.01", "0.1"),
    (25, "0.02", "0.8"),
    (20, "0.025", "1.6"),
    (10, "0.05", "8"),
    (5, "0.1", "16"),
    (2, "0.25", "40"),
    (1, "0.5", "80"),
)
_LADDER_SMALL = (
    (50, "0.01", "0.01"),
    (25, "0.02", "0.1"),
    (10, "0.05", "0.5"),
    (5, "0.1", "1"),
    (2, "0.25", "3"),
    (1, "0.5", "5"),
)
_MILLION = Decimal(1_000_000)
_BRACKETS_MAJOR = build_brackets(_MILLION, _LADDER_MAJOR)
_BRACKETS_ALT = build_brackets(_MILLION, _LADDER_ALT)
_BRACKETS_SMALL = build_brackets(_MILLION, _LADDER_SMALL)


def _decimals(grid: Decimal) -> int:
    exponent = grid.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _instrument(symbol: str, tick: Decimal, step: Decimal, min_notional: Decimal, price: Decimal) -> Instrument:
    max_quantity = max(step, (Decimal(50_000_000) / price).quantize(step))
    max_quantity -= max_quantity % step
    market_max = max(step, max_quantity / 5 - (max_quantity / 5) % step)
    return Instrument(
        symbol=symbol,
        base_asset=symbol.removesuffix("USDT"),
        quote_asset="USDT",
        status=SymbolStatus.TRADING,
        tick_size=tick,
        min_price=tick,
        max_price=(price * 100).quantize(Decimal(1)) + 1000,
        step_size=step,
        min_quantity=step,
        max_quantity=max_quantity,
        market_step_size=step,
        market_min_quantity=step,
        market_max_quantity=market_max,
        min_notional=min_notional,
        multiplier_up=Decimal("1.05"),
        multiplier_down=Decimal("0.95"),
        market_take_bound=Decimal("0.05"),
        trigger_protect=Decimal("0.05"),
        max_open_orders=200,
        price_precision=_decimals(tick),
        quantity_precision=_decimals(step),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    symbol: str
    tick: str
    step: str
    min_notional: str
    price: str
    volatility: float
    beta: float
    spread_ticks: int
    level_usdt: int
    minute_usdt: int


# Spread: one tick where the tick is worth about a basis point, more where it is finer. Depth and volume in USDT.
_TEN = (
    _Row("BTCUSDT", "0.1", "0.001", "100", "68250", 0.00090, 0.92, 1, 40_000, 6_000_000),
    _Row("ETHUSDT", "0.01", "0.001", "20", "3240", 0.00108, 0.92, 1, 25_000, 4_000_000),
    _Row("BNBUSDT", "0.01", "0.01", "5", "612", 0.00096, 0.82, 1, 12_000, 700_000),
    _Row("SOLUSDT", "0.01", "0.1", "5", "172", 0.00130, 0.88, 1, 60_000, 2_000_000),
    _Row("XRPUSDT", "0.0001", "0.1", "5", "2.215", 0.00125, 0.80, 1, 40_000, 1_500_000),
    _Row("ADAUSDT", "0.0001", "1", "5", "0.6842", 0.00135, 0.84, 1, 30_000, 500_000),
    _Row("AVAXUSDT", "0.001", "1", "5", "24.35", 0.00140, 0.86, 1, 15_000, 400_000),
    _Row("LINKUSDT", "0.001", "0.01", "5", "15.42", 0.00135, 0.86, 1, 12_000, 450_000),
    _Row("LTCUSDT", "0.01", "0.001", "5", "87.4", 0.00115, 0.80, 1, 25_000, 300_000),
    _Row("SUIUSDT", "0.0001", "0.1", "5", "3.412", 0.00150, 0.84, 2, 15_000, 900_000),
)


def _spec(row: _Row, brackets: tuple[Bracket, ...], funding_hours: int = 8) -> SymbolSpec:
    price, step = Decimal(row.price), Decimal(row.step)
    return SymbolSpec(
        instrument=_instrument(row.symbol, Decimal(row.tick), step, Decimal(row.min_notional), price),
        brackets=brackets,
        reference_price=price,
        volatility=row.volatility,
        beta=row.beta,
        spread_ticks=row.spread_ticks,
        level_quantity=max(step, (row.level_usdt / price).quantize(step)),
        base_volume=max(500 * step, (row.minute_usdt / price).quantize(step)),
        funding_interval_hours=funding_hours,
    )


CATALOG: dict[str, SymbolSpec] = {
    row.symbol: _spec(row, _BRACKETS_MAJOR if row.symbol in ("BTCUSDT", "ETHUSDT") else _BRACKETS_ALT) for row in _TEN
}
"""The ten contracts that the project ships ready for, in listing order."""


def _made_up(number: int) -> SymbolSpec:
    """Return contract number `number` (from 11): every figure follows from the number alone."""
    symbol = f"SYM{number:03d}USDT"
    draw = [float(uniform_at(key_of("catalog"), number * 8 + part)) for part in range(8)]
    magnitude = number % 6 - 3  # prices from thousandths to hundreds
    digits = Decimal(1000 + number * 29 % 9000 + (number % 7) * 3) / 1000
    price = digits.scaleb(magnitude)
    tick = Decimal(1).scaleb(magnitude - (4 if draw[0] < 0.6 else 3))
    step = Decimal(1).scaleb(-max(0, magnitude + (1 if draw[1] < 0.5 else 0)))
    row = _Row(
        symbol,
        str(tick),
        str(step),
        ("5", "10", "20")[int(draw[2] * 3)],
        str(price),
        0.0009 + 0.0009 * draw[3],
        0.55 + 0.3 * draw[4],
        1 + int(draw[5] * 3),
        3_000 + int(12_000 * draw[6]),
        60_000 + int(240_000 * draw[7]),
    )
    return _spec(row, _BRACKETS_SMALL, funding_hours=4 if number % 5 == 0 else 8)


def generated_specs(count: int) -> list[SymbolSpec]:
    """Return `count` contracts: the catalogue's ten first, then made-up ones `SYM011USDT`, `SYM012USDT`, …

    Raises ConfigurationError when `count` is not within 1..300.
    """
    if not 1 <= count <= GENERATED_SYMBOLS_MAX:
        raise ConfigurationError(f"symbols: {count} generated symbols are not possible; allowed: 1 to 300")
    specs = list(CATALOG.values())[:count]
    return specs + [_made_up(number) for number in range(len(specs) + 1, count + 1)]


def select_specs(symbols: Iterable[str]) -> list[SymbolSpec]:
    """Return the contracts of the given names, in that order; ConfigurationError names an unknown one."""
    known = {spec.symbol: spec for spec in generated_specs(GENERATED_SYMBOLS_MAX)}
    chosen: list[SymbolSpec] = []
    for symbol in symbols:
        if symbol not in known:
            near = difflib.get_close_matches(symbol, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "it generates " + ", ".join(CATALOG)
            raise ConfigurationError(f"symbols: the embedded exchange lists no {symbol!r}; {hint}")
        chosen.append(known[symbol])
    return chosen


def spec_for_live(
    instrument: Instrument, price: Decimal, minute_volume: Decimal, liquidation_fee: Decimal
) -> SymbolSpec:
    """Return the contract for a live symbol: the venue's own filters, with brackets and fees of the catalogue.

    `price` is a recent price and `minute_volume` a typical base volume a minute; they size the book behind the touch.
    """
    listed = CATALOG.get(instrument.symbol)
    step = instrument.step_size
    return SymbolSpec(
        instrument=instrument,
        brackets=listed.brackets if listed else _BRACKETS_ALT,
        reference_price=price,
        volatility=listed.volatility if listed else 0.0011,
        beta=listed.beta if listed else 0.7,
        spread_ticks=1,
        level_quantity=max(step, instrument.round_quantity(minute_volume / 10)),
        base_volume=max(step, minute_volume),
        liquidation_fee=liquidation_fee,
    )


def spec_for_recorded(symbol: str, tick: Decimal, step: Decimal, price: Decimal, minute_volume: Decimal) -> SymbolSpec:
    """Return the contract for recorded data of `symbol` whose finest price and quantity are `tick` and `step`.

    `price` is a typical price and `minute_volume` a typical base volume a minute. Where the catalogue lists the
    symbol its rules are kept, on a finer grid if the data is finer; otherwise everything follows from the data.
    """
    listed = CATALOG.get(symbol)
    if listed is None:
        row = _Row(symbol, str(tick), str(step), "5", str(price), 0.0011, 0.7, 1, 10_000, 300_000)
        made = _spec(row, _BRACKETS_ALT)
        return replace(
            made,
            base_volume=max(step, minute_volume),
            level_quantity=max(step, (minute_volume / 10).quantize(step)),
        )
    tick = min(tick, listed.instrument.tick_size)
    step = min(step, listed.instrument.step_size)
    instrument = replace(
        listed.instrument,
        tick_size=tick,
        min_price=tick,
        max_price=max(listed.instrument.max_price, (price * 100).quantize(Decimal(1))),
        step_size=step,
        min_quantity=step,
        market_step_size=step,
        market_min_quantity=step,
        price_precision=_decimals(tick),
        quantity_precision=_decimals(step),
    )
    return replace(listed, instrument=instrument, reference_price=price)
