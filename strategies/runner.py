"""Runs the strategies on closed candles: signals go to the bus, every evaluation leaves a verdict.

The core is synchronous and costs some microseconds a candle: plain floats, no pandas. Only a full bus makes it wait.
"""

from __future__ import annotations

import asyncio
import logging
from array import array
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from core.candle import ClosedCandle
from core.events import CandleClosed
from core.ports import Later, RecordWriter, at_once
from core.records import CandleRecord, DecisionRecord, Record
from core.signal import Signal, Verdict, signal_id_for
from strategies.base import NO_ENTRY, SIGNAL, Decision, Entry, Refusal
from strategies.evaluate import Evaluator
from strategies.loader import ActiveStrategy, StrategyBook
from strategies.series import Phase
from strategies.why import LATE_CANDLE, STRATEGY_ERROR

logger = logging.getLogger(__name__)

Row = tuple[float, float, float, float, float, int]
"""open, high, low, close, volume, open time in UTC milliseconds."""

_WIDTH = 6
_LEAST_CANDLES = 1_500

NOTES_A_TURN = 100
"""Evaluations written down at a time: some milliseconds."""
NOTES_MAX = 2_000
"""More than this do not wait for their turn."""


@dataclass(frozen=True, slots=True)
class StrategyFault:
    """A strategy raised. It is told once; later candles are tried again."""

    strategy: str
    symbol: str
    interval: str
    candle_open_time_ms: int
    error: str


