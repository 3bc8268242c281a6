"""The steps of the market: when the next one is, what it tells the processes, and which of them bring a signal.

The market itself moves on its own grid. How often anybody looks at it differs: at every trade while anything is under
way, and five times as rarely while all is at rest, that is while prices are the only thing that could change anything
and none of them does. Which step will change something is known beforehand, since the walk depends on nothing: that
step is never left out.
"""

from __future__ import annotations

from decimal import Decimal
from math import log
from typing import TYPE_CHECKING

from core.enums import Direction
from core.events import MarkPriceUpdated, PriceUpdated, SignalReceived
from core.signal import ExitPlan, Signal

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

ZERO = Decimal(0)
LAST_SIGNAL_MS = 120_000
"""So long before the end the last signal may come."""
FAR_STEPS = 5
"""At rest so many trades of a symbol go by before anybody looks: within the limits on silence and on old prices."""
MARK_MS = 6_000
"""While nobody is busy the mark price is told no more often than this."""
Band = tuple[Decimal, Decimal]


class Steps:
    """`hurry` ends a rest: whatever happens that is no price has to call it."""

    def __init__(self, world: World, signal_pause_s: int) -> None:
        self._world = world
        self._at_ms = world.start_ms + world.step_ms
        self._is_far = False
        self._bands: dict[str, Band] | None = None
        """The prices between which the rest lasts, by symbol; None while there is no rest, or it is not known."""
        self._marked_ms: dict[str, int] = {}
        self._signals = 0
        self._no_signal = log(1 - world.step_ms / 1_000 / signal_pause_s)
        self._signal_ms = self._draw_signal_ms(world.start_ms)
        world.at(self._at_ms, self._step)

    def hurry(self) -> None:
        """Something has happened: look at the very next trade of the market, and whether all is at rest anew."""
        self._bands = None
        if self._is_far:
            self._is_far = False
            world = self._world
            world.market.end_rest()
            next_ms = world.now_ms + world.step_ms - (world.now_ms - world.start_ms) % world.step_ms
            if next_ms < self._at_ms:
                self._at_ms = next_ms
                world.at(next_ms, self._step)

    def _step(self) -> None:
        world = self._world
        if world.now_ms != self._at_ms or world.is_resting:
            return
        world.advance()
        for symbol in world.symbols:
            self.tell(symbol)
        world.exchange.release_stuck()
        if world.now_ms >= self._signal_ms:
            self._signal_ms = self._draw_signal_ms(world.now_ms)
            if world.now_ms < world.end_ms - LAST_SIGNAL_MS:
                self._signal()
        self._at_ms = self._next_ms()
        world.at(self._at_ms, self._step)

    def _next_ms(self) -> int:
        """Return when the next step is, and note whether it leaves any out."""
        world = self._world
        now_ms, step_ms = world.now_ms, world.step_ms
        bands = self._bands
        if bands is None and (world.process is None or world.process.is_idle):
            bands = self._bands = self._look()
        if bands is None:
            self._is_far = False
            return now_ms + step_ms
        far_ms, is_left = world.market.rest(bands, min(now_ms + FAR_STEPS * step_ms, self._signal_ms))
        if is_left:
            self._bands = None
        self._is_far = far_ms > now_ms + step_ms
        return far_ms

    # --- rest -------------------------------------------------------------------------------------------------------

    def _look(self) -> dict[str, Band] | None:
        """Return the prices between which the rest lasts, by symbol (none: whatever they are); None while there is none
        since something is under way: a fault that bends prices or their frames, a disk in trouble, a process that is
        busy or not alone, an order that rests, a position without its trade, a trade without its stop.

        A fault of requests waits for a request, one of private news for news, one of matching or of triggers for an
        order: each ends the rest when it comes.
        """
        world = self._world
        process, now_ms = world.process, world.now_ms
        if world.bends_prices() or world.exchange.open_orders():
            return None
        if process is None or process.is_suspended:
            return self._armed()[0] if len(world.processes) <= 1 else None
        if len(world.processes) > 1 or world.disk.trouble is not None:
            return None
        calm = process.core.pulse.calm()
        if now_ms >= calm.until_ms or calm.is_passed():
            return None
        if sum(1 for quantity in world.watch.position.values() if quantity) != len(calm.stops):
            return None
        bands, triggers = self._armed()
        return bands if all(trigger in triggers for _, trigger, _ in calm.stops) else None

    def _armed(self) -> tuple[dict[str, Band], set[Decimal]]:
        """Return the prices of each symbol between which the exchange does nothing, and all triggers."""
        world, bands, triggers = self._world, {}, set()
        for symbol in world.symbols:
            price, armed = world.shown.last_price(symbol), [at for _, at in world.exchange.open_triggers(symbol)]
            triggers.update(armed)
            armed += world.exchange.safe_band(symbol) or ()
            if armed:
                low = max((at for at in armed if at <= price), default=ZERO)
                bands[symbol] = low, min((at for at in armed if at >= price), default=Decimal("Infinity"))
        return bands, triggers

    # --- prices -----------------------------------------------------------------------------------------------------

    def tell(self, symbol: str) -> None:
        """Tell every process a price, and the mark with it while the trader is busy or when its turn has come."""
        world = self._world
        now_ms, shown, process = world.now_ms, world.shown, world.process
        price, mark = PriceUpdated(symbol, shown.last_price(symbol), now_ms, now_ms), None
        if now_ms - self._marked_ms.get(symbol, 0) >= MARK_MS or _is_busy(process, now_ms):
            self._marked_ms[symbol] = now_ms
            at = shown.mark_price(symbol)
            mark = MarkPriceUpdated(symbol, at, at, ZERO, world.market.next_funding_ms(symbol), now_ms, now_ms)
        for each in tuple(world.processes):
            each.market.push_price(price, mark)

    # --- signals ----------------------------------------------------------------------------------------------------

    def _draw_signal_ms(self, now_ms: int) -> int:
        """Draw the step of the next signal: every step after `now_ms` is as likely to be it as any other."""
        world = self._world
        return now_ms + world.step_ms * (1 + int(log(1 - world.rng.random()) / self._no_signal))

    def _signal(self) -> None:
        world, rng = self._world, self._world.rng
        self._signals += 1
        symbol = rng.choice(world.symbols)
        stop = Decimal(rng.randint(20, 60)) / 10_000
        signal = Signal(
            signal_id=f"sim:{self._signals}",
            strategy="sim",
            symbol=symbol,
            interval="1m",
            direction=rng.choice((Direction.LONG, Direction.SHORT)),
            candle_open_time_ms=world.now_ms,
            reference_price=world.shown.last_price(symbol),
            exits=ExitPlan(stop_fraction=stop, target_fraction=stop * 2),
            event_time_ms=world.now_ms,
            received_time_ms=world.now_ms,
            max_holding_ms=rng.choice((None, 30_000, 90_000)),
        )
        for process in list(world.processes):
            process.feed(SignalReceived(signal, world.now_ms, world.now_ms))


def _is_busy(process: Process | None, now_ms: int) -> bool:
    return process is not None and now_ms < process.ticks.stirred_until_ms
