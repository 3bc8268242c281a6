"""The liveness invariants: minutes after the last fault everything agrees, to the last digit, and a restart changes
nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from core.enums import AlgoStatus, OrderStatus, PositionMode, PositionSide
from core.ids import ClientOrderId
from core.records import AlertRecord, FillRecord, IntentRecord, OrderRecord, PositionRecord, TradeState
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.watcher import Watcher

ZERO = Decimal(0)
_SIGN = {PositionSide.BOTH: 0, PositionSide.LONG: 1, PositionSide.SHORT: -1}
_OVER = {s.value for s in OrderStatus if s.is_terminal} | {s.value for s in AlgoStatus if s.is_terminal}
_WAITING = (TradeState.IN_DOUBT, TradeState.SUBMITTED, TradeState.INTENT)


def _all_but(kind: type[Any], *left_out: str) -> Callable[[object], tuple[Any, ...]]:
    """Return a reader of every field of a row but those that tell only the time or the way of writing."""
    return attrgetter(*(one.name for one in fields(kind) if one.name not in left_out))


_INTENT = _all_but(IntentRecord, "updated_time_ms", "evidence")
_ORDER = _all_but(OrderRecord, "updated_time_ms", "detail")
_FILL = _all_but(FillRecord, "received_time_ms")
_POSITION = _all_but(PositionRecord, "updated_time_ms")
AVERAGE_TOLERANCE = Decimal("0.0001")


class Liveness:
    """Compares the rows with the exchange; what differs is a violation of the watcher's world."""

    def __init__(self, watch: Watcher) -> None:
        self._watch = watch
        self._world: World = watch.world
        self._rows = watch.world.disk.rows
        self._foreign = {(symbol, _SIGN[side]) for symbol, side in watch.foreign}

    def check(self) -> None:
        self._watch.resync()
        self._check_positions()
        self._check_orders()
        self._check_fills()
        self._check_money()
        self._check_states()
        self._watch.checks["I-12"] += self._world.disk.checks
        self._world.violations.extend(self._world.disk.violations)

    def _fail(self, text: str) -> None:
        self._watch.fail(text)

    def _count(self, number: str, by: int = 1) -> None:
        self._watch.checks[number] += by

    def _check_positions(self) -> None:
        """I-8."""
        is_hedge = self._world.mode is PositionMode.HEDGE
        rows: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
        open_rows: dict[tuple[str, int], list[PositionRecord]] = defaultdict(list)
        for row in self._rows.positions.values():
            leg = (row.symbol, row.direction.sign if is_hedge else 0)
            rows[leg] += row.quantity * row.direction.sign
            if row.quantity:
                open_rows[leg].append(row)
        views = {(p.symbol, _SIGN[p.position_side]): p for p in self._world.exchange.positions()}
        for leg in sorted({*rows, *views}):
            view = views.get(leg)
            held = view.quantity if view is not None else ZERO
            self._count("I-8")
            if leg in self._foreign:
                held = ZERO
            if rows[leg] != held:
                self._fail(f"I-8 {leg}: rows {rows[leg]}, exchange {held}")
            elif held and view is not None and len(open_rows[leg]) == 1:
                self._check_average(leg, open_rows[leg][0], view.entry_price)

    def _check_average(self, leg: tuple[str, int], row: PositionRecord, real: Decimal) -> None:
        self._count("I-8")
        if row.flagged or row.entry_price is None:
            return  # a hand has changed the position: its average is not the trade's
        if abs(row.entry_price - real) > max(real * AVERAGE_TOLERANCE, self._world.instrument_of(leg[0]).tick_size):
            self._fail(f"I-8 {leg}: entry price {row.entry_price}, exchange {real}")

    def _check_orders(self) -> None:
        """I-9 and I-15."""
        exchange, rows = self._world.exchange, self._rows.orders
        held = {(p.symbol, p.position_side) for p in exchange.positions() if p.quantity != 0}
        foreign = self._watch.foreign
        listed = [(o.client_order_id, o.symbol, o.position_side, o.status.value) for o in exchange.open_orders()]
        listed += [(a.client_algo_id, a.symbol, a.position_side, a.status.value) for a in exchange.open_algos()]
        ours = [each for each in listed if ClientOrderId.parse(each[0]) is not None]
        for client_id, symbol, side, status in ours:
            self._count("I-9")
            self._count("I-15")
            row = rows.get(client_id)
            if row is None or row.status != status:
                self._fail(f"I-9 {client_id}: row {row and row.status}, exchange {status}")
            if (symbol, side) not in held or (symbol, side) in foreign:
                self._fail(f"I-15 {client_id}: open on a flat symbol")
        open_ids = {each[0] for each in ours}
        for row in rows.values():
            if row.status in ("NEW", "PARTIALLY_FILLED", "TRIGGERING") and row.client_order_id not in open_ids:
                self._fail(f"I-9 {row.client_order_id}: row {row.status}, exchange has it no more")

    def _check_fills(self) -> None:
        """I-10."""
        fills = self._rows.fills
        real = {
            (t.symbol, t.trade_id)
            for s in self._world.symbols
            for t in self._world.exchange.user_trades(s, limit=1_000)
        }
        booked = {key for key, row in fills.items() if not row.correction}
        self._count("I-10", len(real))
        missing, extra = real - booked - self._watch.foreign_trades, booked - real
        if missing or extra:
            self._fail(f"I-10 missing {sorted(missing)[:3]} extra {sorted(extra)[:3]}")
        self._count("corrected", sum(row.correction for row in fills.values()))
        if standing := self._standing():
            self._fail(f"I-10 corrections that nothing has undone on {sorted(standing)}")
        own: dict[int | None, list[tuple[Decimal, Decimal]]] = defaultdict(list)
        for fill in fills.values():
            own[fill.intent_id].append((fill.realized_pnl, fill.fee))
        for row in self._rows.positions.values():
            self._count("I-10")
            realized = sum((each[0] for each in own[row.intent_id]), ZERO)
            fees = sum((each[1] for each in own[row.intent_id]), ZERO)
            if (realized, fees) != (row.realized_pnl, row.fees):
                self._fail(f"I-10 trade {row.intent_id}: {row.realized_pnl}/{row.fees}, fills {realized}/{fees}")

    def _standing(self) -> set[str]:
        """Return the symbols with a correction that is not undone."""
        left: dict[tuple[str, int | None, str], Decimal] = defaultdict(Decimal)
        for row in self._rows.fills.values():
            if row.correction:
                left[row.symbol, row.intent_id, row.side.value] += row.quantity
        return {key[0] for key, quantity in left.items() if quantity}

    def _check_money(self) -> None:
        """I-11."""
        world, fills = self._world, self._rows.fills
        if self._standing():
            return  # booked at a price of ours: a violation already
        self._count("I-11")
        money = sum((f.realized_pnl - f.fee for f in fills.values()), ZERO)
        for symbol in world.symbols:
            for trade in world.exchange.user_trades(symbol, limit=1_000):
                if (symbol, trade.trade_id) not in fills:
                    money += trade.realised_pnl - trade.commission
        money += sum((r.income for r in world.exchange.income(income_type="TRANSFER", limit=1_000)), ZERO)
        money += sum((r.amount for r in self._rows.incomes.values() if r.income_type == "FUNDING_FEE"), ZERO)
        money += sum(
            (r.amount for r in self._rows.incomes.values() if r.income_type not in ("FUNDING_FEE", "TRANSFER")), ZERO
        )
        if money != world.exchange.wallet_balance:
            self._fail(f"I-11 rows {money}, wallet {world.exchange.wallet_balance}")

    def _check_states(self) -> None:
        """I-13, I-16, and that somebody trades."""
        world = self._world
        for row in self._rows.intents.values():
            self._count("I-13")
            if row.state in _WAITING:
                self._fail(f"I-13 intent {row.intent_id}: still {row.state.value}")
        self._count("I-16")
        if world.disk.latched:
            self._fail(f"I-16 never verified flat, or never lifted: {sorted(world.disk.latched)}")
        self._count("reconciled")
        if world.process is None or not world.process.core.view().is_reconciled:
            self._fail("not reconciled at the end")
        told = [row for row in self._rows.others if isinstance(row, AlertRecord)]  # what is on disk gets delivered
        for at_ms, symbol in self._watch.liquidated:
            self._count("I-22")
            if not any(a.created_time_ms >= at_ms - 1_000 and symbol in a.text + a.title for a in told):
                self._fail(f"I-22 the liquidation of {symbol} at {at_ms - world.start_ms} was never told")

    # --- a second restart -------------------------------------------------------------------------------------------

    def picture(self) -> dict[str, Any]:
        """Return the rows that a restart must leave as they are, without what only tells the time of writing."""
        rows = self._rows
        return {
            "intents": {key: _INTENT(row) for key, row in rows.intents.items()},
            "orders": {key: _ORDER(row) for key, row in rows.orders.items()},
            "fills": {key: _FILL(row) for key, row in rows.fills.items()},
            "positions": {key: _POSITION(row) for key, row in rows.positions.items()},
            "incomes": {key: row for key, row in rows.incomes.items() if row.income_type != "TRANSFER"},
            "halts": {key: row.active for key, row in rows.halts.items() if row.until_time_ms is None},
        }

    def compare(self, before: dict[str, Any]) -> None:
        """I-24: a restart in calm changes nothing."""
        self._count("I-24")
        after = self.picture()
        for table, rows in before.items():
            changed = [key for key in {**rows, **after[table]} if rows.get(key) != after[table].get(key)]
            if changed:
                key = changed[0]
                self._fail(f"I-24 a restart changed {table} {key}: {rows.get(key)} to {after[table].get(key)}")


RESTART_MS = 45_000


def run_world(seed: int, **options: int | bool) -> tuple[World, Watcher]:
    """Run one seeded world to its end, check it, and restart the trader once more."""
    world = World(seed, **options)  # type: ignore[arg-type]
    world.run()
    liveness = Liveness(world.watch)
    liveness.check()
    if world.process is not None:
        before = liveness.picture()
        world.process.kill()
        world.run(world.end_ms + RESTART_MS)
        liveness.compare(before)
    return world, world.watch
