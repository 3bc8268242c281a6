"""The private state: everything that a restart must bring back, and the record of what changed.

Rows are changed only through the methods here and the services of this package, which call `touch`; so the
journal hears of every change. Indexes (by client id, by symbol) are derived and rebuilt on restore.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from core.enums import MarginType, PositionSide
from simulator.engine.orders import ZERO, AlgoOrder, Income, PlainOrder, Trade

OrderT = TypeVar("OrderT", PlainOrder, AlgoOrder)
Row = PlainOrder | AlgoOrder | Trade | Income
PositionKey = tuple[str, PositionSide]

FIRST_ALGO_ID = 1_000_000_000_001
"""Algo ids start far from order ids, so that a mix-up of the two spaces cannot go unnoticed."""


@dataclass(slots=True)
class Position:
    """One position. `quantity` is signed; `cost` is the exact sum of price times quantity of what is open.

    `fees` are the commissions of the open part (for the break-even price), `realised` the profit before fees
    since the account began. `isolated_wallet` is the part of the wallet set aside for it (0 in cross margin).
    """

    symbol: str
    side: PositionSide
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    fees: Decimal = ZERO
    realised: Decimal = ZERO
    isolated_wallet: Decimal = ZERO
    is_margin_called: bool = False
    update_time_ms: int = 0

    @property
    def sign(self) -> int:
        """+1 long, -1 short, 0 flat."""
        return (self.quantity > 0) - (self.quantity < 0)

    @property
    def entry_price(self) -> Decimal:
        return self.cost / abs(self.quantity) if self.quantity else ZERO

    @property
    def break_even_price(self) -> Decimal:
        """Price at which closing pays back cost and entry fees."""
        return (self.cost + self.sign * self.fees) / abs(self.quantity) if self.quantity else ZERO

    def unrealised(self, mark_price: Decimal) -> Decimal:
        """Return quantity times (mark minus entry), computed from the exact cost."""
        return self.quantity * mark_price - self.sign * self.cost


@dataclass(slots=True)
class Wallet:
    """The margin asset. Identity: wallet = deposits + Σ realised - Σ commissions + Σ funding, to the last digit."""

    asset: str
    balance: Decimal = ZERO
    update_time_ms: int = 0


@dataclass(slots=True)
class SymbolSettings:
    symbol: str
    leverage: int
    margin_type: MarginType = MarginType.CROSSED


@dataclass(slots=True)
class AccountSettings:
    is_hedge_mode: bool = False


@dataclass(slots=True)
class Counters:
    """Next id of each space, and the last funding time that was paid."""

    order_id: int = 1
    algo_id: int = FIRST_ALGO_ID
    trade_id: int = 1
    tran_id: int = 1
    funded_until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One journal fact: the whole row after the change, as JSON-able values; None means the row is gone."""

    kind: str
    key: str
    value: dict[str, Any] | None


