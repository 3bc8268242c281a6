"""The safety invariants, at the exchange's door and at every event: what must hold whatever goes wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from core.enums import AlgoStatus, Leg, OrderType, PositionSide
from core.ids import ClientOrderId
from simulator.engine.events import AlgoEvent, ExchangeEvent, OrderEvent
from simulator.faults.actions import HAND_PREFIX
from simulator.server.stream_names import Category
from simulator.server.wire import RawRequest, RawResponse
from tests.simulation.sockets.excuses import Excuses

if TYPE_CHECKING:
    from tests.simulation.sockets.world import World

NAKED_MS_MAX = 5_000
REPLACE_MS_MAX = 10_000
STALE_MS = 16_000
"""The trader's own limit on the age of a price, and a second for the way."""
LATCH_GRACE_MS = 600
"""A request that has left may still arrive; and the latch was seen at the last look, not at once."""
ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
READS = ("/fapi/v3/positionRisk", "/fapi/v1/openOrders", "/fapi/v1/openAlgoOrders")
FILTER_CODES = {-1013, -1111, -4001, -4003, -4004, -4005, -4013, -4014, -4016, -4023, -4024}
BACKGROUND = ("/fapi/v1/klines", "/fapi/v1/income")
"""Requests that are never urgent."""

LegKey = tuple[str, PositionSide]
ZERO = Decimal(0)


