"""The two streams of one process as the venue's faults bend them: lost, late, doubled, out of order, cut, refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.adapter import event_of
from core.events import (
    Event,
    MarkPriceUpdated,
    PriceUpdated,
    StreamChanged,
    StreamKind,
    StreamState,
    UnknownVenueMessage,
)
from simulator.engine.events import AccountConfigEvent, AccountEvent, AlgoEvent, ExchangeEvent, OrderEvent
from simulator.faults.kinds import FaultKind
from simulator.faults.schedule import Fault
from simulator.faults.streams import REORDER_HOLD_MS

if TYPE_CHECKING:
    from tests.simulation.process import Process

K = FaultKind
LISTEN_KEY = "POST /fapi/v1/listenKey"
SILENT_MS = {"market": 10_000, "private": 30_000}
"""A market stream without prices is replaced after this time, a private one that does not answer to the question asked
so often."""
RENEW_MS = 25 * 60_000
ACK_MS = 10_000
BACKOFF_MS_MAX = 8_000
NAMES: dict[type, str] = {
    OrderEvent: "ORDER_TRADE_UPDATE",
    AccountEvent: "ACCOUNT_UPDATE",
    AlgoEvent: "ALGO_UPDATE",
    AccountConfigEvent: "ACCOUNT_CONFIG_UPDATE",
}


class Stream:
    """One connection, made anew after each loss. `ready_ms` is when it was last confirmed."""

    def __init__(self, process: Process, part: str) -> None:
        self.process = process
        self.part = part
        self.kind = StreamKind.USER if part == "private" else StreamKind.MARKET
        self.is_ready = False
        self.is_deaf = False
        """Half open, or without a listen key: nothing comes any more."""
        self.ready_ms = 0
        self._generation = 0
        self._last_ms = 0
        self._held: list[Event] = []
        self._heard_ms = process.world.now_ms

    # --- connection -------------------------------------------------------------------------------------------------

    def connect(self, pause_ms: int, backoff_ms: int = 500) -> None:
        """Try to connect after a pause, and again and again."""
        self._generation += 1
        generation, world = self._generation, self.process.world

        def attempt() -> None:
            if generation != self._generation or not self.process.is_alive:
                return
            wait_ms = self._refusal_ms()
            if wait_ms is None:
                self._confirm()
            else:
                later_ms = min(backoff_ms * 2, BACKOFF_MS_MAX)
                self.connect(wait_ms + backoff_ms, later_ms)

        world.at(world.now_ms + pause_ms, attempt)

    def _refusal_ms(self) -> int | None:
        """Return how long it takes to learn that a connection cannot be made, None when it can."""
        world = self.process.world
        injector, now_ms = world.injector, world.now_ms
        if self.part == "private" and injector.on_request(LISTEN_KEY, now_ms) is not None:
            return 100
        if injector.on_connect(self.part, now_ms) is not None:
            return 50
        fault = injector.on_subscribe(self.part, now_ms)
        if fault is None:
            return None
        return 50 if fault.kind is K.SUBSCRIBE_REJECT else ACK_MS

    def _confirm(self) -> None:
        world = self.process.world
        self.is_ready, self.is_deaf = True, False
        self.ready_ms = self._heard_ms = world.now_ms
        self.process.feed(StreamChanged(self.kind, StreamState.READY, "", world.now_ms, world.now_ms))
        if self.part == "market":
            self._watch_silence(self._generation)

    def lose(self, pause_ms: int = 0) -> None:
        """The loss is noticed: say so and connect again."""
        world = self.process.world
        if self.is_ready:
            self.is_ready = False
            self.process.feed(StreamChanged(self.kind, StreamState.LOST, "", world.now_ms, world.now_ms))
        self._held.clear()
        self.connect(pause_ms + world.rng.randint(100, 1_500))

    def _watch_silence(self, generation: int) -> None:
        world = self.process.world

        def look() -> None:
            if generation != self._generation or not self.process.is_alive:
                return
            if world.now_ms - self._heard_ms > SILENT_MS["market"] and not world.is_resting:
                self.lose()
            else:
                self._watch_silence(generation)

        world.at(world.now_ms + SILENT_MS["market"], look)

    # --- what befalls it as a whole ---------------------------------------------------------------------------------

    def close(self) -> bool:
        if not self.is_ready:
            return False
        self.lose()
        return True

    def half_open(self) -> bool:
        """Nothing comes any more; noticed at the next question or after the silence."""
        if not self.is_ready or self.is_deaf:
            return False
        self.is_deaf = True
        if self.part == "private":
            world, generation = self.process.world, self._generation
            world.at(
                world.now_ms + world.rng.randint(5_000, SILENT_MS["private"] + 5_000), lambda: self._found(generation)
            )
        return True

    def expire_key(self, *, is_silent: bool) -> bool:
        if not self.is_ready or self.is_deaf:
            return False
        if not is_silent:
            self.lose()
            return True
        self.is_deaf = True
        world, generation = self.process.world, self._generation
        renewal_ms = self.ready_ms + RENEW_MS * (1 + (world.now_ms - self.ready_ms) // RENEW_MS)
        healed_ms = world.start_ms + world.faults_end_ms  # every fault ends, also one that would outlast the run
        world.at(max(world.now_ms, min(renewal_ms, healed_ms)), lambda: self._found(generation))
        return True

    def _found(self, generation: int) -> None:
        if generation == self._generation and self.process.is_alive:
            self.lose()

    # --- frames -----------------------------------------------------------------------------------------------------

    def push_price(self, price: PriceUpdated, mark: MarkPriceUpdated | None) -> None:
        """Market news. Nothing but the prices of one symbol depends on one frame."""
        if not self.is_ready or self.is_deaf:
            return
        process = self.process
        if process.world.bends_frames and self._bends_price():
            return
        self._heard_ms = process.world.now_ms
        process.hear(price, mark)

    def _bends_price(self) -> bool:
        world = self.process.world
        fault = world.injector.on_frame(("market", "kline"), world.now_ms)
        if fault is None:
            return False
        if fault.kind is K.STREAM_MALFORMED:
            self.lose()
        return fault.kind is not K.STREAM_DUPLICATE  # a late price is an old one: the next is on its way

    def push_private(self, event: ExchangeEvent, symbol: str) -> None:
        """Private news on its way to the process. What never arrives is told to the excuses."""
        world = self.process.world
        if not self.is_ready or self.is_deaf:
            world.excuses.note_unheard(symbol)
            return
        delay = world.between(1, 40)
        fault = None
        if world.bends_frames:
            fault = world.injector.on_frame(("private", NAMES[type(event)]), world.now_ms)
        if fault is not None and fault.kind in (K.STREAM_MUTE, K.STREAM_DROP):
            world.excuses.note_unheard(symbol)
            return
        if fault is not None and fault.kind is K.STREAM_DELAY:
            delay += int(fault.value("1000"))
            world.excuses.note_late(symbol, delay)
        arrival = world.now_ms + delay
        private = event_of(event, arrival)
        if private is None:
            return
        if fault is not None and fault.kind is K.STREAM_REORDER:
            self._hold(fault, private, symbol)
            return
        arrival = max(arrival, self._last_ms) if fault is None else arrival
        self._last_ms = max(self._last_ms, arrival) if fault is None else self._last_ms
        if fault is not None and fault.kind is K.STREAM_MALFORMED:
            world.excuses.note_unheard(symbol)
            private = UnknownVenueMessage("malformed frame", world.now_ms, arrival)
        copies = 1 + int(fault.value("1")) if fault is not None and fault.kind is K.STREAM_DUPLICATE else 1
        for _ in range(copies):
            self._arrive_at(arrival, private)

    def _arrive_at(self, arrival: int, event: Event) -> None:
        generation = self._generation
        self.process.world.at(arrival, lambda: self.process.feed(event) if generation == self._generation else None)

    def _hold(self, fault: Fault, event: Event, symbol: str) -> None:
        """A frame waits to be overtaken, at most for two seconds."""
        world = self.process.world
        self._held.append(event)
        world.excuses.note_late(symbol, REORDER_HOLD_MS)
        if len(self._held) >= int(fault.value("3")):
            self._release()
        elif len(self._held) == 1:
            world.at(world.now_ms + REORDER_HOLD_MS, self._release)

    def _release(self) -> None:
        held, self._held = self._held, []
        for event in reversed(held):
            self._arrive_at(self.process.world.now_ms, event)
