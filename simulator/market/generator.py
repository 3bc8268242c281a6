"""A market out of nothing: seeded one-minute candles that behave like a futures market's.

Model, for the logarithm x of the price of one symbol:

    x(t) = anchor walk + bridge(t) + u(t)

- The anchor is a daily random walk; the bridge is that day's minute-by-minute walk, pinned to the anchors of both
  midnights. So any day can be computed without those before it.
- u is a mean-reverting deviation (an Ornstein-Uhlenbeck process): the larger its share, the more the market ranges.
- Each stretch of `REGIME_MINUTES` is a range or a trend, partly common to all symbols: trends drift and revert little.
- Volatility is the exponential of noise on several time scales (days to minutes), so that it clusters with a long
  memory (Calvet and Fisher's multifractal model in spirit). Rare jumps are added.
- One common factor moves all symbols, weighted by `beta`; it has its own volatility.
- Highs and lows are drawn from the exact distribution of a Brownian bridge's extremes between open and close.
- Volume follows volatility, the size of the move, the hour of day and noise of its own.

Everything is a pure function of (seed, symbol, day of start, minute).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from simulator.market.catalog import SymbolSpec
from simulator.market.columns import (
    TRADES_MAX,
    TRADES_MIN,
    Columns,
    Grid,
    join,
    mean_quote,
    part_weights,
    spread_whole,
    starts,
    taker_share,
)
from simulator.market.noise import FloatArray, IntArray, key_of, normals, smooth, uniforms

DAY_MINUTES = 1440
WARM_MINUTES = 480
"""Minutes before a day from which the mean-reverting part is rebuilt; what lies earlier has faded by then."""
REGIME_MINUTES = 240
HALF_LIFE_MINUTES = 30.0
RANGE_SHARE = 0.55
RANGE_REVERTING = 0.60
TREND_REVERTING = 0.30
TREND_DRIFT = 0.12
SWING_MINUTES, SWING_DRIFT = 20, 0.11
JUMPS_PER_DAY = 1.0
CACHED_DAYS = 2

_SCALES = ((1440, 0.25), (240, 0.28), (60, 0.28), (15, 0.24), (1, 0.22))
_LOG_VARIANCE = 0.75 * sum(weight * weight for _, weight in _SCALES)


def _log_volatility(key: int, start: int, count: int) -> FloatArray:
    total = np.zeros(count)
    for scale, weight in _SCALES:
        noise = normals(key + 1, start, count) if scale == 1 else smooth(key + scale, start, count, scale)
        total += weight * noise
    return total - _LOG_VARIANCE


def _season(start: int, count: int) -> FloatArray:
    """Return the hour-of-day factor of volatility: calm at 04 UTC, busiest at 15 UTC."""
    hour = (np.arange(start, start + count) % DAY_MINUTES) / 60.0
    factor: FloatArray = 1.0 + 0.18 * np.cos((hour - 15.0) * (2.0 * math.pi / 24.0))
    return factor


class _Shared:
    """What all symbols have in common on one day: the factor's moves and volatility, and the common regimes."""

    __slots__ = ("log_volatility", "regime", "reverting_moves", "start", "swing", "walk_moves")

    def __init__(self, seed: int, day: int) -> None:
        self.start = day * DAY_MINUTES - WARM_MINUTES
        count = DAY_MINUTES + WARM_MINUTES
        self.log_volatility = _log_volatility(key_of(seed, "factor", "volatility"), self.start, count)
        self.walk_moves = normals(key_of(seed, "factor", "walk"), self.start, count)
        self.reverting_moves = normals(key_of(seed, "factor", "reverting"), self.start, count)
        self.swing = smooth(key_of(seed, "factor", "swing"), self.start, count, SWING_MINUTES)
        self.regime = _regimes(key_of(seed, "factor", "regime"), self.start, count)


