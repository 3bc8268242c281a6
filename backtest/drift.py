"""Where a recorded day of trading and its replay part: which trades differ, why, and what that cost.

Pure: `compare` is handed the trades of both and what is known about the signals, and returns every difference with its
cause. The cost of a trade is what it brought live less what it brought in the replay (quote asset, fees included); a
trade that only one side made costs all that it brought. Of a trade that both made the cost is split exactly:

    size    (live quantity - replayed quantity) x replayed move                       risk
    entry   live quantity x (replayed entry - live entry), in the trade's direction   latency or fill
    exit    live quantity x (live exit - replayed exit), in the trade's direction     fill, or why it left otherwise
    rest    funding: risk on another size, latency where only one of both held then, else data; fees: fill
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from backtest.candles import MINUTE_MS
from backtest.drift_causes import OPEN_MEANWHILE, Cause, cause_of_denial, words_of
from backtest.trades import STILL_OPEN
from core.enums import Direction
from core.records import ExitReason
from strategies.why import LATE_CANDLE

ZERO = Decimal(0)
LATE_MS = 1_000
"""An entry that fills later than this after the close that decided it was late; one in time met another price."""
_BY_OTHERS = frozenset(
    {
        ExitReason.STOP_FAILED,
        ExitReason.KILL,
        ExitReason.FLATTEN,
        ExitReason.EXTERNAL,
        ExitReason.LIQUIDATION,
        ExitReason.ADL,
        ExitReason.SETTLEMENT,
        ExitReason.RECONCILED,
    }
)


class Key(NamedTuple):
    """What a trade is known by on both sides: who decided, where, and at which close (UTC milliseconds)."""

    decided_ms: int
    symbol: str
    strategy: str


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade of either side. `pnl` is net. `entered_ms` and `exited_ms` of a replay are the open of their candle."""

    key: Key
    direction: Direction
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal | None
    entered_ms: int
    exited_ms: int | None
    exit_reason: str
    pnl: Decimal
    funding: Decimal = ZERO
    stop_price: Decimal | None = None
    target_price: Decimal | None = None
    ambiguous: bool = False

    def has_same_outcome(self, other: Trade) -> bool:
        """Whether both entered and left with the same size, at the same prices, for the same reason."""
        return (self.quantity, self.entry_price, self.exit_price, self.exit_reason, self.pnl) == (
            other.quantity,
            other.entry_price,
            other.exit_price,
            other.exit_reason,
            other.pnl,
        )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about signals besides the trades.

    `live` holds the live signals that led to no trade with the code that refused them ("" where none did);
    `gates` the live verdict on a candle (absent: the trader did not judge it); `denied` the replay's refusals;
    `changed` the trades that other limits or parameters were in force for than the replay used.
    """

    live: Mapping[Key, str] = field(default_factory=dict)
    gates: Mapping[Key, str] = field(default_factory=dict)
    denied: Mapping[Key, str] = field(default_factory=dict)
    changed: frozenset[Key] = frozenset()


class Part(NamedTuple):
    """A share of a difference: what it cost (below zero: live was worse), why, and in words."""

    cause: Cause
    cost: Decimal
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A trade that differs. Its `cause` is that of its largest part."""

    key: Key
    live: Trade | None
    replay: Trade | None
    parts: tuple[Part, ...]

    @property
    def cost(self) -> Decimal:
        return sum((part.cost for part in self.parts), ZERO)

    @property
    def cause(self) -> Cause:
        return max(self.parts, key=lambda part: abs(part.cost)).cause


@dataclass(frozen=True, slots=True)
class Drift:
    """How a day and its replay compare; net results of both over the trades that were compared."""

    agreed: int
    differences: tuple[Difference, ...]
    live_pnl: Decimal
    replay_pnl: Decimal
    still_open: int = 0

    @property
    def costs(self) -> dict[Cause, Decimal]:
        """Cost by cause; the sum is `live_pnl - replay_pnl`."""
        costs = dict.fromkeys(Cause, ZERO)
        for difference in self.differences:
            for part in difference.parts:
                costs[part.cause] += part.cost
        return costs

    def count(self, cause: Cause) -> int:
        """Return how many trades differ mostly for this cause."""
        return sum(difference.cause is cause for difference in self.differences)


