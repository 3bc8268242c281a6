"""The safety invariants, seen from the exchange's side: at every request, every event, every alert."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from decimal import Decimal
from typing import TYPE_CHECKING

from core.commands import Accepted, CancelOrder, Refused, SubmitOrder, VenueCommand, VenueReply
from core.enums import AlgoStatus, Leg, OrderType, PositionMode, PositionSide
from core.ids import ClientOrderId
from core.orders import AlgoOrderRequest
from core.records import AlertRecord
from simulator.engine.events import AccountEvent, AlgoEvent, ExchangeEvent, OrderEvent
from simulator.faults.actions import HAND_PREFIX
from tests.simulation.excuses import UNHEARD_MS
from tests.simulation.process import READS, Process
from tests.simulation.wire import Call

if TYPE_CHECKING:
    from core.enums import Side
    from tests.simulation.world import World

ZERO = Decimal(0)
NAKED_MS_MAX = 5_000
DOUBLED_MS_MAX = 10_000
STALE_MS = 15_250
"""The trader's limit on the age of a price, and one tick."""
START_PATIENCE_MS = 8_000
"""A process that starts or wakes connects, reads the account and asks about what is in doubt."""
ALERTS_MAX = 9
WEIGHT_MAX, ORDERS_10S_MAX, ORDERS_1M_MAX = 2_400, 300, 1_200
EXPOSURE_MAX = Decimal("0.55")
"""Share of the capital that one symbol may take, and a little for the price's way between decision and fill."""

HEARD_MS = 100
"""News of a withdrawal reaches a trader who hears within this time."""

LegKey = tuple[str, PositionSide]