def _regimes(key: int, start: int, count: int) -> FloatArray:
    """Return one number in [0, 1) a minute, constant over each stretch: where it lies decides range or trend."""
    first = start // REGIME_MINUTES
    drawn = uniforms(key, first, (start + count - 1) // REGIME_MINUTES - first + 1)
    result: FloatArray = drawn[np.arange(start, start + count) // REGIME_MINUTES - first]
    return result


class GeneratedSource:
    """Candles of any number of generated symbols; see the module for the model.

    `start_ms` fixes the day on which every symbol trades around its reference price. Candles exist from
    `history_days` whole days before it, for ever.
    """

    def __init__(self, specs: Sequence[SymbolSpec], *, seed: int, start_ms: int, history_days: int = 10) -> None:
        self._specs = {spec.symbol: spec for spec in specs}
        self._seed = seed
        self._start_day = start_ms // (DAY_MINUTES * 60_000)
        self._first_day = self._start_day - history_days
        self._shared: OrderedDict[int, _Shared] = OrderedDict()
        self._blocks: dict[str, OrderedDict[int, Columns]] = {symbol: OrderedDict() for symbol in self._specs}

    @property
    def specs(self) -> Mapping[str, SymbolSpec]:
        return self._specs

    def grid(self, symbol: str) -> Grid:
        instrument = self._specs[symbol].instrument
        return Grid.plain(instrument.tick_size, instrument.step_size)

    def span(self, symbol: str) -> tuple[int, int | None]:
        return self._first_day * DAY_MINUTES, None

    def columns(self, symbol: str, start_minute: int, end_minute: int) -> Columns:
        start_minute = max(start_minute, self._first_day * DAY_MINUTES)
        first, last = start_minute // DAY_MINUTES, max(start_minute, end_minute - 1) // DAY_MINUTES
        return join([self._block(symbol, day) for day in range(first, last + 1)]).between(start_minute, end_minute)

    def _block(self, symbol: str, day: int) -> Columns:
        blocks = self._blocks[symbol]
        block = blocks.get(day)
        if block is None:
            block = blocks[day] = generate_day(self._specs[symbol], self._seed, day, self._start_day, self._common(day))
            if len(blocks) > CACHED_DAYS:
                blocks.popitem(last=False)
        else:
            blocks.move_to_end(day)
        return block

    def _common(self, day: int) -> _Shared:
        shared = self._shared.get(day)
        if shared is None:
            shared = self._shared[day] = _Shared(self._seed, day)
            if len(self._shared) > 2 * CACHED_DAYS:
                self._shared.popitem(last=False)
        return shared


def generate_day(spec: SymbolSpec, seed: int, day: int, start_day: int, shared: _Shared) -> Columns:
    """Return the 1440 candles of UTC day number `day` (days since the epoch)."""
    log_price, sigma = _log_prices(spec, seed, day, start_day, shared)
    symbol, start = spec.symbol, day * DAY_MINUTES
    tick = float(spec.instrument.tick_size)
    high_low = _extremes(key_of(seed, symbol, "extremes"), start, log_price, sigma)
    close = np.maximum(1, np.rint(np.exp(log_price) / tick)).astype(np.int64)
    open_ = close[:-1] + _opening_step(key_of(seed, symbol, "open"), start)
    close = close[1:]
    high = np.maximum(np.maximum(open_, close), np.floor(np.exp(high_low[0]) / tick).astype(np.int64))
    low = np.maximum(1, np.minimum(np.minimum(open_, close), np.ceil(np.exp(high_low[1]) / tick).astype(np.int64)))
    open_ = np.maximum(open_, low)
    weight = _activity(key_of(seed, symbol, "volume"), start, np.diff(log_price), sigma, spec.volatility)
    base = float(spec.base_volume / spec.instrument.step_size)
    volume = np.maximum(60, np.rint(base * weight)).astype(np.int64)
    quote = mean_quote(open_, high, low, close, volume)
    taker_volume, taker_quote = taker_share(
        uniforms(key_of(seed, symbol, "taker"), start, DAY_MINUTES), (open_, high, low, close), volume, quote
    )
    # A fixed number of trades a day keeps trade ids consecutive although each day is computed by itself.
    extra = DAY_MINUTES * (20 + int(float(spec.base_volume * spec.reference_price) ** 0.5 / 8))
    count = TRADES_MAX + 4 + spread_whole(np.sqrt(weight) + 0.1, extra)
    parts = TRADES_MIN + spread_whole(part_weights(high, low, volume) - TRADES_MIN + 0.5, DAY_MINUTES * 3)
    return Columns(
        minute=np.arange(start, start + DAY_MINUTES, dtype=np.int64),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        quote=quote,
        count=count,
        taker_volume=taker_volume,
        taker_quote=taker_quote,
        parts=parts,
        first_trade=starts(count, day * int(count.sum())),
        first_part=starts(parts, day * DAY_MINUTES * (TRADES_MIN + 3)),
    )


def _log_prices(
    spec: SymbolSpec, seed: int, day: int, start_day: int, shared: _Shared
) -> tuple[FloatArray, FloatArray]:
    """Return the log price at the end of the minute before the day and of each of its minutes, and each one's sigma."""
    symbol, start, count = spec.symbol, shared.start, DAY_MINUTES + WARM_MINUTES
    own_weight = math.sqrt(1.0 - spec.beta**2)
    log_volatility = 0.8 * shared.log_volatility
    log_volatility += 0.6 * _log_volatility(key_of(seed, symbol, "volatility"), start, count)
    sigma = spec.volatility * np.exp(log_volatility) * _season(start, count)

    own_regime = _regimes(key_of(seed, symbol, "regime"), start, count)
    common = own_regime < 0.5  # half of the stretches follow the common regime, half are the symbol's own
    regime = np.where(common, shared.regime, 2.0 * own_regime - 1.0)
    trending = regime >= RANGE_SHARE
    direction = np.where(regime >= (1.0 + RANGE_SHARE) / 2.0, 1.0, -1.0)
    reverting = np.where(trending, TREND_REVERTING, RANGE_REVERTING)

    moves = spec.beta * shared.reverting_moves + own_weight * normals(key_of(seed, symbol, "reverting"), start, count)
    deviation = _revert(np.sqrt(reverting) * sigma * moves)
    moves = spec.beta * shared.walk_moves + own_weight * normals(key_of(seed, symbol, "walk"), start, count)
    walk = sigma * (np.sqrt(1.0 - reverting) * moves + np.where(trending, TREND_DRIFT * direction, 0.0))
    swing = spec.beta * shared.swing + own_weight * smooth(key_of(seed, symbol, "swing"), start, count, SWING_MINUTES)
    walk += sigma * SWING_DRIFT * swing
    walk += sigma * _jumps(key_of(seed, symbol, "jump"), start, count)

    path = np.concatenate(([0.0], np.cumsum(walk[WARM_MINUTES:])))
    here, there = (_anchor(spec, seed, number, start_day) for number in (day, day + 1))
    path += np.linspace(here, there - path[-1], DAY_MINUTES + 1)
    return path + deviation[WARM_MINUTES - 1 :], sigma[WARM_MINUTES:]


def _anchor(spec: SymbolSpec, seed: int, day: int, start_day: int) -> float:
    """Return the log price that the walk passes at the first midnight of `day`."""
    first, last = min(day, start_day), max(day, start_day)
    if first == last:
        return math.log(spec.reference_price)
    common = normals(key_of(seed, "factor", "anchor"), first, last - first)
    own = normals(key_of(seed, spec.symbol, "anchor"), first, last - first)
    daily = spec.volatility * math.sqrt(DAY_MINUTES) * 0.6
    moved = daily * float((spec.beta * common + math.sqrt(1.0 - spec.beta**2) * own).sum())
    return math.log(spec.reference_price) + (moved if day > start_day else -moved)


def _revert(moves: FloatArray) -> FloatArray:
    """Return the process that adds each move and decays by half every `HALF_LIFE_MINUTES`."""
    rate = math.log(2.0) / HALF_LIFE_MINUTES
    age = np.arange(len(moves)) * rate
    result: FloatArray = np.cumsum(moves * np.exp(age)) * np.exp(-age)
    return result


def _jumps(key: int, start: int, count: int) -> FloatArray:
    """Return rare sudden moves, in units of sigma."""
    chance = uniforms(key, start, count)
    size = normals(key + 1, start, count)
    result: FloatArray = np.where(chance < JUMPS_PER_DAY / DAY_MINUTES, np.sign(size) * (3.0 + 2.0 * np.abs(size)), 0.0)
    return result


def _extremes(key: int, start: int, log_price: FloatArray, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return log high and log low: extremes of a Brownian bridge, by inversion of their exact distribution."""
    before, after = log_price[:-1], log_price[1:]
    step = after - before
    spread = 2.0 * sigma * sigma
    up = np.sqrt(step * step - spread * np.log(1.0 - uniforms(key, start, DAY_MINUTES)))
    down = np.sqrt(step * step - spread * np.log(1.0 - uniforms(key + 1, start, DAY_MINUTES)))
    return (before + after + up) / 2.0, (before + after - down) / 2.0


def _opening_step(key: int, start: int) -> IntArray:
    """Return how many ticks each candle opens off the close before it: mostly none, sometimes one."""
    drawn = uniforms(key, start, DAY_MINUTES)
    return (drawn < 0.2).astype(np.int64) - (drawn >= 0.8).astype(np.int64)


def _activity(key: int, start: int, moves: FloatArray, sigma: FloatArray, usual: float) -> FloatArray:
    """Return each minute's volume as a multiple of the usual one."""
    level = 1.1 * np.log(sigma / usual)
    shock = 0.45 * np.minimum(np.abs(moves) / sigma, 6.0)
    lasting = 0.25 * smooth(key, start, DAY_MINUTES, 30)
    noise = 0.4 * normals(key + 1, start, DAY_MINUTES)
    result: FloatArray = np.exp(level + shock + lasting + noise - 0.45)
    return result