def compare(live: Sequence[Trade], replayed: Sequence[Trade], evidence: Evidence) -> Drift:
    """Match the trades of both sides by the signal behind them and explain each that differs.

    Live trades that are still open are counted and left aside, with their replay.
    """
    ours, theirs = {trade.key: trade for trade in live}, {trade.key: trade for trade in replayed}
    unfinished = {key for key, trade in ours.items() if trade.exit_price is None}
    found: dict[Key, Difference] = {}
    agreed = 0
    for key in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(key), theirs.get(key)
        if key in unfinished:
            continue
        if mine is not None and other is not None:
            if mine.has_same_outcome(other):
                agreed += 1
                continue
            parts = _split(mine, other, is_changed=key in evidence.changed)
        elif mine is not None:
            cause, text = _only_live(key, replayed, evidence, found)
            parts = (Part(cause, mine.pnl, text),)
        else:
            assert other is not None
            cause, text = _only_replayed(key, live, evidence, found)
            parts = (Part(cause, -other.pnl, text),)
        found[key] = Difference(key, mine, other, parts)
    return Drift(
        agreed,
        tuple(found.values()),
        sum((trade.pnl for key, trade in ours.items() if key not in unfinished), ZERO),
        sum((trade.pnl for key, trade in theirs.items() if key not in unfinished), ZERO),
        len(unfinished),
    )


# --- trades of one side only ------------------------------------------------------------------------------------------


def _only_live(
    key: Key, replayed: Sequence[Trade], evidence: Evidence, found: Mapping[Key, Difference]
) -> tuple[Cause, str]:
    if key in evidence.changed:
        return Cause.PARAMETERS, "limits or parameters had been changed"
    if key in evidence.denied:
        code = evidence.denied[key]
        return cause_of_denial(code), f"the replay denied it: {words_of(code)}"
    holder = _holder(key, replayed, MINUTE_MS)
    if holder is not None:
        return _consequence(holder, found, "the replay still held an earlier trade")
    return Cause.DATA, "the stored candles give no signal there: the trader saw other candles, or more of them"


def _only_replayed(
    key: Key, live: Sequence[Trade], evidence: Evidence, found: Mapping[Key, Difference]
) -> tuple[Cause, str]:
    if key in evidence.changed:
        return Cause.PARAMETERS, "limits or parameters had been changed"
    code = evidence.live.get(key)
    if code is None:
        return _without_signal(evidence.gates.get(key))
    if code == OPEN_MEANWHILE:
        holder = _holder(key, live, 0)
        if holder is not None:
            return _consequence(holder, found, "the trader still held an earlier trade")
        return Cause.LATENCY, "the trader was still busy with an earlier trade"
    if code:
        return cause_of_denial(code), f"the trader was denied it: {words_of(code)}"
    return Cause.FILL, "its order was sent and not filled"


def _without_signal(gate: str | None) -> tuple[Cause, str]:
    """Explain a candle on which the trader did not signal, by the verdict that it left."""
    if gate is None:
        return Cause.DATA, "the trader did not judge this candle"
    if gate == LATE_CANDLE:
        return Cause.LATENCY, "the candle came too late to act on"
    return Cause.DATA, f"the trader saw no signal in its candles ({gate})"


def _holder(key: Key, trades: Sequence[Trade], exit_lasts_ms: int) -> Trade | None:
    """Return the trade that held the symbol when `key` was decided; `exit_lasts_ms`: how long its exit's candle is."""
    for trade in trades:
        if trade.key.symbol == key.symbol and trade.entered_ms <= key.decided_ms and trade.key < key:
            ended_ms = None if trade.exited_ms is None else trade.exited_ms + exit_lasts_ms
            if ended_ms is None or ended_ms > key.decided_ms:
                return trade
    return None


def _consequence(holder: Trade, found: Mapping[Key, Difference], text: str) -> tuple[Cause, str]:
    """A trade that was missed because an earlier one lasted longer has the earlier one's cause."""
    earlier = found.get(holder.key)
    return (Cause.LATENCY if earlier is None else earlier.cause), text


# --- trades of both sides ---------------------------------------------------------------------------------------------