class Watcher:
    """Sees everything before the trader does. `checks` counts, by invariant, what was really compared."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.checks: Counter[str] = Counter()
        self.position: dict[LegKey, Decimal] = defaultdict(Decimal)
        self.foreign: set[LegKey] = set()
        """Legs that somebody else opened."""
        self.foreign_trades: set[tuple[str, int]] = set()
        self.liquidated: list[tuple[int, str]] = []
        self._entered: dict[int, Decimal] = defaultdict(Decimal)
        self._left_ms: dict[int, int] = {}
        """When the entry of each intent had left."""
        self._withdrawn: list[tuple[int, Decimal]] = []
        self._accepted: set[str] = set()
        self._stops: dict[LegKey, dict[str, Side]] = defaultdict(dict)
        self._since: dict[tuple[str, LegKey], int] = {}
        self._paused: dict[int, tuple[int, int]] = {}
        self._weights: deque[tuple[int, int, int]] = deque()
        self._counts, self._span = (0, 0, 0), 0
        """Weight of this minute, orders of these ten seconds and of this minute; the number of these ten seconds."""
        self._stated: dict[int, tuple[int, int, int]] = {}
        """What the headers of the answer to each request say, by the identity of its command."""
        self._told: set[str] = set()
        self._alerts: Counter[tuple[str, int]] = Counter()

    def fail(self, text: str) -> None:
        self.world.violations.append(f"{self.world.elapsed_ms} {text}")
        self.world.note(f"violation {text}")

    # --- at the door ------------------------------------------------------------------------------------------------

    def on_arrival(self, process: Process, command: VenueCommand, call: Call, sent_ms: int) -> None:
        """A request has come in; the exchange has not seen it yet."""
        self._count_request(call)
        self._stated[id(command)] = self._counts
        if type(command) is SubmitOrder:
            self._check_order(process, command, sent_ms)
        elif type(command) is CancelOrder:
            self.checks["I-17"] += 1
            if ClientOrderId.parse(command.client_order_id) is None:
                self.fail(f"I-17 {command.client_order_id}: cancelled, though not ours")
            self._check_lease(process, command.client_order_id, sent_ms)
        priority = getattr(command, "priority", None)
        until_ms, since_ms = self._paused.get(process.epoch, (0, 0))
        if priority and since_ms < sent_ms < until_ms:
            self.fail(f"I-18 {call.route}: sent before the pause that the venue asked for was over")

    def note_pause(self, process: Process, until_ms: int) -> None:
        """The venue said 429. What had left before is not held against the process."""
        self._paused[process.epoch] = max(
            self._paused.get(process.epoch, (0, 0)), (until_ms - 1_000, self.world.now_ms)
        )

    def _count_request(self, call: Call) -> None:
        """I-18: what the venue counts stays within its limits."""
        now_ms, entries = self.world.now_ms, self._weights
        self.checks["I-18"] += 1
        entries.append((now_ms, call.weight, call.orders))
        self._add_up(now_ms, call)
        while entries[0][0] <= now_ms - 60_000:
            entries.popleft()
        if len(entries) * 40 < WEIGHT_MAX and len(entries) < ORDERS_10S_MAX:
            return  # cannot be over, whatever they were
        if sum(entry[1] for entry in entries) > WEIGHT_MAX:
            self.fail("I-18 more request weight in a minute than the venue allows")
        orders_10s = sum(entry[2] for entry in entries if entry[0] > now_ms - 10_000)
        if orders_10s > ORDERS_10S_MAX or sum(entry[2] for entry in entries) > ORDERS_1M_MAX:
            self.fail("I-18 more orders than the venue allows")

    def _add_up(self, now_ms: int, call: Call) -> None:
        """The venue's own counts begin anew with each minute, and with each ten seconds."""
        weight, orders_10s, orders_1m = self._counts
        span, self._span = self._span, now_ms // 10_000
        if span != self._span:
            orders_10s = 0
            if span // 6 != self._span // 6:
                weight = orders_1m = 0
        self._counts = (weight + call.weight, orders_10s + call.orders, orders_1m + call.orders)

    def take_headers(self, reply: VenueReply) -> tuple[int, int, int] | None:
        """Return the counts that came with an answer of the venue, None if none did or it cannot be read."""
        is_answer = type(reply.outcome) is Accepted or (type(reply.outcome) is Refused and reply.outcome.code != 0)
        return self._stated.pop(id(reply.command), None) if is_answer else None

    def _check_order(self, process: Process, command: SubmitOrder, sent_ms: int) -> None:
        order = command.approved.order
        identity = ClientOrderId.parse(order.client_order_id)
        if identity is None:
            self.fail(f"I-2 {order.client_order_id}: not our shape")
            return
        self._check_lease(process, order.client_order_id, sent_ms)
        self._check_recorded(process, order.client_order_id, identity)
        self._check_grid(command)
        if identity.leg is Leg.ENTRY:
            self._check_entry(process, order.symbol, identity, sent_ms)

    def _check_lease(self, process: Process, client_id: str, sent_ms: int) -> None:
        """I-14: who knows that the lease is gone sends nothing more; after 20 s of standstill nobody sends unasked."""
        self.checks["I-14"] += 1
        if process.lost_lease_ms is not None and sent_ms > process.lost_lease_ms:
            self.fail(f"I-14 {client_id}: sent by epoch {process.epoch} after it had lost the lease")

    def _check_recorded(self, process: Process, client_id: str, identity: ClientOrderId) -> None:
        """I-2: on disk before it came here. A stop or an exit may go first while the disk does not work."""
        self.checks["I-2"] += 1
        rows = self.world.disk.rows
        if client_id in rows.orders and identity.intent in rows.intents:
            return
        if identity.leg is Leg.ENTRY or not process.owes_rows(self.world.now_ms):
            self.fail(f"I-2 {client_id}: not on disk when it came")

    def _check_grid(self, command: SubmitOrder) -> None:
        """I-21: numbers on the grid of the contract."""
        self.checks["I-21"] += 1
        order, spec = command.approved.order, self.world.instrument_of(command.approved.order.symbol)
        price = order.trigger_price if isinstance(order, AlgoOrderRequest) else order.price
        quantity = None if isinstance(order, AlgoOrderRequest) else order.quantity
        off_price = price is not None and price % spec.tick_size
        off_quantity = quantity is not None and (quantity % spec.step_size or quantity <= 0)
        if off_price or off_quantity:
            self.fail(f"I-21 {order.client_order_id}: {price} {quantity} is off the grid")

    def _check_entry(self, process: Process, symbol: str, identity: ClientOrderId, sent_ms: int) -> None:
        """I-14 and I-16: what must hold when an entry leaves."""
        disk = self.world.disk
        self.checks["I-14"] += 1
        self.checks["I-16"] += 1
        self._left_ms[identity.intent] = sent_ms
        for scope, since_ms in disk.latched.items():
            if scope in ("*", symbol) and since_ms < sent_ms:
                self.fail(f"I-16 {identity}: sent {sent_ms - since_ms} ms after the latch of {scope} was on disk")
        for intent, doubtful in disk.doubtful.items():
            if doubtful == symbol and intent != identity.intent and self.world.mode is PositionMode.ONEWAY:
                self.fail(f"I-14 {identity}: intent {intent} on {symbol} is in doubt")
        if not process.hears_user and process.told_ms < sent_ms:
            self.fail(f"I-14 {identity}: entered while the user stream was known to be down")
        unread = [kind.__name__ for kind in READS if process.read_ms.get(kind, -1) < process.told_ms]
        if unread and process.told_ms < sent_ms:
            self.fail(f"I-14 {identity}: {', '.join(unread)} not answered since the user stream connected")
        age_ms = sent_ms - process.shown_ms.get(symbol, 0)
        if age_ms > STALE_MS:
            self.fail(f"I-14 {identity}: the price of {symbol} was {age_ms} ms old")

    def on_accepted(self, client_id: str) -> None:
        """I-1: the exchange takes each client id once."""
        self.checks["I-1"] += 1
        if client_id in self._accepted:
            self.fail(f"I-1 {client_id}: accepted again")
        self._accepted.add(client_id)

    # --- what the exchange does -------------------------------------------------------------------------------------

    def on_event(self, event: ExchangeEvent) -> None:
        if type(event) is OrderEvent:
            if event.fill is not None:
                self._on_fill(event)
        elif type(event) is AlgoEvent:
            self._on_algo(event)
        elif type(event) is AccountEvent and event.reason == "WITHDRAW":
            self._withdrawn.append((self.world.now_ms, -sum((one.change for one in event.balances), ZERO)))

    def _on_fill(self, event: OrderEvent) -> None:
        order, fill = event.order, event.fill
        assert fill is not None
        leg = (order.symbol, order.position_side)
        before = self.position[leg]
        after = before + fill.side.sign * fill.quantity
        self.position[leg] = after
        is_hand = order.client_order_id.startswith(HAND_PREFIX)
        identity = ClientOrderId.parse(order.client_order_id)
        if is_hand and (not before or before * after < 0):
            self.foreign.add(leg)
        if leg in self.foreign:
            self.foreign_trades.add((order.symbol, fill.trade_id))
        if identity is not None and identity.leg is Leg.ENTRY and not order.algo_id:
            self._check_entry_fill(identity.intent, leg, fill.quantity * fill.side.sign, fill.price)
        elif not is_hand:
            self._check_reduction(order.client_order_id, leg, before, after)
        if order.client_order_id.startswith("autoclose-") and leg not in self.foreign:
            self.liquidated.append((self.world.now_ms, order.symbol))
        if not after:
            self.foreign.discard(leg)
        self._check_leg(leg)

    def _check_reduction(self, client_id: str, leg: LegKey, before: Decimal, after: Decimal) -> None:
        self.checks["I-7"] += 1
        if abs(after) > abs(before) or before * after < 0:
            self.fail(f"I-7 {leg[0]}: {client_id} grew or turned {before} to {after}")
        self.checks["I-17"] += 1
        if leg in self.foreign and ClientOrderId.parse(client_id) is not None:
            self.fail(f"I-17 {leg[0]}: {client_id} changed a foreign position")

    def _check_entry_fill(self, intent: int, leg: LegKey, signed: Decimal, price: Decimal) -> None:
        self.checks["I-3"] += 1
        self.checks["I-7"] += 1
        after = self.position[leg]
        before = after - signed
        if leg in self.foreign:
            self.foreign.discard(leg)  # one position of two owners from here on
            self.world.mixed.add(leg)
        self._entered[intent] += abs(signed)
        row = self.world.disk.rows.intents.get(intent)
        if row is None:
            self.fail(f"I-2 intent {intent}: filled, but no row")
        elif self._entered[intent] > row.quantity:
            self.fail(f"I-3 intent {intent}: {self._entered[intent]} of {row.quantity}")
        if before * signed < 0 and leg not in self.world.mixed:
            self.fail(f"I-7 intent {intent}: entered against a position of {before}")
        # What was withdrawn when the entry had left, or so shortly before that nobody could know, was still there:
        # where the stream tells nothing, shortly is as long as until the next comparison.
        left_ms = self._left_ms.get(intent, 0)
        is_untold = self.world.excuses.until_ms("") > left_ms
        unknown_ms = left_ms - (UNHEARD_MS if is_untold else HEARD_MS)
        capital = self.world.exchange.wallet_balance
        capital += sum((amount for at_ms, amount in self._withdrawn if at_ms >= unknown_ms), ZERO)
        if leg not in self.world.mixed and not before and abs(after) * price > capital * EXPOSURE_MAX:
            self.fail(f"I-3 {leg[0]}: {after} at {price} is more than its share of {capital}")

    def _on_algo(self, event: AlgoEvent) -> None:
        order = event.order
        if order.type is not OrderType.STOP_MARKET:
            return
        leg = (order.symbol, order.position_side)
        if order.status is AlgoStatus.NEW:
            self._stops[leg][order.client_algo_id] = order.side
            self.checks["I-6"] += 1
            if not order.close_position and order.quantity != abs(self.position[leg]):
                self.fail(f"I-6 {order.client_algo_id}: {order.quantity} for a position of {self.position[leg]}")
        else:
            self._stops[leg].pop(order.client_algo_id, None)
        self._check_leg(leg)

    def resync(self) -> None:
        """Read positions and stops anew: some faults change them without an event."""
        self._stops.clear()
        for algo in self.world.exchange.open_algos():
            if algo.type is OrderType.STOP_MARKET and algo.status is AlgoStatus.NEW:
                self._stops[algo.symbol, algo.position_side][algo.client_algo_id] = algo.side
        for leg in list(self.position):
            self._check_leg(leg)
        self.checks["positions"] += 1
        held = {(p.symbol, p.position_side): p.quantity for p in self.world.exchange.legs()}
        for leg, quantity in self.position.items():
            if quantity != held.get(leg, ZERO):
                self.fail(f"fills of {leg[0]} {leg[1].value} sum to {quantity}, the exchange holds {held.get(leg)}")

    # --- what may last only a while ---------------------------------------------------------------------------------

    def _check_leg(self, leg: LegKey) -> None:
        """I-4 and I-5: start or stop the clocks of a leg after anything that concerns it."""
        quantity = self.position[leg]
        self.checks["I-4"] += 1
        self.checks["I-5"] += 1
        is_held = bool(quantity) and leg not in self.foreign
        live = sum(1 for side in self._stops[leg].values() if side.sign * quantity < 0) if is_held else 0
        self._clock("I-4", leg, is_held and not live)
        self._clock("I-5", leg, live > 1)

    def _clock(self, number: str, leg: LegKey, is_wrong: bool) -> None:
        key = (number, leg)
        if not is_wrong:
            self._since.pop(key, None)
        elif key not in self._since:
            self._since[key] = self.world.now_ms
            self._ring_at(key, self._since[key])

    def _ring_at(self, key: tuple[str, LegKey], began_ms: int) -> None:
        """Look again when the leg has been wrong for too long without an excuse."""
        number, leg = key
        most_ms = NAKED_MS_MAX if number == "I-4" else DOUBLED_MS_MAX
        world = self.world

        def ring() -> None:
            if self._since.get(key) != began_ms or world.is_resting:
                return
            fair_ms = max(began_ms, world.excuses.until_ms(leg[0]), self._able_ms())
            if world.now_ms - fair_ms < most_ms:
                world.at(max(world.now_ms + 1, fair_ms + most_ms), ring)
                return
            what = "without a stop" if number == "I-4" else "with more than one stop"
            self.fail(
                f"{number} {leg[0]} {leg[1].value}: {self.position[leg]} {what} since {began_ms - world.start_ms}"
            )

        world.at(began_ms + most_ms, ring)

    def _able_ms(self) -> int:
        """Return since when a trader has been able to act; the future while there is none.

        One that another has taken the account from may not, whether it knows it yet or not: where that other one has
        died, nobody can act until the next start.
        """
        holder = self.world.disk.lease_epoch
        for one in self.world.processes:
            if one.epoch == holder and one.is_alive and not one.is_suspended:
                return one.able_ms + START_PATIENCE_MS
        return self.world.now_ms + 1_000

    # --- what is said -----------------------------------------------------------------------------------------------

    def on_alert(self, process: Process, alert: AlertRecord) -> None:
        """I-16: "flat" is said only when it is true. I-22: no flood about one incident.

        Alerts are told from their rows, and the database takes no row of a process that has lost the account.
        """
        if process.epoch != self.world.disk.lease_epoch:
            return
        self.checks["I-22"] += 1
        if alert.dedupe_key not in self._told:  # the outbox tells each key once
            self._told.add(alert.dedupe_key)
            key = (alert.dedupe_key.split(":")[0] + alert.title, self.world.now_ms // 60_000)
            self._alerts[key] += 1
            if self._alerts[key] > ALERTS_MAX:
                self.fail(f"I-22 {alert.title}: told {self._alerts[key]} times in a minute")
        if alert.dedupe_key.startswith("flat:"):
            self._check_flat(alert.dedupe_key.split(":")[1])

    def _check_flat(self, scope: str) -> None:
        self.checks["I-16"] += 1
        exchange = self.world.exchange
        for leg, quantity in self.position.items():
            if quantity and scope in ("*", leg[0]) and leg not in self.foreign and leg not in self.world.mixed:
                self.fail(f"I-16 {scope} was said to be flat with {quantity} of {leg[0]}")
        ours = [order.client_order_id for order in exchange.open_orders() if scope in ("*", order.symbol)]
        ours += [algo.client_algo_id for algo in exchange.open_algos() if scope in ("*", algo.symbol)]
        for client_id in ours:
            if ClientOrderId.parse(client_id) is not None:
                self.fail(f"I-16 {scope} was said to be flat with {client_id} open")
