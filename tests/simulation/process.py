"""One process of the trader in the simulation: the real core, and what the shell around it does, on virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from core.commands import (
    FetchBalances,
    FetchFills,
    FetchIncome,
    FetchOpenAlgoOrders,
    FetchOpenOrders,
    FetchPositions,
    RefusalKind,
    Refused,
    VenueCommand,
    VenueReply,
)
from core.effects import Effect, Notify, Persist, Send
from core.enums import MarginType
from core.events import (
    ClockJumped,
    MarkPriceUpdated,
    PriceUpdated,
    StreamChanged,
    StreamKind,
    StreamState,
)
from core.instrument import Instrument
from exchange.binance.budget import Budget
from executor.core import TradingCore
from executor.fencing import WRITES
from executor.inputs import Input, LeaseLost, PersistenceFailed, PersistenceRecovered
from executor.lanes import ENTRY_PATIENCE_S, EXIT_PATIENCE_S, RETRY_MS, symbol_of
from executor.policy import ExecutionPolicy
from executor.setup import SetupReport, SymbolSetup
from tests.simulation.acts import Act
from tests.simulation.feeds import Stream
from tests.simulation.store import Writer
from tests.simulation.ticks import Ticks

if TYPE_CHECKING:
    from tests.simulation.world import World

VALUED_MS = 20_000
"""What is open is valued, and the drawdown watched, so often and not every second: nothing here reads the rows."""
REST_MS = 60_000
"""Halts after a failed stop or a liquidation last a minute here, not a day: a halted symbol proves nothing."""
POLICY = ExecutionPolicy(
    stop_failed_rest_ms=REST_MS,
    authentication_rest_ms=REST_MS,
    mark_every_ms=VALUED_MS,
    account_stat_every_ms=3 * VALUED_MS,
)
LOOK_MS = 100
RENEW_MS = 5_000
DYING_MS = 10_000
"""Who has lost the lease ends, sooner or later."""
READS = (FetchPositions, FetchOpenOrders, FetchOpenAlgoOrders)
ROUTINE = frozenset({*READS, FetchBalances, FetchFills, FetchIncome})
"""What every comparison with the venue reads."""


class Process:
    """From its start to its end. Nothing of it survives but what is on the disk."""

    def __init__(self, world: World, epoch: int) -> None:
        self.world = world
        self.epoch = epoch
        self.is_alive = True
        self.is_suspended = False
        self.is_paused = False
        self.lost_lease_ms: int | None = None
        self.kill_in: int | None = None
        self.writer = Writer(world.disk, epoch)
        self.budget = Budget(self)  # type: ignore[arg-type]  # it asks for now_ms alone
        self.offset_ms = world.injector.clock_offset_ms(world.now_ms)
        self.read_ms: dict[type, int] = {}
        """When the newest whole reading of each kind that was answered had left."""
        self.hears_user, self.told_ms = False, world.now_ms
        """What it was told last about its user stream, and when."""
        self.shown_ms: dict[str, int] = {}
        """When the newest price of each symbol arrived."""
        self._instruments = world.instruments()
        self._lanes: dict[str, deque[list[Effect]]] = {}
        self._held: list[Input] = []
        self._has_failed = False
        self._retry_ms = 0
        self.renew_ms = world.now_ms + RENEW_MS
        self.ticks = Ticks(self)
        self.able_ms = world.now_ms
        """Since when it has been able to act."""
        restored = world.disk.restore()
        setup = SetupReport(world.mode, {s: SymbolSetup(s, 20, MarginType.CROSSED) for s in world.symbols})
        self.core = TradingCore(
            world.config,
            self,
            epoch=epoch,
            next_intent=restored.next_intent,
            restored=restored,
            setup=setup,
            policy=POLICY,
        )
        self.core.set_clock_offset(0)
        self.user, self.market = Stream(self, "private"), Stream(self, "market")
        self.user.connect(world.rng.randint(50, 2_000))
        self.market.connect(world.rng.randint(20, 500))
        self.ticks.start()
        world.at(self.renew_ms, self._renew)

    def now_ms(self) -> int:
        """The clock of the budget."""
        return self.world.now_ms

    def instruments(self) -> Mapping[str, Instrument]:
        return self._instruments

    def read_instruments(self) -> None:
        self._instruments = self.world.instruments()

    def synchronise(self) -> None:
        """Measure the venue's clock; a step is a reason to compare everything."""
        if not self.is_alive:
            return
        world = self.world
        offset_ms = world.injector.clock_offset_ms(world.now_ms)
        moved_ms, self.offset_ms = offset_ms - self.offset_ms, offset_ms
        if abs(moved_ms) > 2_000:
            self.jump(moved_ms)

    def jump(self, by_ms: int) -> None:
        self.feed(ClockJumped(by_ms, self.world.now_ms, self.world.now_ms))

    def note_read(self, command: VenueCommand, sent_ms: int) -> None:
        kind = type(command)
        if kind in READS and command.symbol is None:  # type: ignore[union-attr]
            self.read_ms[kind] = max(sent_ms, self.read_ms.get(kind, 0))

    def owes_rows(self, now_ms: int) -> bool:
        """Whether exits and stops may go out unwritten: the disk does not work, or has just begun to again."""
        return self._has_failed or self.world.disk.trouble is not None or now_ms < self._retry_ms + RETRY_MS

    # --- life -------------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """End at this instant: nothing more is written or sent; what has left is on its way."""
        if self.is_alive:
            self.is_alive = False
            self.writer.crash()
            self.world.on_death(self)

    @property
    def is_idle(self) -> bool:
        """Whether it stands still, or hears everything and for a while nothing has stirred it."""
        if self.is_suspended:
            return True
        if self.world.now_ms < self.ticks.stirred_until_ms:
            return False
        user, market = self.user, self.market
        return user.is_ready and market.is_ready and not user.is_deaf and not market.is_deaf

    def suspend(self) -> None:
        self.ticks.catch_up()
        self.is_suspended = True

    def wake(self) -> None:
        """Go on after a standstill: everything that waited comes at once."""
        if not self.is_alive:
            return
        self.is_suspended = False
        self.able_ms = self.world.now_ms
        held, self._held = self._held, []
        self.ticks.resume()
        for event in held:
            self.feed(replace(event, received_time_ms=self.world.now_ms))
        self.renew_ms = self.world.now_ms + self.world.rng.randint(0, RENEW_MS)
        self.world.at(self.renew_ms, self._renew)
        self.ticks.go_on()

    def _renew(self) -> None:
        """Look at the lease, now and again and again; a disk in trouble tells nothing."""
        world = self.world
        if world.now_ms != self.renew_ms or self.is_suspended or not self.is_alive or self.lost_lease_ms is not None:
            return
        self.renew_ms = world.now_ms + RENEW_MS
        world.at(self.renew_ms, self._renew)
        if world.disk.trouble is None and world.disk.lease_epoch != self.epoch:
            self.lost_lease_ms = world.now_ms
            self.feed(LeaseLost("another process took this account over", world.now_ms))
            world.at(world.now_ms + world.rng.randint(1, DYING_MS), self.kill)
            return
        self.is_paused = False
        if world.disk.lease_epoch == self.epoch and world.disk.trouble is None:
            world.lease_renewed_ms = world.now_ms

    @property
    def owes_writing(self) -> bool:
        """Whether rows wait to be written."""
        return self._has_failed or self.writer.has_rows

    def write_what_waits(self) -> None:
        """Write again what could not be written; a buffer of an idle moment goes out too."""
        world = self.world
        if not self._has_failed:
            if not self._lanes:
                self.writer.flush()
        elif world.now_ms >= self._retry_ms and not self._lanes:
            self._retry_ms = world.now_ms + RETRY_MS
            if self.writer.flush():
                self._has_failed = False
                self.feed(PersistenceRecovered(world.now_ms))

    def _stay_busy(self, *, is_reading: bool) -> None:
        self.ticks.stay_busy(is_reading=is_reading)
        self.world.steps.hurry()

    # --- events in, effects out -------------------------------------------------------------------------------------

    def feed(self, event: Input) -> None:
        """Take news that is no routine, at once or when the process goes on."""
        if not self.is_alive:
            return
        if self.is_suspended:
            self._held.append(event)
            return
        if type(event) is VenueReply:
            self._stay_busy(is_reading=type(event.command) in ROUTINE)
            if (counts := self.world.watch.take_headers(event)) is not None:
                weight_1m, orders_10s, orders_1m = counts  # others share the address: those before and beside it
                self.budget.observe(weight_1m=weight_1m, orders_10s=orders_10s, orders_1m=orders_1m)
            self.take(event)
            return
        self._stay_busy(is_reading=False)
        if type(event) is StreamChanged and event.kind is StreamKind.USER:
            self.hears_user = event.state is StreamState.READY
            self.told_ms = self.world.now_ms
        self.take(event)

    def hear(self, price: PriceUpdated, mark: MarkPriceUpdated | None) -> None:
        """Take market news: routine, it neither keeps busy nor waits for one who stands still."""
        if self.is_suspended or not self.is_alive:
            return
        self.ticks.catch_up()
        self.shown_ms[price.symbol] = self.world.now_ms
        hear = self.take if self.world.is_traced else self._hear_price
        hear(price)
        if mark is not None:
            hear(mark)
        self.ticks.wake_if_passed()

    def _hear_price(self, event: PriceUpdated | MarkPriceUpdated) -> None:
        """Take one price: nearly all cause nothing."""
        effects = self.core.handle(event) if self.is_alive else None
        if effects:
            self._put(effects)

    def take(self, event: Input) -> None:
        """Let the core take an event, and carry out what follows."""
        if not self.is_alive:
            return
        world = self.world
        if world.is_traced:
            world.log.append(f"{world.now_ms} {self.epoch} > {event}")
        effects = self.core.handle(event)
        if effects:
            self._put(effects)

    def _put(self, effects: list[Effect]) -> None:
        self.ticks.wake()
        if self.world.disk.trouble is None and not self._lanes:
            self._do("", effects)  # nothing waits, so that lanes make no difference
            return
        batches: dict[str, list[Effect]] = {}
        for effect in effects:
            if type(effect) is Notify:
                self._tell(effect)
            else:
                batches.setdefault(symbol_of(effect), []).append(effect)
        for symbol, batch in batches.items():
            lane = self._lanes.get(symbol)
            if lane is not None:
                lane.append(batch)
            else:
                self._do(symbol, batch)

    def _do(self, symbol: str, batch: list[Effect]) -> None:
        """Carry effects out in order, as the shell's lanes do; the process may be killed before any of them."""
        world, writer = self.world, self.writer
        for index, effect in enumerate(batch):
            if self.kill_in is not None and self._is_killed_here():
                return
            if world.is_traced:
                world.log.append(f"{world.now_ms} {self.epoch} < {effect}")
            kind = type(effect)
            if kind is Persist:
                writer.submit(effect.records)  # type: ignore[union-attr]
                if effect.durable and not writer.flush():  # type: ignore[union-attr]
                    if world.disk.trouble is Act.DISK_LOCKED:
                        self._wait(symbol, effect, batch[index + 1 :])  # type: ignore[arg-type]
                        return
                    if not self._give_up(effect, batch[index + 1 :]):  # type: ignore[arg-type]
                        return
            elif kind is Send:
                self._send(effect.command)  # type: ignore[union-attr]
            else:
                self._tell(effect)  # type: ignore[arg-type]

    def _tell(self, effect: Notify) -> None:
        """An alert waits for nothing: its row is queued, and goes with the next write."""
        self.writer.submit([effect.alert])
        self.world.on_alert(self, effect.alert)

    def _is_killed_here(self) -> bool:
        assert self.kill_in is not None
        self.kill_in -= 1
        if self.kill_in < 0:
            self.kill()
        return not self.is_alive

    def _send(self, command: VenueCommand) -> None:
        self._stay_busy(is_reading=type(command) in ROUTINE)
        refusal = self._refusal_of(command)
        if refusal is None:
            self.world.wire.request(self, command)
            return
        now_ms = self.world.now_ms
        reply = VenueReply(command, Refused(RefusalKind.LOCAL, 0, refusal), now_ms, now_ms)
        self.world.at(now_ms, lambda: self.feed(reply))

    def _refusal_of(self, command: VenueCommand) -> str | None:
        if self.is_paused and isinstance(command, WRITES):
            return "the process stood still"
        return self.core.refusal_of(command, self.world.now_ms)

    # --- a disk in trouble ------------------------------------------------------------------------------------------

    def _give_up(self, effect: Persist, rest: list[Effect]) -> bool:
        """A durable write failed; returns whether what follows in its batch happens all the same."""
        now_ms = self.world.now_ms
        self._has_failed = True
        self._retry_ms = now_ms + RETRY_MS
        dropped: tuple[VenueCommand, ...] = ()
        if not effect.proceed_on_failure:
            dropped = tuple(each.command for each in rest if isinstance(each, Send))
        failed = PersistenceFailed("the disk failed", now_ms, dropped)
        self.world.at(now_ms, lambda: self.feed(failed))
        return effect.proceed_on_failure

    def _wait(self, symbol: str, effect: Persist, rest: list[Effect]) -> None:
        """The commit hangs: this symbol's effects wait, for as long as its kind is worth."""
        patience_s = EXIT_PATIENCE_S if effect.proceed_on_failure else ENTRY_PATIENCE_S
        until_ms = self.world.now_ms + int(patience_s * 1_000)
        self._lanes.setdefault(symbol, deque())

        def look() -> None:
            if not self.is_alive:
                return
            world = self.world
            if self.is_suspended or (world.disk.trouble is Act.DISK_LOCKED and world.now_ms < until_ms):
                world.at(world.now_ms + LOOK_MS, look)
                return
            lane = self._lanes.pop(symbol)
            if self.writer.flush() or self._give_up(effect, rest):
                self._do(symbol, rest)
            self._go_on(symbol, lane)

        self.world.at(self.world.now_ms + LOOK_MS, look)

    def _go_on(self, symbol: str, lane: deque[list[Effect]]) -> None:
        """Carry out what came meanwhile; it may have to wait again."""
        while lane and self.is_alive:
            if symbol in self._lanes:
                self._lanes[symbol].extendleft(reversed(lane))
                return
            self._do(symbol, lane.popleft())