def _split(live: Trade, replay: Trade, *, is_changed: bool) -> tuple[Part, ...]:
    """Return the parts of a difference; they add up to what it cost, to the last digit."""
    cost = live.pnl - replay.pnl
    if is_changed:
        return (Part(Cause.PARAMETERS, cost, "limits or parameters had been changed"),)
    sign = live.direction.sign
    parts: list[Part] = []
    if live.quantity != replay.quantity and replay.exit_price is not None:
        move = sign * (replay.exit_price - replay.entry_price)
        text = f"size {live.quantity} instead of {replay.quantity}"
        parts.append(Part(Cause.RISK, (live.quantity - replay.quantity) * move, text))
    entry = _entry(live, replay)
    if live.entry_price != replay.entry_price:
        parts.append(entry)
    parts += _exit(live, replay, entry.cause)
    if live.funding != replay.funding:
        parts.append(_funding(live, replay, entry.cause))
    rest = cost - sum((part.cost for part in parts), ZERO)
    if rest or not parts:
        parts.append(Part(Cause.FILL, rest, "fees"))
    return tuple(parts)


def _entry(live: Trade, replay: Trade) -> Part:
    cost = live.direction.sign * live.quantity * (replay.entry_price - live.entry_price)
    text = f"entry at {live.entry_price:f} instead of {replay.entry_price:f}"
    late_ms = live.entered_ms - live.key.decided_ms
    if late_ms > LATE_MS:
        return Part(Cause.LATENCY, cost, f"{text}, {late_ms / 1000:.1f} s after the close")
    return Part(Cause.FILL, cost, text)


def _funding(live: Trade, replay: Trade, entry_cause: Cause) -> Part:
    cost = live.funding - replay.funding
    if not _lasted_alike(live, replay):
        text = f"funding {live.funding:f} instead of {replay.funding:f}: they were not held at the same times"
        same_exit = live.exit_reason == replay.exit_reason or replay.exit_price is None
        return Part(Cause.LATENCY if same_exit else _cause_of_other_exit(live, replay, entry_cause), cost, text)
    if live.quantity != replay.quantity and live.funding and replay.funding:
        return Part(Cause.RISK, cost, f"funding {live.funding:f} instead of {replay.funding:f} on another size")
    return Part(Cause.DATA, cost, f"funding {live.funding:f} instead of {replay.funding:f}: its rate was not stored")


def _lasted_alike(live: Trade, replay: Trade) -> bool:
    """Whether both entered in the same minute and left in the same one."""
    return replay.entered_ms == _minute(live.entered_ms) and replay.exited_ms == _minute(live.exited_ms)


def _minute(time_ms: int | None) -> int | None:
    return None if time_ms is None else time_ms - time_ms % MINUTE_MS


def _exit(live: Trade, replay: Trade, entry_cause: Cause) -> list[Part]:
    """Explain the exit: a level that moved with the entry has the entry's cause, what is left is the fill's."""
    assert live.exit_price is not None
    if replay.exit_price is None:
        return []
    sign, quantity = live.direction.sign, live.quantity
    gap = live.exit_price - replay.exit_price
    left = f"left at {live.exit_price:f} ({live.exit_reason}) instead of {replay.exit_price:f} ({replay.exit_reason})"
    if live.exit_reason != replay.exit_reason:
        return [Part(_cause_of_other_exit(live, replay, entry_cause), sign * quantity * gap, left)]
    before, after = _level(replay), _level(live)
    moved = ZERO if before is None or after is None else after - before
    parts = []
    if moved:
        parts.append(Part(entry_cause, sign * quantity * moved, f"{live.exit_reason} moved with the entry"))
    if gap - moved:
        parts.append(Part(_cause_of_exit_price(live, replay), sign * quantity * (gap - moved), left))
    return parts


def _cause_of_exit_price(live: Trade, replay: Trade) -> Cause:
    """A timed exit in another minute was late; everything else was filled at another price."""
    assert live.exited_ms is not None and replay.exited_ms is not None
    in_another_minute = _minute(live.exited_ms) != replay.exited_ms
    return Cause.LATENCY if live.exit_reason == ExitReason.MAX_HOLDING and in_another_minute else Cause.FILL


def _cause_of_other_exit(live: Trade, replay: Trade, entry_cause: Cause) -> Cause:
    if live.exit_reason in _BY_OTHERS:
        return Cause.RISK
    if replay.ambiguous:
        return Cause.FILL  # the candle touched both levels: which one came first only the market knew
    if replay.exit_reason == STILL_OPEN:
        return Cause.DATA
    return entry_cause if live.entry_price != replay.entry_price else Cause.DATA


def _level(trade: Trade) -> Decimal | None:
    """Return the price that the exit waited for."""
    levels = {ExitReason.STOP: trade.stop_price, ExitReason.TARGET: trade.target_price}
    return levels.get(trade.exit_reason)  # type: ignore[call-overload, no-any-return]
