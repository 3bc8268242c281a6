"""For how long a fault that really took hold keeps the trader from knowing or acting: the clock of I-4 stops then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.faults.injector import Fired
from simulator.faults.kinds import RULES, FaultKind, Site

if TYPE_CHECKING:
    from tests.simulation.sockets.world import World

K = FaultKind
RECOVERY_MS = 12_000
"""A request that a fault met still has its time-out, its pauses and its question after it."""
UNHEARD_MS = 45_000
"""What nobody told is found by the comparison every 30 s, with a retry."""
UNRELATED = frozenset(
    f"/fapi/{path}"
    for path in (
        "v1/klines",
        "v1/income",
        "v1/exchangeInfo",
        "v1/premiumIndex",
        "v1/commissionRate",
        "v1/leverageBracket",
        "v1/leverage",
        "v1/marginType",
        "v3/balance",
    )
)
"""Routes whose trouble must never delay a stop or an exit (I-23)."""

_UNHEARD = {K.STREAM_MUTE, K.STREAM_DROP, K.STREAM_HALF_OPEN, K.STREAM_MALFORMED, K.STREAM_DELAY, K.SUBSCRIBE_IGNORE}
_CONNECTION = {K.STREAM_CLOSE, K.STREAM_REFUSE, K.SUBSCRIBE_REJECT, K.LISTEN_KEY_EXPIRE}
_HARMLESS = {K.STREAM_DUPLICATE, K.BRACKET_CHANGE, K.HAND_LEVERAGE, K.HAND_WITHDRAW, K.FOREIGN_ORDER}
_WHILE_HOLDING = {K.EMPTY_SIDE, K.PARTIAL_FILL, K.SYMBOL_STATUS, K.FILTER_CHANGE}
_PRIVATE = ("private", "ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "ALGO_UPDATE")


class Excuses:
    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = 0
        self._until_ms = 0
        self._by_symbol: dict[str, int] = {}
        self._filters_until_ms = 0
        self._disk_until_ms = 0
        self.paused_from_ms = 0
        self.paused_until_ms = 0

    def look(self) -> None:
        """Take over what has fired since the last look."""
        fired = self._world.injector.fired
        for one in fired[self._seen :]:
            self._note(one)
        self._seen = len(fired)
        if self._world.is_disk_failing():
            self._disk_until_ms = self._world.now_ms + 8_000

    def extend(self, for_ms: int) -> None:
        """Nothing can be expected of the trader for so long from now on."""
        self._until_ms = max(self._until_ms, self._world.now_ms + for_ms)

    def end_of_faults(self) -> None:
        """Nothing goes wrong any more: from now on only what was lost before may need its time."""
        self.look()
        now_ms = self._world.now_ms
        self._until_ms = min(self._until_ms, now_ms + UNHEARD_MS)
        self._by_symbol = {symbol: min(until, now_ms + UNHEARD_MS) for symbol, until in self._by_symbol.items()}
        self.paused_until_ms = 0

    def forget_pause(self) -> None:
        """A new process has not heard of it."""
        self.paused_until_ms = 0

    def covers(self, symbol: str) -> bool:
        now_ms = self._world.now_ms
        return now_ms < self._until_ms or now_ms < self._by_symbol.get(symbol, 0)

    def filters_moved(self) -> bool:
        self.look()
        return self._world.now_ms < self._filters_until_ms

    def disk_failed(self) -> bool:
        return self._world.is_disk_failing() or self._world.now_ms < self._disk_until_ms

    def _note(self, fired: Fired) -> None:
        fault, kind = fired.fault, fired.fault.kind
        if kind in _HARMLESS:
            return
        site = RULES[kind].site
        until_ms = fired.time_ms
        if kind in (K.THROTTLE, K.BAN):
            end_ms = self._world.started_ms + fault.until_ms if fault.until_ms is not None else fired.time_ms + 1_000
            until_ms = end_ms + RECOVERY_MS + 1_000
            if not self._world.is_starting:
                self.paused_from_ms, self.paused_until_ms = fired.time_ms, end_ms
        elif site is Site.REST:
            if fired.subject.partition(" ")[2] in UNRELATED:
                return
            until_ms += RECOVERY_MS
        elif kind is K.STREAM_REORDER:
            until_ms += 4_000
        elif kind in _UNHEARD:
            until_ms += UNHEARD_MS if self._is_private(fired) else 0
        elif kind in _CONNECTION:
            is_silent = kind is K.LISTEN_KEY_EXPIRE and fault.detail == "silent"
            until_ms += (UNHEARD_MS if is_silent else 20_000) if self._is_private(fired) else 0
        elif site is Site.CLOCK:
            until_ms = (self._world.started_ms + (fault.until_ms or 0) if fault.until_ms else until_ms) + 15_000
        elif kind in _WHILE_HOLDING:
            end_ms = self._world.started_ms + fault.until_ms if fault.until_ms else fired.time_ms
            self._excuse(fired.subject, end_ms + RECOVERY_MS)
            if kind is K.FILTER_CHANGE:
                self._filters_until_ms = end_ms + 2 * RECOVERY_MS
            return
        elif kind is K.ALGO_VANISH and fault.detail != "event":
            until_ms += UNHEARD_MS
        elif kind is K.HAND_POSITION_MODE:
            until_ms += 3_600_000  # nothing that we send is taken until it is set back
        self._until_ms = max(self._until_ms, until_ms)

    def _excuse(self, symbol: str, until_ms: int) -> None:
        self._by_symbol[symbol] = max(self._by_symbol.get(symbol, 0), until_ms)

    @staticmethod
    def _is_private(fired: Fired) -> bool:
        words = {fired.fault.target, *fired.subject.split("/")}
        return not fired.fault.target or bool(words & set(_PRIVATE)) or fired.fault.kind is K.LISTEN_KEY_EXPIRE