class State:
    """All private rows of one account."""

    def __init__(self, asset: str, *, is_journalled: bool = True) -> None:
        self._is_journalled = is_journalled
        self.wallet = Wallet(asset)
        self.settings = AccountSettings()
        self.counters = Counters()
        self.symbols: dict[str, SymbolSettings] = {}
        self.positions: dict[PositionKey, Position] = {}
        self._clear_rows()
        self._dirty: dict[tuple[str, str], Any] = {}

    def _clear_rows(self) -> None:
        self.orders: dict[int, PlainOrder] = {}
        self.algos: dict[int, AlgoOrder] = {}
        self.trades: list[Trade] = []
        self.incomes: list[Income] = []
        self.orders_by_symbol: defaultdict[str, list[PlainOrder]] = defaultdict(list)
        self.algos_by_symbol: defaultdict[str, list[AlgoOrder]] = defaultdict(list)
        self.trades_by_symbol: defaultdict[str, list[Trade]] = defaultdict(list)
        self.order_by_client_id: dict[tuple[str, str], PlainOrder] = {}
        self.algo_by_client_id: dict[str, AlgoOrder] = {}

    def touch(self, row: Any) -> None:
        """Note that `row` is new or changed."""
        if self._is_journalled:
            self._dirty[_identity(row)] = row

    def position(self, symbol: str, side: PositionSide) -> Position:
        """Return the position row, made flat at first use."""
        key = (symbol, side)
        found = self.positions.get(key)
        if found is None:
            found = self.positions[key] = Position(symbol, side)
        return found

    def set_aside(self) -> Decimal:
        """Return the part of the wallet that isolated positions have to themselves."""
        isolated = ZERO
        for position in self.positions.values():
            isolated += position.isolated_wallet
        return isolated

    def add(self, row: Row) -> None:
        """Store a new row, index it and note it for the journal."""
        self._index(row)
        if self._is_journalled:
            self._dirty[_identity(row)] = row

    def prune(self, is_kept: Callable[[Row], bool]) -> None:
        """Drop the rows that `is_kept` denies, with their index entries, and tell the journal."""
        rows: list[Row] = [*self.orders.values(), *self.algos.values(), *self.trades, *self.incomes]
        kept: list[Row] = []
        for row in rows:
            if is_kept(row):
                kept.append(row)
            elif self._is_journalled:
                self._dirty[_identity(row)] = None
        if len(kept) == len(rows):
            return
        self._clear_rows()
        for row in kept:
            self._index(row)

    def _index(self, row: Row) -> None:
        if type(row) is Income:
            self.incomes.append(row)
        elif type(row) is PlainOrder:
            self.orders[row.order_id] = row
            self.orders_by_symbol[row.symbol].append(row)
            self.order_by_client_id[(row.symbol, row.client_order_id)] = row
        elif type(row) is AlgoOrder:
            self.algos[row.algo_id] = row
            self.algos_by_symbol[row.symbol].append(row)
            self.algo_by_client_id[row.client_algo_id] = row
        elif type(row) is Trade:
            self.trades.append(row)
            self.trades_by_symbol[row.symbol].append(row)

    def take_changes(self) -> list[Change]:
        """Return every row changed since the last call, once each with its present value, oldest first."""
        changes = [
            Change(kind, key, None if row is None else msgspec.to_builtins(row))
            for (kind, key), row in self._dirty.items()
        ]
        self._dirty.clear()
        return changes

    def restore(self, changes: Iterable[Change]) -> None:
        """Replace everything by the rows of `changes` (later facts win); nothing is dirty afterwards."""
        latest: dict[tuple[str, str], dict[str, Any] | None] = {}
        for change in changes:
            latest[(change.kind, change.key)] = change.value
        self.__init__(self.wallet.asset, is_journalled=self._is_journalled)  # type: ignore[misc]
        rows = [(kind, msgspec.convert(value, _TYPES[kind])) for (kind, _), value in latest.items() if value]
        for kind, row in sorted(rows, key=lambda item: _order_of(*item)):
            self._restore_row(kind, row)

    def _restore_row(self, kind: str, row: Any) -> None:
        if kind in ("order", "algo", "trade", "income"):
            self._index(row)
        elif kind == "position":
            self.positions[(row.symbol, row.side)] = row
        elif kind == "symbol":
            self.symbols[row.symbol] = row
        else:
            setattr(self, kind, row)


_TYPES: dict[str, type[Any]] = {
    "wallet": Wallet,
    "settings": AccountSettings,
    "counters": Counters,
    "symbol": SymbolSettings,
    "position": Position,
    "order": PlainOrder,
    "algo": AlgoOrder,
    "trade": Trade,
    "income": Income,
}
_NUMBERS = {"order": "order_id", "algo": "algo_id", "trade": "trade_id", "income": "tran_id"}
_KINDS = {row_type: kind for kind, row_type in _TYPES.items()}


def _identity(row: Any) -> tuple[str, str]:
    kind = _KINDS[type(row)]
    attribute = _NUMBERS.get(kind, "symbol" if kind == "symbol" else "")
    if kind == "position":
        return kind, f"{row.symbol}:{row.side}"
    return kind, str(getattr(row, attribute)) if attribute else ""


def _order_of(kind: str, row: Any) -> tuple[str, int]:
    """Rows with a number come back in the order of their numbers, as they were made."""
    number = _NUMBERS.get(kind)
    return kind, getattr(row, number) if number else 0


def snapshot(order: OrderT) -> OrderT:
    """Return a copy that later changes do not reach."""
    return replace(order)