class _Memory:
    """The newest candles of one symbol and interval as packed floats, so that indicators can be built anew."""

    __slots__ = ("_floats", "capacity")

    def __init__(self) -> None:
        self._floats = array("d")
        self.capacity = _LEAST_CANDLES

    def append(self, row: Row) -> None:
        floats = self._floats
        floats.extend(row)
        # Cutting in lumps keeps the cost of one candle constant.
        if len(floats) > _WIDTH * (self.capacity + self.capacity // 4):
            del floats[: len(floats) - _WIDTH * self.capacity]

    def rows(self) -> Iterator[Row]:
        floats = iter(self._floats)
        for open_, high, low, close, volume, time in zip(*[floats] * _WIDTH, strict=True):
            yield open_, high, low, close, volume, int(time)


class _Desk:
    """What runs on one symbol and interval."""

    __slots__ = ("evaluators", "faulty", "last_open_time_ms", "memory", "version")

    def __init__(self) -> None:
        self.version = 0
        self.last_open_time_ms = -1
        self.memory = _Memory()
        self.evaluators: list[tuple[ActiveStrategy, Evaluator]] = []
        self.faulty: set[str] = set()

    def refresh(self, active: tuple[ActiveStrategy, ...], version: int) -> None:
        """Take over the book's newest parameters. Indicators that stay the same keep their state."""
        known = {old.name: (old, evaluator) for old, evaluator in self.evaluators}
        self.evaluators = []
        for new in active:
            old, evaluator = known.get(new.name, (None, None))
            if evaluator is None or (old != new and not evaluator.adopt(new.make())):
                evaluator = self._rebuilt(new)
            self.evaluators.append((new, evaluator))
            self.memory.capacity = max(self.memory.capacity, evaluator.history.most_candles(new.params.interval))
        self.faulty.clear()
        self.version = version

    def _rebuilt(self, active: ActiveStrategy) -> Evaluator:
        evaluator = Evaluator(active.make())
        for row in self.memory.rows():
            evaluator.update(*row)
            with suppress(Exception):  # a strategy that fails on a candle was reported when it was live
                evaluator.skip()
        return evaluator


_Note = tuple[CandleClosed, Phase, list[tuple[str, Decision]]]
"""A candle and what each strategy, by name, decided on it."""


class StrategyRunner:
    """Evaluates every strategy of the book on each closed candle.

    Writes a `CandleRecord` for each 1m candle (of the warm-up only when `record_warm_up`) and a `DecisionRecord` for
    each evaluation but those of the warm-up: `later`, because hundreds of candles close in one moment and their orders
    wait for the last of them; `flush` writes the rest. Edited parameters count from the next candle on. A strategy that
    raises refuses that candle, is logged, and told to `on_fault` once until its parameters change.
    """

    def __init__(
        self,
        book: StrategyBook,
        writer: RecordWriter,
        offer: Callable[[Sequence[Signal]], Sequence[Signal]],
        publish: Callable[[Sequence[Signal]], Awaitable[None]],
        *,
        record_warm_up: bool = True,
        on_fault: Callable[[StrategyFault], None] | None = None,
        later: Later = at_once,
    ) -> None:
        self._book = book
        self._writer = writer
        self._offer, self._publish = offer, publish
        self._record_warm_up = record_warm_up
        self._on_fault = on_fault
        self._desks: dict[tuple[str, str], _Desk] = {}
        self._outbox: deque[Signal] = deque()
        self._has_signals = asyncio.Event()
        self._later = later
        self._notes: deque[_Note] = deque()
        self._is_scheduled = False
        self.evaluations = 0
        self.signals = 0

    def handle(self, event: CandleClosed, phase: Phase = Phase.LIVE) -> None:
        """Evaluate a candle and offer its signals; those refused wait for `run`. The callback for `CandleFeed`."""
        signals: Sequence[Signal] = self.on_candle(event, phase)
        if signals and not self._outbox:
            signals = self._offer(signals)
        if signals:
            self._outbox.extend(signals)
            self._has_signals.set()

    async def run(self, beat: Callable[[], None] | None = None) -> None:
        """Publish queued signals in order until cancelled. `beat` is called at least once a second."""
        while True:
            if beat is not None:
                beat()
            try:
                async with asyncio.timeout(1.0):
                    await self._has_signals.wait()
            except TimeoutError:
                continue
            self._has_signals.clear()
            while self._outbox:  # what is being published stays in line, so that no newer signal overtakes it
                await self._publish([self._outbox[0]])
                self._outbox.popleft()

    @property
    def depth(self) -> int:
        """Signals that wait to be published."""
        return len(self._outbox)

    def on_candle(self, event: CandleClosed, phase: Phase = Phase.LIVE) -> list[Signal]:
        """Evaluate one closed candle of any interval, note what came of it, and return the signals.

        Candles of a symbol and interval must come in order; one that is not newer than the last is ignored.
        """
        candle = event.candle
        desk = self._desk(candle.symbol, candle.interval)
        if candle.open_time_ms <= desk.last_open_time_ms:
            return []
        desk.last_open_time_ms = candle.open_time_ms
        row = _row_of(candle)
        signals: list[Signal] = []
        decisions: list[tuple[str, Decision]] = []
        for active, evaluator in desk.evaluators:
            decision = self._decide(desk, active, evaluator, row, phase)
            if phase is Phase.WARM_UP:
                continue
            if phase is Phase.LIVE and isinstance(decision, Entry):
                signals.append(_signal(active, evaluator, decision, event))
            decisions.append((active.name, decision))
        desk.memory.append(row)
        self.signals += len(signals)
        self._note(event, phase, decisions)
        return signals

    def flush(self) -> None:
        """Write down everything that waits."""
        while self._notes:
            self._write(NOTES_MAX)

    def _note(self, event: CandleClosed, phase: Phase, decisions: list[tuple[str, Decision]]) -> None:
        if phase is Phase.WARM_UP and not self._record_warm_up:
            return
        self._notes.append((event, phase, decisions))
        if phase is Phase.WARM_UP or len(self._notes) > NOTES_MAX:
            self.flush()
        else:
            self._schedule()

    def _schedule(self) -> None:
        if self._notes and not self._is_scheduled:
            self._is_scheduled = True
            self._later(self._turn)

    def _turn(self) -> None:
        self._is_scheduled = False
        try:
            self._write(NOTES_A_TURN)
        finally:
            self._schedule()

    def _write(self, notes_max: int) -> None:
        """Write down the oldest notes, each by itself: a row that the database refuses takes no other candle along."""
        for _ in range(min(notes_max, len(self._notes))):
            event, phase, decisions = self._notes.popleft()
            records: list[Record] = [CandleRecord(event.candle)] if event.candle.interval == "1m" else []
            records += [DecisionRecord(_verdict(name, decision, event, phase)) for name, decision in decisions]
            if records:
                self._writer.submit(records)

    def _desk(self, symbol: str, interval: str) -> _Desk:
        key = (symbol, interval)
        desk = self._desks.get(key)
        if desk is None:
            desk = self._desks[key] = _Desk()
        if desk.version != self._book.version:
            desk.refresh(self._book.on(symbol, interval), self._book.version)
        return desk

    def _decide(self, desk: _Desk, active: ActiveStrategy, evaluator: Evaluator, row: Row, phase: Phase) -> Decision:
        try:
            evaluator.update(*row)
            if phase is Phase.WARM_UP:
                evaluator.skip()
                return None
            self.evaluations += 1
            return evaluator.decide()
        except Exception as error:  # a user's strategy may raise anything, and must not take the others with it
            self._report(desk, active, row[-1], error)
            return Refusal(STRATEGY_ERROR)

    def _report(self, desk: _Desk, active: ActiveStrategy, open_time_ms: int, error: Exception) -> None:
        if active.name in desk.faulty:
            return
        desk.faulty.add(active.name)
        logger.exception("strategy %s failed on %s", active.name, active.symbol)
        if self._on_fault is not None:
            text = f"{type(error).__name__}: {error}"
            self._on_fault(StrategyFault(active.name, active.symbol, active.params.interval, open_time_ms, text))


def _row_of(candle: ClosedCandle) -> Row:
    return (
        float(candle.open),
        float(candle.high),
        float(candle.low),
        float(candle.close),
        float(candle.volume),
        candle.open_time_ms,
    )


def _signal(active: ActiveStrategy, evaluator: Evaluator, entry: Entry, event: CandleClosed) -> Signal:
    candle = event.candle
    return Signal(  # by position, field by field: with names it would cost twice as much
        signal_id_for(active.name, candle.symbol, candle.interval, candle.open_time_ms),
        active.name,
        candle.symbol,
        candle.interval,
        entry.direction,
        candle.open_time_ms,
        candle.close,
        entry.exits,
        event.event_time_ms,
        event.received_time_ms,
        entry.given or entry.template,
        {name: float(value) for name, value in vars(evaluator.values).items() if isinstance(value, float)},
        event.received_ns,
        active.params.max_holding_ms,
        None if entry.given else entry.numbers,
    )


def _verdict(strategy: str, decision: Decision, event: CandleClosed, phase: Phase) -> Verdict:
    candle = event.candle
    if isinstance(decision, Entry):
        gate = SIGNAL if phase is Phase.LIVE else LATE_CANDLE
        numbers = {**decision.numbers, "side": float(decision.direction.sign)}
    else:
        gate, numbers = (decision.gate, dict(decision.numbers)) if decision is not None else (NO_ENTRY, {})
    return Verdict(strategy, candle.symbol, candle.interval, candle.open_time_ms, event.event_time_ms, gate, numbers)
