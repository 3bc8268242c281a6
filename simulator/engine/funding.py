"""Funding: at its time every open position pays mark x size x rate, longs to shorts if the rate is positive."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from simulator.engine import money
from simulator.engine.account import Account
from simulator.engine.context import Context
from simulator.engine.ledger import Ledger

_HOUR_MS = 3_600_000


class Funding:
    def __init__(self, context: Context, account: Account, ledger: Ledger) -> None:
        self._context = context
        self._account = account
        self._ledger = ledger
        self._due: list[tuple[int, int, str]] = []
        self.reset()

    def reset(self) -> None:
        """Read the next funding time of every symbol, past what has been paid already."""
        self._due = [(self._after(symbol, 0), rank, symbol) for symbol, rank in self._context.rank.items()]
        heapify(self._due)

    def next_ms(self) -> int | None:
        return self._due[0][0] if self._due else None

    def pay_due(self) -> None:
        """Pay whatever is due now; positions opened at this very instant are included."""
        context = self._context
        while self._due and self._due[0][0] <= context.now_ms:
            due_ms, rank, symbol = heappop(self._due)
            self._pay(symbol)
            counters = context.state.counters
            if counters.funded_until_ms < due_ms:
                counters.funded_until_ms = due_ms
                context.state.touch(counters)
            heappush(self._due, (self._after(symbol, due_ms), rank, symbol))
        context.settle()

    def _pay(self, symbol: str) -> None:
        positions = self._account.open_positions(symbol)
        if not positions:
            return
        rate, mark = self._context.market.funding_rate(symbol), self._context.mark(symbol)
        for position in positions:
            amount = money.funding_fee(-position.quantity * mark * rate)
            if amount:
                self._ledger.fund(position, amount)

    def _after(self, symbol: str, due_ms: int) -> int:
        """Return the market's next funding time of `symbol`, never one that was paid or `due_ms` again."""
        paid_ms = max(due_ms, self._context.state.counters.funded_until_ms)
        following = self._context.market.next_funding_ms(symbol)
        interval_ms = self._context.spec(symbol).funding_interval_hours * _HOUR_MS
        while following <= paid_ms:
            following += interval_ms
        return following
