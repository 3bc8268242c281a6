"""What one refresh shows, read in a few short sessions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from core.enums import Direction
from core.records import AccountStatRecord, DenialRecord, OrderRecord, SignalRecord, SignalStatus
from dashboard import words
from database.repository import DecisionView, PositionView, Repository, Result

FEED_ROWS, FEED_SCANNED = 9, 120
ORDER_ROWS = 12
CLOSED_ROWS = 12
CANDLES = 180
RANGES_MS = {"1 h": 3_600_000, "1 d": 86_400_000, "All": None}


@dataclass(frozen=True, slots=True)
class Overview:
    """The headline numbers. `win_rate` is a fraction, None before the first closed trade."""

    environment: str
    account: AccountStatRecord | None
    start_equity: Decimal | None
    day_pnl: Decimal | None
    unrealized_pnl: Decimal
    open_positions: int
    wins: int
    losses: int
    net_pnl: Decimal
    halts: tuple[str, ...]

    @property
    def win_rate(self) -> Decimal | None:
        decided = self.wins + self.losses
        return Decimal(self.wins) / decided if decided else None

    @property
    def drawdown(self) -> Decimal | None:
        """Distance from the peak of equity as a fraction of it."""
        if self.account is None or self.account.peak_equity <= 0:
            return None
        return max(Decimal(0), 1 - self.account.equity / self.account.peak_equity)


@dataclass(frozen=True, slots=True)
class FeedItem:
    """A signal or a denial, in words. `times` counts those of a symbol that say the same one after another."""

    time_ms: int
    symbol: str
    strategy: str
    direction: Direction | None
    status: SignalStatus
    text: str
    times: int = 1


def overview(repository: Repository) -> Overview:
    positions = repository.open_positions()
    results = repository.results_by_strategy()
    return Overview(
        environment=repository.environment(),
        account=repository.latest_account_stat(),
        start_equity=repository.first_equity(),
        day_pnl=repository.day_pnl(),
        unrealized_pnl=sum((p.unrealized_pnl or Decimal(0) for p in positions), Decimal(0)),
        open_positions=len(positions),
        wins=sum(result.wins for result in results),
        losses=sum(result.losses for result in results),
        net_pnl=sum((result.net_pnl for result in results), Decimal(0)),
        halts=tuple(
            f"{_scope(halt.scope)}: {words.humanised(halt.reason)} ({halt.detail})" for halt in repository.halts()
        ),
    )


def _scope(scope: str) -> str:
    return "All entries halted" if scope == "*" else f"{scope} halted"


def equity(repository: Repository, range_name: str) -> list[AccountStatRecord]:
    """The equity curve of the last hour, day or of all time, counted back from the newest valuation."""
    span_ms = RANGES_MS[range_name]
    newest = repository.latest_account_stat()
    if newest is None:
        return []
    return repository.equity_curve(None if span_ms is None else newest.event_time_ms - span_ms)


def positions(repository: Repository) -> list[PositionView]:
    return repository.open_positions()


def closed(repository: Repository) -> list[PositionView]:
    return repository.closed_positions(CLOSED_ROWS)


def orders(repository: Repository) -> list[OrderRecord]:
    return repository.orders(ORDER_ROWS)


def feed(repository: Repository) -> list[FeedItem]:
    """Signals and what became of them, with our own refusals in words, newest first."""
    denials = {denial.signal_id: denial for denial in repository.denials(FEED_SCANNED)}
    items = [
        _signal_item(record, denials.pop(record.signal.signal_id, None)) for record in repository.signals(FEED_SCANNED)
    ]
    items += [_denial_item(denial) for denial in denials.values()]
    return _without_repetition(sorted(items, key=lambda item: -item.time_ms))[:FEED_ROWS]


def _without_repetition(items: list[FeedItem]) -> list[FeedItem]:
    """Fold what a symbol says again and again into its newest: "a position is open already" comes with each candle."""
    kept: list[FeedItem] = []
    newest_of: dict[str, int] = {}
    for item in items:
        place = newest_of.get(item.symbol)
        if place is not None and _says_the_same(kept[place], item):
            kept[place] = replace(kept[place], times=kept[place].times + 1)
        else:
            newest_of[item.symbol] = len(kept)
            kept.append(item)
    return kept


def _says_the_same(one: FeedItem, other: FeedItem) -> bool:
    return (one.status, one.text) == (other.status, other.text) and one.status is SignalStatus.DENIED


def _signal_item(record: SignalRecord, denial: DenialRecord | None) -> FeedItem:
    signal = record.signal
    text = signal.reason
    if denial is not None:
        text = words.denial(denial.code, denial.context)
    elif record.denial_code is not None:
        text = words.denial(record.denial_code, {})
    status = SignalStatus.DENIED if denial is not None else record.status
    return FeedItem(signal.event_time_ms, signal.symbol, signal.strategy, signal.direction, status, text)


def _denial_item(denial: DenialRecord) -> FeedItem:
    text = words.denial(denial.code, denial.context)
    return FeedItem(denial.event_time_ms, denial.symbol, denial.strategy, None, SignalStatus.DENIED, text)


def by_strategy(repository: Repository) -> list[Result]:
    return _best_first(repository.results_by_strategy())


def by_symbol(repository: Repository) -> list[Result]:
    return _best_first(repository.results_by_symbol())


def _best_first(results: list[Result]) -> list[Result]:
    """Those with a closed trade, by their net result."""
    return sorted((result for result in results if result.trades), key=lambda result: -result.net_pnl)


def last_decision(repository: Repository, symbol: str) -> DecisionView | None:
    return next(iter(repository.decisions(symbol)), None)
