"""Who acts on the trader in the simulation: the machine it runs on, its operator, and the owner who tidies up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from core.ids import is_ours
from executor.inputs import FlattenRequested, KillRequested, ResumeRequested
from simulator.engine.errors import ApiError
from simulator.faults.actions import AccountActions
from simulator.faults.kinds import FaultKind
from simulator.faults.schedule import Fault
from tests.simulation.acts import DISK, Act, Happening

if TYPE_CHECKING:
    from tests.simulation.world import World

LEASE_TTL_MS = 30_000
LOOK_MS = 10_000
LEVERAGE = 20
TIDY_CHANCE = 0.3
"""How likely the owner puts one of his own doings right at a look; at the end he surely does."""


class Hands:
    def __init__(self, world: World) -> None:
        self._world = world
        self._owner = AccountActions(world.exchange)
        self.is_tidy = True
        """Nothing of the owner's has been seen since he put everything right."""
        world.at(world.now_ms + LOOK_MS, self._look)

    # --- the machine and the operator -------------------------------------------------------------------------------

    def do(self, what: Happening) -> None:
        self._world.steps.hurry()
        if self._carry_out(what):
            self._world.count(what.act.value)

    def _carry_out(self, what: Happening) -> bool:
        """Do it; False when there is nobody or nothing to do it to."""
        world, act = self._world, what.act
        if act in DISK:
            return self._break_disk(what)
        process = world.process
        if process is None or process.is_suspended:
            return False
        now_ms = world.now_ms
        if act is Act.KILL:
            process.kill()
        elif act is Act.KILL_AT_MOMENT:
            process.kill_in = what.amount
        elif act is Act.SUSPEND:
            process.suspend()
            world.at(now_ms + what.for_ms, process.wake)
            world.at(world.lease_renewed_ms + LEASE_TTL_MS + what.amount * 100, world.start_process)
        elif act is Act.LEASE_TAKEN:
            world.start_process(is_ahead=True)
            return False  # counted where it happens
        elif act is Act.OWN_CLOCK:
            process.jump(what.amount)
        elif act is Act.KILL_SWITCH:
            process.feed(KillRequested("the operator", now_ms))
        else:
            process.feed(FlattenRequested(what.symbol, "the operator", now_ms))
        return True

    def _break_disk(self, what: Happening) -> bool:
        disk = self._world.disk
        if disk.trouble is not None:
            return False
        disk.trouble = what.act

        def mend() -> None:
            disk.trouble = None

        self._world.at(self._world.now_ms + what.for_ms, mend)
        return True

    # --- now and then -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        world = self._world
        self._resume()
        if not self.is_tidy and (world.elapsed_ms >= world.faults_end_ms or world.rng.random() < TIDY_CHANCE):
            self._tidy()
        world.at(world.now_ms + LOOK_MS, self._look)

    def _resume(self) -> None:
        """Lift what only a person may lift, once the account was verified flat."""
        world = self._world
        process = world.process
        if process is None or process.is_suspended:
            return
        halted = any(h.active and h.scope == "*" and h.until_time_ms is None for h in world.disk.rows.halts.values())
        if halted and "*" not in process.core.view().unwinding:
            process.feed(ResumeRequested(world.now_ms))

    def _tidy(self) -> None:
        """The owner puts right what he did: foreign orders and positions, leverage, position mode. Where he finds
        nothing he does not look again before he has done something."""
        world = self._world
        world.advance()
        wrongs = self._wrongs()
        self.is_tidy = not wrongs
        for put_right in wrongs:
            self._try(put_right)
        world.deliver(world.exchange.drain_events())

    def _wrongs(self) -> list[Callable[[], object]]:
        """Return what there is to put right, each as the act that does it."""
        world, exchange = self._world, self._world.exchange
        wrongs: list[Callable[[], object]] = []
        for order in exchange.open_orders():
            if not is_ours(order.client_order_id):
                wrongs.append(partial(exchange.cancel_order, order.symbol, client_id=order.client_order_id))
        for symbol, _ in sorted(world.watch.foreign):
            wrongs.append(partial(self._owner.run, Fault(0, FaultKind.HAND_CLOSE, target=symbol)))
        for config in exchange.symbol_config():
            if config.leverage != LEVERAGE and config.symbol in world.symbols:
                wrongs.append(partial(exchange.set_leverage, config.symbol, LEVERAGE))
        if exchange.is_hedge_mode != world.is_hedge:
            wrongs.append(partial(exchange.set_position_mode, world.is_hedge))
        return wrongs

    @staticmethod
    def _try(action: Callable[[], object]) -> None:
        try:
            action()
        except ApiError:
            return  # the exchange refuses it with positions or orders: at the next look
