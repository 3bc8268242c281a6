"""Nothing lost, nothing grown: the exchange's books against the file, and what became longer in memory."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from benchmarks.soak_world import DEPOSIT, START_MS, SoakWorld
from core.candle import DAY_MS
from core.enums import AlgoStatus, OrderType

ZERO = Decimal(0)
OWN_PACKAGES = ("executor.", "strategies.", "alerts.", "core.")


class SoakCheck:
    """Looks at the world from the exchange's side. `problems` holds what is wrong, `checks` how much was compared."""

    def __init__(self, world: SoakWorld) -> None:
        self.world = world
        self.problems: list[str] = []
        self.checks = 0
        self._naked: dict[str, int] = {}

    def look(self) -> None:
        """Complain of a position without a stop at three looks (a minute apart) in a row; no fault lasts so long."""
        exchange = self.world.exchange
        held = {p.symbol for p in exchange.positions() if p.quantity != 0}
        stops = {
            a.symbol
            for a in exchange.open_algos()
            if a.type is OrderType.STOP_MARKET and a.status is not AlgoStatus.TRIGGERED
        }
        self.checks += len(held)
        self._naked = {symbol: self._naked.get(symbol, 0) + 1 for symbol in held - stops}
        for symbol, looks in self._naked.items():
            if looks == 3:
                self._wrong(f"{symbol}: open without a stop for {looks} minutes")

    def compare_day(self, start_ms: int, end_ms: int) -> None:
        """Compare every fill of a span that lies long enough back, and that no order was accepted twice."""
        world = self.world
        world.disk.settle()
        real = {
            (t.symbol, t.trade_id): (t.price, t.quantity, t.commission, t.realised_pnl)
            for symbol in world.symbols
            for t in _all_trades(world, symbol, start_ms, end_ms)
        }
        rows = world.disk.query(
            "select symbol, trade_id, price, quantity, fee, realized_pnl from fills "
            "where event_time >= ? and event_time < ? and not correction",
            start_ms,
            end_ms,
        )
        booked = {(r[0], r[1]): tuple(Decimal(value) for value in r[2:]) for r in rows}
        self.checks += len(real)
        wrong = sorted(key for key in {*real, *booked} if real.get(key) != booked.get(key))
        if wrong:
            self._wrong(
                f"{len(wrong)} fills differ, first {wrong[0]}: {real.get(wrong[0])}, file {booked.get(wrong[0])}"
            )
        for client_id, times in world.accepted.items():
            if times > 1:
                self._wrong(f"{client_id}: accepted {times} times")
        self.checks += len(world.accepted)
        world.accepted.clear()

    def compare_end(self) -> None:
        """After a calm end everything agrees, to the last digit."""
        world = self.world
        world.disk.settle()
        query = world.disk.query
        fills = query("select realized_pnl, fee from fills")
        income = query("select amount from income where income_type <> 'TRANSFER'")
        money = DEPOSIT + sum((Decimal(r[0]) - Decimal(r[1]) for r in fills), ZERO)
        money += sum((Decimal(r[0]) for r in income), ZERO)
        if money != world.exchange.wallet_balance:
            self._wrong(f"money: rows {money}, wallet {world.exchange.wallet_balance}")
        held = {p.symbol: p.quantity for p in world.exchange.positions() if p.quantity != 0}
        rows: dict[str, Decimal] = {}
        for symbol, direction, quantity in query("select symbol, direction, quantity from positions"):
            sign = 1 if str(direction).lower() == "long" else -1
            rows[symbol] = rows.get(symbol, ZERO) + sign * Decimal(quantity)
        if {s: q for s, q in rows.items() if q} != held:
            self._wrong(f"positions: rows { ({s: q for s, q in rows.items() if q}) }, exchange {held}")
        for state, count in query("select state, count(*) from intents group by state"):
            if state.lower() in ("intent", "submitted", "in_doubt") and count:
                self._wrong(f"{count} intents are still {state}")
        minutes = (world.now_ms - START_MS) // 60_000
        (candles,) = query("select count(*) from candles_1m")[0]
        if candles != minutes * len(world.symbols):
            self._wrong(f"candles: {candles} rows of {minutes * len(world.symbols)}")
        if query("pragma integrity_check") != [("ok",)]:
            self._wrong("the database file is damaged")
        if not world.core.view().is_reconciled:
            self._wrong("not reconciled at the end")
        dropped = world.disk.rows_dropped + world.disk.database.writer.rows_dropped
        if dropped:
            self._wrong(f"{dropped} rows were dropped")
        self.checks += len(fills) + len(rows) + candles

    def _wrong(self, text: str) -> None:
        self.problems.append(f"day {(self.world.now_ms - START_MS) / DAY_MS:.2f}: {text}")


def _all_trades(world: SoakWorld, symbol: str, start_ms: int, end_ms: int) -> list[Any]:
    found: list[Any] = []
    while True:
        page = world.exchange.user_trades(symbol, start_ms=start_ms, end_ms=end_ms - 1, limit=1_000)
        known = {t.trade_id for t in found}
        new = [t for t in page if t.trade_id not in known]
        found += new
        if len(page) < 1_000 or not new:
            return found
        start_ms = page[-1].time_ms


def container_sizes(*roots: object) -> dict[str, int]:
    """Return how many entries every collection has that can be reached from our own objects, by its path.

    Objects inside collections are summed under one path, so that a list a symbol shows as one figure.
    """
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    waiting: deque[tuple[str, object]] = deque((type(root).__name__, root) for root in roots)
    while waiting:
        path, value = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Mapping | list | set | frozenset | deque):
            sizes[path] = sizes.get(path, 0) + len(value)
            inner = value.values() if isinstance(value, Mapping) else value
            waiting.extend((f"{path}[]", item) for item in list(inner))
        elif type(value).__module__.startswith(OWN_PACKAGES):
            waiting.extend((f"{path}.{name}", item) for name, item in _attributes(value))
    return sizes


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    names = {*getattr(value, "__dict__", {})}
    if dataclasses.is_dataclass(value):
        names |= {field.name for field in dataclasses.fields(value)}
    for kind in type(value).__mro__:
        slots = getattr(kind, "__slots__", ())
        names |= {slots} if isinstance(slots, str) else set(slots)
    for name in sorted(names):
        if hasattr(value, name):
            yield name, getattr(value, name)
