"""Countdown-cancel: a timer a symbol that cancels its orders unless it is armed again in time (protocol section 4).

Whether the venue's timer also cancels conditional orders is not documented, so both behaviours can be had.
"""

from __future__ import annotations

from simulator.engine.exchange import Exchange


class Countdowns:
    """The account's timers. Times are gateway (wall) milliseconds; they live in memory only.

    `cancels_algos`: a timer that runs out cancels the symbol's conditional orders too.
    """

    def __init__(self, *, cancels_algos: bool = False) -> None:
        self.cancels_algos = cancels_algos
        self._due_ms: dict[str, int] = {}

    def arm(self, symbol: str, countdown_ms: int, now_ms: int) -> None:
        """Start the symbol's timer anew; 0 stops it."""
        if countdown_ms:
            self._due_ms[symbol] = now_ms + countdown_ms
        else:
            self._due_ms.pop(symbol, None)

    def run_out(self, exchange: Exchange, now_ms: int) -> list[str]:
        """Cancel the orders of every symbol whose time is over, and return these; their timers are then off."""
        over = [symbol for symbol, due_ms in self._due_ms.items() if due_ms <= now_ms]
        for symbol in over:
            del self._due_ms[symbol]
            exchange.cancel_all(symbol)
            if self.cancels_algos:
                exchange.cancel_all_algos(symbol)
        return over
