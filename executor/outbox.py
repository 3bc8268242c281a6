"""Effects of one step, collected by symbol and handed out in the one safe order: told, then written, then sent.

Telling queues a row and waits for nothing, so that the write takes the alert along: a process that dies afterwards has
told of everything that it wrote.
"""

from __future__ import annotations

from collections import defaultdict

from core.commands import VenueCommand
from core.effects import Effect, Notify, Persist, Send
from core.records import AlertRecord, Record
from executor.trade import Trade


class _Batch:
    __slots__ = ("alerts", "commands", "durable", "gated", "records", "trades")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.trades: dict[int, Trade] = {}
        self.commands: list[VenueCommand] = []
        self.alerts: list[AlertRecord] = []
        self.durable = self.gated = False


class Outbox:
    """Collects what a step wants done. All decisions of a step come before any of its effects, so that the order inside
    a symbol is always the same: the alerts, one write of everything that changed, the requests.

    Without `writes_steps` a trade is written only once nothing of it is left at the venue; without `writes_orders` only
    the row of its position.
    """

    def __init__(self, *, writes_steps: bool = True, writes_orders: bool = True) -> None:
        self._writes_steps, self._writes_orders = writes_steps, writes_orders
        self.batches: defaultdict[str, _Batch] = defaultdict(_Batch)

    def write(self, symbol: str, *records: Record, durable: bool = False) -> None:
        batch = self.batches[symbol]
        batch.records.extend(records)
        batch.durable |= durable

    def touch(self, trade: Trade, *, durable: bool = False) -> None:
        """Write what has changed of `trade` by the end of the step."""
        batch = self.batches[trade.symbol]
        batch.trades[trade.intent_id] = trade
        batch.durable |= durable

    def send(self, symbol: str, command: VenueCommand, *, gated: bool = False) -> None:
        """Send after this step's write; `gated`: not at all when the write fails (entries)."""
        batch = self.batches[symbol]
        batch.commands.append(command)
        batch.gated |= gated

    def notify(self, symbol: str, alert: AlertRecord) -> None:
        self.batches[symbol].alerts.append(alert)

    def drain(self, time_ms: int) -> list[Effect]:
        """Return the effects and forget them; batches keep the order in which their symbols came up."""
        if not self.batches:
            return []
        effects: list[Effect] = []
        for batch in self.batches.values():
            records = batch.records
            for trade in batch.trades.values():
                if self._writes_steps or trade.is_clear:
                    taken = trade.take_records if self._writes_orders else trade.take_position_record
                    records.extend(taken(time_ms))
            for alert in batch.alerts:
                effects.append(Notify(alert))
            if records:
                effects.append(Persist(tuple(records), batch.durable, not batch.gated))
            for command in batch.commands:
                effects.append(Send(command))
        self.batches.clear()
        return effects
