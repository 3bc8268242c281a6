"""For how long the trader cannot know or cannot act, each time because of one fault that really took hold.

An excuse belongs to a symbol, or to the whole account where a request for the whole account was hit. While one holds,
and until the trader could have reacted to its end, the clocks of the bounded invariants stand still.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from simulator.faults.injector import Fired
from simulator.faults.kinds import FaultKind
from simulator.faults.schedule import Fault

if TYPE_CHECKING:
    from tests.simulation.world import World

K = FaultKind
RECOVERY_MS = 6_000
"""A request that was hit is asked about or made again within seconds after its answer."""
UNHEARD_MS = 40_000
"""What nobody told is found by the comparison every 30 s, with a retry."""
BLOCKING = frozenset({K.EMPTY_SIDE, K.PARTIAL_FILL, K.SYMBOL_STATUS})
"""While these hold a position cannot be closed, or only crumb by crumb."""


class Excuses:
    def __init__(self, world: World) -> None:
        self._world = world
        self._until_ms: dict[str, int] = {"": 0}
        self.reasons: Counter[str] = Counter()

    def until_ms(self, symbol: str) -> int:
        """Return until when nothing can be expected for `symbol`."""
        return max(self._until_ms[""], self._until_ms.get(symbol, 0))

    def extend(self, symbol: str, until_ms: int, reason: str) -> None:
        self.reasons[reason] += 1
        if until_ms > self._until_ms.get(symbol, 0):
            self._until_ms[symbol] = until_ms
            self._world.note(f"excuse {symbol or 'account'} until {until_ms}: {reason}")

    def note_request(self, fault: Fault | None, symbol: str, answer_ms: int) -> None:
        """A request about `symbol` (all, if empty) met a fault; its answer comes at `answer_ms`."""
        reason = "clock" if fault is None else fault.kind.value
        if fault is not None and fault.kind in (K.THROTTLE, K.BAN) and fault.until_ms is not None:
            symbol, answer_ms = "", max(answer_ms, self._world.start_ms + fault.until_ms + 1_000)
        self.extend(symbol, answer_ms + RECOVERY_MS, reason)

    def note_unheard(self, symbol: str) -> None:
        """Private news about `symbol` never arrived."""
        self.extend(symbol, self._world.now_ms + UNHEARD_MS, "unheard")

    def note_late(self, symbol: str, by_ms: int) -> None:
        """Private news about `symbol` arrives late."""
        self.extend(symbol, self._world.now_ms + by_ms + RECOVERY_MS, "late")

    def note_fired(self, fired: Fired) -> None:
        """A fault of the market took hold."""
        fault = fired.fault
        if fault.kind in BLOCKING:
            end_ms = self._world.start_ms + fault.until_ms if fault.until_ms else fired.time_ms
            self.extend(fired.subject, end_ms + RECOVERY_MS, fault.kind.value)