class Safety:
    """Implements `Witness`. `checks` counts what was really compared, by invariant."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.checks: Counter[str] = Counter()
        self.excuses = Excuses(world)
        self.position: dict[LegKey, Decimal] = defaultdict(Decimal)
        self.foreign: set[str] = set()
        """Symbols on which somebody else holds a position that he opened."""
        self.price_shown_ms: dict[str, int] = {}
        self.connected_ms = -1
        self._read_ms: dict[str, int] = {}
        self._entered: dict[int, Decimal] = defaultdict(Decimal)
        self._orders: dict[str, set[int]] = defaultdict(set)
        self._naked_since: dict[LegKey, int] = {}
        self._doubled_since: dict[LegKey, int] = {}
        self._latched_ms: dict[tuple[str, str], int] = {}
        self._doubtful_ms: dict[tuple[str, int], int] = {}
        self._refused: dict[str, int] = {}

    def _fail(self, text: str) -> None:
        self.world.fail(text)

    @property
    def _now_ms(self) -> int:
        return self.world.now_ms

    # -- at the door ------------------------------------------------------------------------------------------------

    def on_arrival(self, request: RawRequest) -> None:
        if request.method == "GET":
            if request.path in READS:
                self._read_ms[request.path] = self._now_ms
            if request.path in BACKGROUND:
                self._check_pause(request.path)
            return
        if request.path not in (ORDER, ALGO):
            return
        fields = dict(parse_qsl(request.query)) | dict(parse_qsl(request.body))
        client_id = next(
            (fields[n] for n in ("newClientOrderId", "clientAlgoId", "origClientOrderId") if n in fields), ""
        )
        identity = ClientOrderId.parse(client_id)
        self.checks["I-17"] += 1
        if identity is None:
            self._fail(f"I-17 {request.method} {request.path} on {client_id or fields}: no order of ours")
            return
        self._check_lease(client_id)
        if request.method == "DELETE":
            return
        self._check_numbers(fields)
        self._check_recorded(client_id, identity)
        if identity.leg is Leg.ENTRY:
            self._check_entry_allowed(fields["symbol"], identity)

    def on_response(self, request: RawRequest, response: RawResponse) -> None:
        self.checks["I-18"] += 1
        if response.status in (418, 429):
            self._fail(f"I-18 {request.method} {request.path}: the venue had to answer {response.status}")
        if response.status == 400 and request.path in (ORDER, ALGO) and request.method == "POST":
            self._check_filters(request, response)

    def _check_lease(self, client_id: str) -> None:
        """I-14: a process that knows that its lease is gone sends nothing more; here: the one that runs as a zombie."""
        zombie = self.world.zombie
        if zombie is None or zombie.lease_lost_ms is None or not zombie.is_alive:
            return
        self.checks["I-14 lease"] += 1
        identity = ClientOrderId.parse(client_id)
        is_its = identity is not None and identity.epoch == zombie.epoch and identity.leg is Leg.ENTRY
        if is_its and self._now_ms - zombie.lease_lost_ms > LATCH_GRACE_MS:
            self._fail(f"I-14 {client_id}: sent by a process that had lost its lease")

    def _check_numbers(self, fields: dict[str, str]) -> None:
        """I-21, but for what the filters themselves say: plain notation."""
        for name in ("quantity", "price", "triggerPrice"):
            if name in fields:
                self.checks["I-21"] += 1
                try:
                    is_plain = format(Decimal(fields[name]), "f") == fields[name]
                except InvalidOperation:
                    is_plain = False
                if not is_plain:
                    self._fail(f"I-21 {name} {fields[name]!r} is not plain")

    def _check_filters(self, request: RawRequest, response: RawResponse) -> None:
        """I-21: a filter refuses only what a change of the filters has made wrong."""
        code = int(response.body.partition(b'"code":')[2].partition(b",")[0] or 0)
        if code in FILTER_CODES and not self.excuses.filters_moved():
            self._fail(f"I-21 {request.query or request.body}: refused with {code}")

    def _check_recorded(self, client_id: str, identity: ClientOrderId) -> None:
        """I-2: it was on disk before it came here. A stop or an exit may go first when the disk does not work."""
        self.checks["I-2"] += 1
        ledger = self.world.ledger
        is_there = ledger.has_order(client_id) and ledger.intent(identity.intent) is not None
        if is_there or (identity.leg is not Leg.ENTRY and self.excuses.disk_failed()):
            return
        self._fail(f"I-2 {client_id}: not on disk when it came")

    def _check_entry_allowed(self, symbol: str, identity: ClientOrderId) -> None:
        now_ms = self._now_ms
        self.checks.update(("I-14", "I-16"))
        unread = [path for path in READS if self._read_ms.get(path, -1) < self.connected_ms]
        if unread:
            self._fail(f"I-14 entry {identity}: {', '.join(unread)} not read since the user stream connected")
        age_ms = now_ms - self.price_shown_ms.get(symbol, 0)
        if age_ms > STALE_MS:
            self._fail(f"I-14 entry {identity}: no price of {symbol} was shown for {age_ms} ms")
        latched, doubtful_now = self.world.ledger.halted(), self.world.ledger.in_doubt()
        for (scope, reason), since_ms in self._latched_ms.items():
            if (scope, reason) in latched and scope in ("*", symbol) and now_ms - since_ms > LATCH_GRACE_MS:
                number = "I-16" if reason == "kill" else "I-14"
                self._fail(f"{number} entry {identity}: {reason} of {scope} stands since {now_ms - since_ms} ms")
        for (doubtful, intent), since_ms in self._doubtful_ms.items():
            if (
                (doubtful, intent) in doubtful_now
                and doubtful == symbol
                and intent != identity.intent
                and now_ms - since_ms > LATCH_GRACE_MS
            ):
                self._fail(f"I-14 entry {identity}: intent {intent} on {symbol} is in doubt")
        self._check_pause(f"entry {identity}")

    def _check_pause(self, what: str) -> None:
        self.checks["I-18"] += 1
        paused = self.excuses.paused_until_ms
        if self.excuses.paused_from_ms + LATCH_GRACE_MS < self._now_ms < paused - 1_000:
            self._fail(f"I-18 {what}: {paused - self._now_ms} ms before the venue's Retry-After had passed")

    def on_connection(self, category: Category) -> None:
        if category is Category.PRIVATE:
            self.connected_ms = self._now_ms

    def on_price_sent(self, symbol: str) -> None:
        self.price_shown_ms[symbol] = self._now_ms

    # -- what the exchange does ---------------------------------------------------------------------------------------

    def on_events(self, events: list[ExchangeEvent]) -> None:
        for event in events:
            if isinstance(event, OrderEvent):
                self._on_order(event)
            elif isinstance(event, AlgoEvent):
                self._note_accepted(event.order.client_algo_id, event.order.algo_id)

    def _on_order(self, event: OrderEvent) -> None:
        order, fill = event.order, event.fill
        if not order.algo_id:
            self._note_accepted(order.client_order_id, order.order_id)
        if fill is None:
            return
        leg = (order.symbol, order.position_side)
        before = self.position[leg]
        after = before + fill.side.sign * fill.quantity
        self.position[leg] = after
        if order.client_order_id.startswith(HAND_PREFIX) and (not before or before * after < 0):
            self.foreign.add(order.symbol)
        is_foreign = order.symbol in self.foreign
        if order.symbol in self.foreign:
            self.world.foreign_trades.add((order.symbol, fill.trade_id))
        if not after:
            self.foreign.discard(order.symbol)
        identity = ClientOrderId.parse(order.client_order_id)
        if identity is not None and identity.leg is Leg.ENTRY and not order.algo_id:
            self.foreign.discard(order.symbol)  # one position of two owners from here on: it is the trader's to guard
            against = ZERO if is_foreign and self.excuses.covers(order.symbol) else before
            self._check_entry_fill(identity.intent, fill.quantity, against, fill.side.sign)
        elif not order.client_order_id.startswith(HAND_PREFIX):
            self.checks["I-7"] += 1
            if abs(after) > abs(before) or before * after < 0:
                self._fail(f"I-7 {order.symbol}: {order.client_order_id} grew or turned {before} to {after}")

    def _note_accepted(self, client_id: str, number: int) -> None:
        """I-1: one client id is one order."""
        if ClientOrderId.parse(client_id) is None:
            return
        self.checks["I-1"] += 1
        numbers = self._orders[client_id]
        numbers.add(number)
        if len(numbers) == 2:
            self._fail(f"I-1 {client_id}: became orders {sorted(numbers)}")

    def _check_entry_fill(self, intent: int, quantity: Decimal, before: Decimal, sign: int) -> None:
        self.checks.update(("I-3", "I-7"))
        self._entered[intent] += quantity
        row = self.world.ledger.intent(intent)
        if row is None:
            self._fail(f"I-2 intent {intent}: filled, but no row")
        elif self._entered[intent] > Decimal(row["quantity"]):
            self._fail(f"I-3 intent {intent}: {self._entered[intent]} of {row['quantity']}")
        if before * sign < 0:
            self._fail(f"I-7 intent {intent}: entered against a position of {before}")

    # -- what lasts -------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Look at what may hold for a while only. Called several times a second."""
        self.excuses.look()
        if not self.world.ledger_ready:
            return
        for text in self.world.ledger.take_wrong():
            self._fail(text)
        self.checks.update(("I-10", "I-12"))
        now_ms = self._now_ms
        latches = self.world.ledger.halted()
        self._latched_ms = {key: self._latched_ms.get(key, now_ms) for key in latches}
        self._doubtful_ms = {key: self._doubtful_ms.get(key, now_ms) for key in self.world.ledger.in_doubt()}
        self._check_stops()

    def _check_stops(self) -> None:
        held = {leg: q for leg, q in self.position.items() if q and leg[0] not in self.foreign}
        stops: dict[LegKey, int] = Counter()
        for algo in self.world.exchange.exchange.open_algos() if held else ():
            leg = (algo.symbol, algo.position_side)
            quantity = held.get(leg, ZERO)
            is_stop = algo.type is OrderType.STOP_MARKET and algo.status is AlgoStatus.NEW
            if is_stop and algo.side.sign * quantity < 0:
                stops[leg] += 1
                self.checks["I-6"] += 1
                if not algo.close_position and algo.quantity != abs(quantity):
                    self._fail(f"I-6 {algo.client_algo_id}: {algo.quantity} for a position of {quantity}")
        self.checks["I-4"] += len(held)
        self.checks["I-5"] += len(held)
        naked = {leg for leg in held if not stops[leg] and not self.excuses.covers(leg[0])}
        doubled = {leg for leg in held if stops[leg] > 1 and not self.excuses.covers(leg[0])}
        self._follow(naked, self._naked_since, NAKED_MS_MAX, "I-4", "without a stop")
        self._follow(doubled, self._doubled_since, REPLACE_MS_MAX, "I-5", "with more than one stop")

    def _follow(self, legs: set[LegKey], since: dict[LegKey, int], most_ms: int, number: str, what: str) -> None:
        now_ms = self._now_ms
        for leg in set(since) - legs:
            del since[leg]
        for leg in legs:
            began = since.setdefault(leg, now_ms)
            if now_ms - began > most_ms:
                self._fail(f"{number} {leg[0]}: {self.position[leg]} {what} for {now_ms - began} ms")
                since[leg] = now_ms + 3_600_000
