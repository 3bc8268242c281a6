"""The invariants, checked from the exchange's side: safety after every event, liveness once all is calm."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal

from core.enums import AlgoStatus, Leg, OrderType, PositionMode, PositionSide
from core.ids import ClientOrderId
from core.records import TradeState
from simulator.engine.events import ExchangeEvent, OrderEvent
from simulator.market.model import MarketTrade
from tests.simulation.world import START_MS, World

ZERO = Decimal(0)
NAKED_MS_MAX = 5_000
LOOK_MS = 500
_SIGN = {PositionSide.BOTH: 0, PositionSide.LONG: 1, PositionSide.SHORT: -1}


class Watcher:
    """Sees every engine event before the trader does. `checks` counts, by invariant, what was really compared."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.checks: Counter[str] = Counter()
        self._position: dict[tuple[str, PositionSide], Decimal] = defaultdict(Decimal)
        self._entered: dict[int, Decimal] = defaultdict(Decimal)
        self._naked_since: dict[tuple[str, PositionSide], int] = {}
        self._is_news = True
        world.on_exchange.append(self.on_event)
        world.at(START_MS + 100, self._look)

    def _fail(self, text: str) -> None:
        self.world.violations.append(f"{self.world.now_ms - START_MS} {text}")

    # --- safety -------------------------------------------------------------------------------------------------

    def on_event(self, event: ExchangeEvent) -> None:
        if isinstance(event, MarketTrade):
            return
        self._is_news = True
        if not isinstance(event, OrderEvent) or event.fill is None:
            return
        order, fill = event.order, event.fill
        leg = (order.symbol, order.position_side)
        before = self._position[leg]
        after = before + fill.side.sign * fill.quantity
        self._position[leg] = after
        identity = ClientOrderId.parse(order.client_order_id)
        if identity is not None and identity.leg is Leg.ENTRY and not order.algo_id:
            self._check_entry(identity.intent, fill.quantity, before, fill.side.sign)
            return
        self.checks["I-7"] += 1
        if not order.client_order_id.startswith("web_") and (abs(after) > abs(before) or before * after < 0):
            self._fail(f"I-7 {order.symbol}: {order.client_order_id} grew or turned {before} to {after}")

    def _check_entry(self, intent: int, quantity: Decimal, before: Decimal, sign: int) -> None:
        self.checks.update(("I-2", "I-3", "I-7"))
        self._entered[intent] += quantity
        row = self.world.store.rows.intents.get(intent)
        if row is None:
            self._fail(f"I-2 intent {intent}: filled, but no row")
        elif self._entered[intent] > row.quantity:
            self._fail(f"I-3 intent {intent}: {self._entered[intent]} of {row.quantity}")
        if before * sign < 0:
            self._fail(f"I-7 intent {intent}: entered against a position of {before}")

    def _look(self) -> None:
        """Compare what has changed since the last look; while a position is uncovered, at every look."""
        world = self.world
        if self._is_news:
            self._is_news = False
            for client_id, count in world.accepted.items():
                if count > 1:
                    self._fail(f"I-1 {client_id}: accepted {count} times")
                    world.accepted[client_id] = 1
            self.checks["I-1"] += 1
            self._check_protection()
        world.at(world.now_ms + LOOK_MS, self._look)

    def _check_protection(self) -> None:
        """I-4: no position is without a stop for longer than 5 s, while the trader can know of it and do something."""
        world = self.world
        held = {leg: quantity for leg, quantity in self._position.items() if quantity != 0}
        stops = {
            (a.symbol, a.position_side, a.side)
            for a in (world.exchange.open_algos() if held else ())
            if a.type is OrderType.STOP_MARKET and a.status is not AlgoStatus.TRIGGERED
        }
        for leg in [*self._naked_since]:
            if leg not in held:
                del self._naked_since[leg]
        for leg, quantity in held.items():
            self.checks["I-4"] += 1
            if any(stop[:2] == leg and stop[2].sign * quantity < 0 for stop in stops):
                self._naked_since.pop(leg, None)
                continue
            self._is_news = True
            if world.is_excused():
                self._naked_since.pop(leg, None)
                continue
            since = self._naked_since.setdefault(leg, world.now_ms)
            if world.now_ms - since > NAKED_MS_MAX:
                self._fail(f"I-4 {leg}: {quantity} without a stop since {since - START_MS}")
                self._naked_since[leg] = world.now_ms + 60_000

    # --- liveness -----------------------------------------------------------------------------------------------

    def check_end(self) -> None:
        """After minutes without faults everything agrees, to the last digit."""
        self._check_positions()
        self._check_orders()
        self._check_money()
        for row in self.world.store.rows.intents.values():
            self.checks["I-13"] += 1
            if row.state in (TradeState.IN_DOUBT, TradeState.SUBMITTED, TradeState.INTENT):
                self._fail(f"I-13 intent {row.intent_id}: still {row.state.value}")
        if not self.world.core.view().is_reconciled:
            self._fail("not reconciled at the end")
        self.checks["reconciled"] += 1
        self.checks["I-12"] += self.world.store.checks
        self.world.violations.extend(self.world.store.violations)

    def _check_positions(self) -> None:
        rows: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
        for row in self.world.store.rows.positions.values():
            rows[row.symbol, row.direction.sign if self.world.mode is PositionMode.HEDGE else 0] += (
                row.quantity * row.direction.sign
            )
        held: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
        for p in self.world.exchange.positions():
            held[p.symbol, _SIGN[p.position_side]] += p.quantity
        for symbol, side in self._position:
            if self._position[symbol, side] != held[symbol, _SIGN[side]]:
                self._fail(f"fills seen {symbol} {side}: {self._position[symbol, side]}, exchange {dict(held)}")
        for leg in sorted({*rows, *held}):
            self.checks["I-8"] += 1
            if rows[leg] != held[leg]:
                self._fail(f"I-8 {leg}: rows {rows[leg]}, exchange {held[leg]}")

    def _check_orders(self) -> None:
        held = {(p.symbol, p.position_side) for p in self.world.exchange.positions() if p.quantity != 0}
        for algo in self.world.exchange.open_algos():
            self.checks.update(("I-9", "I-15"))
            row = self.world.store.rows.orders.get(algo.client_algo_id)
            if row is None or row.status != algo.status.value:
                self._fail(f"I-9 {algo.client_algo_id}: row {row and row.status}, exchange {algo.status.value}")
            if (algo.symbol, algo.position_side) not in held:
                self._fail(f"I-15 {algo.client_algo_id}: open on a flat symbol")
        listed = {a.client_algo_id for a in self.world.exchange.open_algos()}
        for row in self.world.store.rows.orders.values():
            if row.status == "NEW" and row.service.value == "algo" and row.client_order_id not in listed:
                self._fail(f"I-9 {row.client_order_id}: row NEW, exchange has it no more")

    def _check_money(self) -> None:
        fills = self.world.store.rows.fills
        booked = {key for key, row in fills.items() if not row.correction}
        real = {
            (t.symbol, t.trade_id): t
            for s in self.world.symbols
            for t in self.world.exchange.user_trades(s, limit=1_000)
        }
        self.checks.update({"I-10": len(real), "I-11": 1})
        if booked != set(real):
            missing, extra = set(real) - booked, booked - set(real)
            self._fail(f"I-10 missing {sorted(missing)[:3]} extra {sorted(extra)[:3]}")
        if any(row.correction for row in fills.values()):
            self._fail(f"correction: {[row for row in fills.values() if row.correction][:1]}")
        incomes = self.world.store.rows.incomes.values()
        money = sum((f.realized_pnl - f.fee for f in fills.values()), Decimal(10_000))
        money += sum((row.amount for row in incomes if row.income_type != "TRANSFER"), ZERO)
        wallet = self.world.exchange.balances()[0].wallet_balance
        if money != wallet:
            self._fail(f"I-11 rows {money}, wallet {wallet}")
        positions = self.world.store.rows.positions.values()
        for row in positions:
            self.checks["I-10"] += 1
            own = [f for f in fills.values() if f.intent_id == row.intent_id]
            realized = sum((f.realized_pnl for f in own), ZERO)
            fees = sum((f.fee for f in own), ZERO)
            if (realized, fees) != (row.realized_pnl, row.fees):
                self._fail(f"I-10 trade {row.intent_id}: {row.realized_pnl}/{row.fees}, fills {realized}/{fees}")


def run_world(seed: int, **options: int | bool) -> tuple[World, Watcher]:
    """Run one seeded world to its end and check it."""
    world = World(seed, **options)  # type: ignore[arg-type]
    watcher = Watcher(world)
    world.run()
    watcher.check_end()
    return world, watcher
