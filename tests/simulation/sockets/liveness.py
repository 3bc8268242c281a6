"""The liveness invariants: what must hold soon after the faults have stopped, by comparing rows with the exchange."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

from core.enums import AlgoStatus, OrderType
from core.ids import is_ours
from simulator.faults.kinds import FaultKind

if TYPE_CHECKING:
    from tests.simulation.sockets.world import World

K = FaultKind
UNSETTLED = ("intent", "submitted", "in_doubt")
ZERO = Decimal(0)
PRICE_TOLERANCE = Decimal("0.0001")
FLOOD = 10

ALERTS = {
    K.LIQUIDATE: ("liquidation", "liquidat"),
    K.ADL: ("adl", "deleverag"),
    K.SETTLE: ("settle",),
}
"""Class A incidents that the exchange does to a position of ours, and words of the alert's title or key."""


class Liveness:
    """`problems` says what does not hold yet; an empty list is agreement."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.checks = world.safety.checks

    def problems(self) -> list[str]:
        """Compare everything once. Call it with all rows written."""
        found = [*self._trader(), *self._positions(), *self._orders(), *self._trades(), *self._money()]
        found += [*self._intents(), *self._protection(), *self._killed()]
        return found

    def _trader(self) -> list[str]:
        trader = self._world.trader
        if trader is None or trader.executor is None or not trader.is_ready:
            return ["no process is ready"]
        self.checks["reconciled"] += 1
        view = trader.executor.view()
        found = [] if view.is_reconciled else ["not reconciled"]
        if not (view.user_stream_ready and view.market_stream_ready):
            found.append("a stream is down")
        if view.is_degraded:
            found.append("still degraded although the disk works")
        return found

    def _held(self) -> dict[str, Decimal]:
        positions = self._world.exchange.exchange.positions()
        held = {p.symbol: p.quantity for p in positions if p.quantity}
        return {symbol: q for symbol, q in held.items() if symbol not in self._world.safety.foreign}

    def _positions(self) -> list[str]:
        rows, held = self._world.ledger.positions(), self._held()
        self.checks["I-8"] += 1 + len(held)
        return [
            f"I-8 {symbol}: rows {rows.get(symbol, ZERO)}, exchange {held.get(symbol, ZERO)}"
            for symbol in sorted({*rows, *held})
            if rows.get(symbol, ZERO) != held.get(symbol, ZERO)
        ]

    def _orders(self) -> list[str]:
        exchange = self._world.exchange.exchange
        plain = {o.client_order_id: o.symbol for o in exchange.open_orders() if is_ours(o.client_order_id)}
        algos = {a.client_algo_id: a.symbol for a in exchange.open_algos() if is_ours(a.client_algo_id)}
        open_there = plain | algos
        self.checks.update({"I-9": 1 + len(open_there), "I-15": 1 + len(open_there)})
        rows, held = self._world.ledger.open_orders(), self._held()
        found = [f"I-9 {c}: open at the exchange, not in the rows" for c in sorted(set(open_there) - rows)]
        found += [f"I-9 {c}: open in the rows, not at the exchange" for c in sorted(rows - set(open_there))]
        found += [f"I-15 {c}: open on the flat {s}" for c, s in sorted(open_there.items()) if s not in held]
        return found

    def _trades(self) -> list[str]:
        exchange = self._world.exchange.exchange
        trades = {(t.symbol, t.trade_id): t for s in self._world.symbols for t in exchange.user_trades(s, limit=1_000)}
        rows = self._world.ledger.rows("SELECT symbol, trade_id, correction FROM fills")
        booked = {(row["symbol"], row["trade_id"]) for row in rows if not row["correction"]}
        self.checks["I-10"] += len(trades)
        missing = [key for key in sorted(set(trades) - booked) if key not in self._world.foreign_trades]
        found = [f"I-10 trade {key} is not booked" for key in missing[:3]]
        found += [f"I-10 trade {key} was never made" for key in sorted(booked - set(trades))[:3]]
        strange = {symbol for symbol, _ in self._world.foreign_trades}
        return found + [f"I-10 a correction stands on {symbol}" for symbol in sorted(self._standing() - strange)]

    def _standing(self) -> set[str]:
        """Return the symbols with a correction that is not undone: only a stranger's position can be its cause."""
        left: dict[tuple[str, int, str], Decimal] = defaultdict(Decimal)
        for row in self._world.ledger.rows("SELECT symbol, intent_id, side, quantity FROM fills WHERE correction"):
            left[row["symbol"], row["intent_id"], row["side"]] += Decimal(row["quantity"])
        return {key[0] for key, quantity in left.items() if quantity}

    def _money(self) -> list[str]:
        """I-11, to the last digit; what somebody else's trades earned is not ours to explain."""
        if self._standing():
            return []  # booked at the best price known; without its cause it is a violation already
        self.checks["I-11"] += 1
        ledger = self._world.ledger
        money = self._world.deposit
        foreign = self._world.foreign_trades
        for row in ledger.rows("SELECT symbol, trade_id, realized_pnl, fee FROM fills"):
            if (row["symbol"], row["trade_id"]) in foreign:
                continue
            money += Decimal(row["realized_pnl"]) - Decimal(row["fee"])
        first = min((row.tran_id for row in self._world.exchange.incomes()), default=0)  # the opening deposit itself
        sql = (
            "SELECT amount FROM income WHERE income_type NOT IN ('REALIZED_PNL', 'COMMISSION') AND transaction_id != ?"
        )
        for row in ledger.rows(sql, (first,)):
            money += Decimal(row["amount"])
        money += self._moved_before_the_books(first)
        trades = [t for t in self._world.exchange.trades() if (t.symbol, t.trade_id) in foreign]
        money += sum((t.realised_pnl - t.commission for t in trades), ZERO)
        wallet = self._world.exchange.wallet
        return [] if money == wallet else [f"I-11 rows {money}, wallet {wallet}, {wallet - money} unexplained"]

    def _moved_before_the_books(self, deposit_id: int) -> Decimal:
        """Return what was paid before any process had valued the account: the books begin after it."""
        ledger = self._world.ledger
        rows = ledger.rows("SELECT min(event_time) AS first FROM account_stats")
        first_ms = rows[0]["first"]
        booked = {row["transaction_id"] for row in ledger.rows("SELECT transaction_id FROM income")}
        told = ("REALIZED_PNL", "COMMISSION")
        incomes = self._world.exchange.incomes()
        moved = [row for row in incomes if row.income_type not in told and row.tran_id != deposit_id]
        early = [r for r in moved if r.tran_id not in booked and (first_ms is None or r.time_ms < first_ms)]
        return sum((row.income for row in early), ZERO)

    def _intents(self) -> list[str]:
        rows = self._world.ledger.rows("SELECT intent_id, state FROM intents")
        self.checks["I-13"] += len(rows)
        return [f"I-13 intent {r['intent_id']}: still {r['state']}" for r in rows if r["state"] in UNSETTLED]

    def _protection(self) -> list[str]:
        stops = {
            a.symbol
            for a in self._world.exchange.exchange.open_algos()
            if a.type is OrderType.STOP_MARKET and a.status is AlgoStatus.NEW
        }
        held = self._held()
        self.checks["I-4"] += len(held)
        return [f"I-4 {symbol}: {held[symbol]} without a stop" for symbol in sorted(set(held) - stops)]

    def _killed(self) -> list[str]:
        """I-16: while the latch stands nothing of ours does, and the latch says that this was verified."""
        latched = self._world.ledger.rows("SELECT detail FROM halts WHERE active AND scope = '*' AND reason = 'kill'")
        if not latched:
            return []
        self.checks["I-16"] += 1
        held = self._held()
        found = [f"I-16 killed, and holds {held}"] if held else []
        trader = self._world.trader
        view = trader.executor.view() if trader is not None and trader.executor is not None else None
        if view is not None and view.unwinding.get("*"):
            found.append(f"I-16 not verified flat: {view.unwinding['*']}")
        return found

    def alerts(self) -> list[str]:
        """I-22: every incident has an alert, and none has a flood of them."""
        found = []
        titles = self._world.alert_titles
        self.checks["I-22"] += 1 + len(titles)
        for title, count in titles.items():
            if count >= FLOOD and not title.startswith(("Connection", "Trader")):
                found.append(f"I-22 {count} alerts {title!r}")
        told = " ".join(titles).lower()
        for kind, words in ALERTS.items():
            if self._world.struck[kind] and not any(word in told for word in words):
                found.append(f"I-22 {kind.value} on a position of ours, and no alert tells of it")
        return found
