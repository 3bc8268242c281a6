"""The runner: verdicts, signals, warm-up, edited parameters, and strategies that fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from core.enums import Direction
from core.records import CandleRecord, DecisionRecord
from core.signal import Signal
from strategies.loader import StrategyBook
from strategies.runner import NOTES_A_TURN, NOTES_MAX, StrategyFault, StrategyRunner
from strategies.series import Phase
from tests.unit.strategies.support import MINUTE, START, Writer, candle, closed, walk

FADE = """
from decimal import Decimal
from pydantic import Field
from strategies.base import GatedStrategy, percent_exits
from strategies.conditions import Gate, Setup
from strategies.indicators import Sma
from strategies.params import StrategyParams

class Params(StrategyParams):
    window: int = Field(3, ge=2)
    far: float = 1.0

class Fade(GatedStrategy):
    name = "fade"
    Params = Params
    def indicators(self):
        return {"mean": Sma(self.params.window)}
    def gates(self):
        return [Gate("has_volume", lambda v: v.volume > 0, "no volume", shows=("volume",))]
    def setup(self):
        far = self.params.far
        return Setup("far_from_mean", lambda v: v.close < v.mean - far, lambda v: v.close > v.mean + far,
                     "close {close} is near {mean}", "close {close} is far from {mean}", shows=("close", "mean"))
    def exits(self, v, direction):
        return percent_exits(Decimal("0.5"), Decimal("1"))
"""

PLAIN = """
from strategies.base import Strategy
from strategies.params import StrategyParams

class Params(StrategyParams):
    fail_at: float = 0.0

class Plain(Strategy):
    name = "plain"
    Params = Params
    seen = 0
    def decide(self, v):
        self.seen += 1
        if v.close == self.params.fail_at:
            raise RuntimeError("cannot cope")
        return None
"""


class Desk:
    """A runner over strategies in a folder."""

    def __init__(self, root: Path, **settings) -> None:
        self.root = root
        self.book = StrategyBook(root, ["BTCUSDT", "ETHUSDT"])
        self.writer = Writer()
        self.room = 0
        self.published: list[Signal] = []
        self.runner = StrategyRunner(self.book, self.writer, self.offer, self.publish, **settings)

    def offer(self, signals: Sequence[Signal]) -> Sequence[Signal]:
        taken, rest = signals[: self.room], signals[self.room :]
        self.room -= len(taken)
        self.published.extend(taken)
        return rest

    async def publish(self, signals: Sequence[Signal]) -> None:
        await asyncio.sleep(0)
        self.published.extend(signals)

    def feed(self, *closes: str, start: int = 0, phase: Phase = Phase.LIVE, **fields) -> list[Signal]:
        signals = []
        for index, close in enumerate(closes):
            signals += self.runner.on_candle(closed(candle(start + index, close, **fields)), phase)
        return signals

    def gates(self) -> list[str]:
        return [record.verdict.gate for record in self.writer.of(DecisionRecord)]

    def edit(self, path: str, text: str) -> None:
        (self.root / path).write_text(text)
        assert all(outcome.applied for outcome in self.book.reload_changed())


def write(root: Path, name: str, code: str, yaml: str = "") -> None:
    (root / name).mkdir()
    (root / name / "strategy.py").write_text(code)
    (root / name / "default.yaml").write_text(yaml)


@pytest.fixture
def desk(tmp_path) -> Desk:
    write(tmp_path, "fade", FADE, "max_holding_minutes: 30\n")
    return Desk(tmp_path)


def test_every_evaluation_leaves_a_verdict_and_every_minute_a_candle(desk) -> None:
    desk.feed("100", "100", "100", "97", "100")
    assert desk.gates() == ["warming_up", "warming_up", "far_from_mean", "signal", "far_from_mean"]
    assert len(desk.writer.of(CandleRecord)) == 5
    assert desk.writer.of(CandleRecord)[3].candle.close == Decimal(97)


def test_candles_and_verdicts_are_written_later_in_turns_and_the_rest_on_flush(tmp_path) -> None:
    write(tmp_path, "fade", FADE)
    waiting: list[Callable[[], None]] = []
    desk = Desk(tmp_path, later=waiting.append)
    assert len(desk.feed(*["100"] * 120, "97")) == 1
    assert desk.writer.of(CandleRecord) == []
    (turn,) = waiting
    turn()
    assert len(desk.writer.of(CandleRecord)) == NOTES_A_TURN
    assert waiting == [turn, turn]
    desk.runner.flush()
    assert [record.candle.open_time_ms for record in desk.writer.of(CandleRecord)] == [
        START + index * MINUTE for index in range(121)
    ]
    assert desk.gates()[-1] == "signal"
    turn()
    assert len(waiting) == 2


def test_candles_that_come_faster_than_their_turns_do_not_pile_up(tmp_path) -> None:
    write(tmp_path, "fade", FADE)
    desk = Desk(tmp_path, later=lambda work: None)
    desk.feed(*["100"] * (NOTES_MAX + 1))
    assert len(desk.writer.of(CandleRecord)) == NOTES_MAX + 1


def test_verdict_names_the_first_refusing_gate_with_its_numbers(desk) -> None:
    desk.feed("100", "100")
    desk.feed("90", start=2, volume="0")
    verdict = desk.writer.of(DecisionRecord)[-1].verdict
    assert (verdict.gate, verdict.numbers) == ("has_volume", {"volume": 0.0})
    assert (verdict.strategy, verdict.symbol, verdict.interval) == ("fade", "BTCUSDT", "1m")
    assert (verdict.candle_open_time_ms, verdict.event_time_ms) == (START + 2 * MINUTE, START + 3 * MINUTE)


def test_signal_carries_candle_times_exits_reason_and_features(desk) -> None:
    (signal,) = desk.feed("100", "100", "100", "97")
    opened = START + 3 * MINUTE
    assert signal.signal_id == f"fade:BTCUSDT:1m:{opened}"
    assert (signal.direction, signal.reference_price) == (Direction.LONG, Decimal(97))
    assert (signal.exits.stop_fraction, signal.exits.target_fraction) == (Decimal("0.005"), Decimal("0.01"))
    assert (signal.candle_open_time_ms, signal.event_time_ms, signal.received_ns) == (opened, opened + MINUTE, 42)
    assert signal.received_time_ms == opened + MINUTE + 7
    assert signal.explanation == "close 97.0 is far from 99.0"
    assert signal.features["mean"] == 99.0
    assert signal.max_holding_ms == 30 * MINUTE
    verdict = desk.writer.of(DecisionRecord)[-1].verdict
    assert (verdict.gate, verdict.numbers) == ("signal", {"close": 97.0, "mean": 99.0, "side": 1.0})


def test_warm_up_gives_no_signal_and_no_verdict_but_counts(desk) -> None:
    assert desk.feed("100", "100", "100", "97", phase=Phase.WARM_UP) == []
    assert desk.gates() == []
    assert len(desk.writer.of(CandleRecord)) == 4
    assert [signal.direction for signal in desk.feed("103", start=4)] == [Direction.SHORT]


def test_warm_up_candles_are_not_recorded_when_told_so(tmp_path) -> None:
    write(tmp_path, "fade", FADE)
    desk = Desk(tmp_path, record_warm_up=False)
    desk.feed("100", "100", phase=Phase.WARM_UP)
    desk.feed("100", start=2)
    assert len(desk.writer.of(CandleRecord)) == 1


def test_late_candle_is_recorded_but_never_traded(desk) -> None:
    desk.feed("100", "100", "100")
    assert desk.feed("97", start=3, phase=Phase.BACKFILL) == []
    assert desk.gates()[-1] == "late_candle"
    assert len(desk.writer.of(CandleRecord)) == 4


def test_candle_that_is_not_newer_changes_nothing(desk) -> None:
    desk.feed("100", "100", "100", "97")
    before = len(desk.writer.records)
    assert desk.feed("90", start=3) == []
    assert desk.feed("90", start=1) == []
    assert len(desk.writer.records) == before


def test_symbols_do_not_mix(desk) -> None:
    desk.feed("100", "100", "100")
    assert desk.feed("50", start=3, symbol="ETHUSDT") == []
    assert desk.gates()[-1] == "warming_up"


def test_edited_parameter_counts_from_the_next_candle_on(desk) -> None:
    desk.feed("100", "100", "100", "100")
    desk.edit("fade/BTCUSDT.yaml", "far: 50\n")
    assert desk.feed("97", start=4) == []
    desk.edit("fade/BTCUSDT.yaml", "far: 0.5\n")
    assert len(desk.feed("95", start=5)) == 1
    assert "warming_up" not in desk.gates()[2:]


def test_edited_window_is_warm_at_once_and_equals_one_that_was_always_so(tmp_path) -> None:
    write(tmp_path, "fade", FADE, "window: 3\n")
    edited = Desk(tmp_path)
    market = walk(80, seed=5)
    for one in market[:40]:
        edited.runner.on_candle(closed(one))
    edited.edit("fade/default.yaml", "window: 20\nfar: 0.1\n")
    always = Desk(tmp_path)
    for one in market[:40]:
        always.runner.on_candle(closed(one))
    for one in market[40:]:
        ours, theirs = (side.runner.on_candle(closed(one)) for side in (edited, always))
        assert [s.features for s in ours] == [s.features for s in theirs]
    assert edited.writer.records[-40:] == always.writer.records[-40:]


def test_refused_edit_changes_nothing(desk) -> None:
    desk.feed("100", "100", "100")
    (desk.root / "fade/default.yaml").write_text("far: x\n")
    assert not desk.book.reload_changed()[0].applied
    assert len(desk.feed("97", start=3)) == 1


def test_strategy_switched_off_and_on_again_is_warm(desk) -> None:
    desk.feed("100", "100", "100")
    desk.edit("fade/default.yaml", "enabled: false\n")
    assert desk.feed("97", "99", start=3) == []
    assert len(desk.gates()) == 3
    desk.edit("fade/default.yaml", "enabled: true\n")
    assert len(desk.feed("90", start=5)) == 1


def test_failing_strategy_refuses_its_candle_and_leaves_the_others_alone(tmp_path) -> None:
    write(tmp_path, "fade", FADE)
    write(tmp_path, "plain", PLAIN, "fail_at: 97\n")
    faults: list[StrategyFault] = []
    desk = Desk(tmp_path, on_fault=faults.append)
    desk.feed("100", "100", "100")
    assert len(desk.feed("97", "97", "100", start=3)) == 2
    plain = [r.verdict.gate for r in desk.writer.of(DecisionRecord) if r.verdict.strategy == "plain"]
    assert plain == ["no_entry"] * 3 + ["strategy_error", "strategy_error", "no_entry"]
    assert [(fault.strategy, fault.error) for fault in faults] == [("plain", "RuntimeError: cannot cope")]


ODD = """
import numpy as np
from decimal import Decimal
from core.enums import Direction
from core.signal import ExitPlan
from strategies.base import Entry, Refusal, Strategy
from strategies.params import StrategyParams

class Odd(Strategy):
    name = "odd"
    Params = StrategyParams
    told = {}
    def decide(self, v):
        if v.close != 97:
            self.told["close"] = v.close
            return Refusal("quiet", self.told)
        return DECISION
"""


@pytest.mark.parametrize(
    ("decision", "error"),
    [
        ("False", "TypeError: decide(v) returned False; return an Entry, a Refusal or None"),
        ('Refusal("trend", {"state": "up"})', "TypeError: the decision says state='up', which is no number"),
        ('Entry("LONG", ExitPlan())', "TypeError: the entry goes 'LONG' with exits ExitPlan("),
        ("Entry(Direction.LONG, None)", "TypeError: the entry goes <Direction.LONG: 'LONG'> with exits None"),
    ],
)
def test_strategy_that_decides_something_else_fails_alone(tmp_path, decision: str, error: str) -> None:
    """The candle is written, the other strategy decides, and people are told what to write instead."""
    write(tmp_path, "fade", FADE)
    write(tmp_path, "odd", ODD.replace("DECISION", decision))
    faults: list[StrategyFault] = []
    desk = Desk(tmp_path, on_fault=faults.append)
    assert len(desk.feed("100", "100", "100", "97", "100")) == 1
    odd = [r.verdict.gate for r in desk.writer.of(DecisionRecord) if r.verdict.strategy == "odd"]
    assert odd == ["quiet"] * 3 + ["strategy_error", "quiet"]
    assert len(desk.writer.of(CandleRecord)) == 5
    (fault,) = faults
    assert fault.error.startswith(error)


def test_numbers_of_a_decision_are_those_of_its_moment_and_plain(tmp_path) -> None:
    """They are written later, when the strategy has long gone on with the same dictionary."""
    write(tmp_path, "odd", ODD.replace("DECISION", 'Refusal("deep", {"log": np.log(v.close), "nothing": None})'))
    desk = Desk(tmp_path, later=lambda work: None)
    desk.feed("100", "101", "97", "102")
    desk.runner.flush()
    told = [record.verdict.numbers for record in desk.writer.of(DecisionRecord)]
    assert [numbers.get("close") for numbers in told] == [100.0, 101.0, None, 102.0]
    assert type(told[2]["log"]) is float
    assert told[2]["nothing"] != told[2]["nothing"]


def test_features_of_a_signal_are_plain_floats(tmp_path) -> None:
    derived = FADE.replace("    def setup", "    def derive(self, v):\n        v.log = np.log(v.close)\n    def setup")
    write(tmp_path, "fade", "import numpy as np\n" + derived)
    (signal,) = Desk(tmp_path).feed("100", "100", "100", "97")
    assert {type(value) for value in signal.features.values()} == {float}
    assert signal.features["log"] == pytest.approx(4.5747, abs=1e-4)


def test_each_evaluation_is_handed_to_the_writer_by_itself(tmp_path) -> None:
    """A row that the database refuses takes no other candle along."""
    write(tmp_path, "fade", FADE)
    desk = Desk(tmp_path, later=lambda work: None)
    handed: list[int] = []
    desk.writer.submit = lambda records: handed.append(len(records))
    desk.feed("100", "100", "97")
    desk.runner.flush()
    assert handed == [2, 2, 2]


def test_failing_strategy_is_told_again_and_rebuilt_after_an_edit(tmp_path) -> None:
    write(tmp_path, "plain", PLAIN, "fail_at: 97\n")
    faults: list[StrategyFault] = []
    desk = Desk(tmp_path, on_fault=faults.append)
    desk.feed("97", "97", "100")
    desk.edit("plain/default.yaml", "fail_at: 97.0\nmax_holding_minutes: 5\n")
    desk.feed("97", "97", start=3)
    assert len(faults) == 2
    ((_, evaluator),) = desk.runner._desks["BTCUSDT", "1m"].evaluators
    assert evaluator.strategy.seen == 5, "a memory of its own is replayed from the candles"


def test_edit_of_one_strategy_leaves_the_memory_of_another_alone(tmp_path) -> None:
    write(tmp_path, "fade", FADE)
    write(tmp_path, "plain", PLAIN)
    desk = Desk(tmp_path)
    desk.feed("100", "100")
    before = {active.name: one for active, one in desk.runner._desks["BTCUSDT", "1m"].evaluators}
    desk.edit("fade/default.yaml", "window: 4\n")
    desk.feed("100", start=2)
    after = {active.name: one for active, one in desk.runner._desks["BTCUSDT", "1m"].evaluators}
    assert after["plain"] is before["plain"]
    assert after["fade"] is not before["fade"]


@pytest.mark.parametrize("room", [0, 1, 2, 9])
async def test_handle_publishes_in_order_what_is_taken_at_once_and_what_has_to_wait(desk, room: int) -> None:
    desk.room = room
    for index, close in enumerate(["100", "100", "100", "97", "103", "90"]):
        desk.runner.handle(closed(candle(index, close)))
    assert desk.runner.depth == max(0, 3 - room)
    desk.room = 9  # there is room again, but older signals wait in front
    task = asyncio.create_task(desk.runner.run())
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert [signal.candle_open_time_ms for signal in desk.published] == [START + i * MINUTE for i in (3, 4, 5)]
    assert desk.runner.signals == 3


def test_memory_of_candles_is_bounded(desk) -> None:
    for one in walk(4_000):
        desk.runner.on_candle(closed(one))
    memory = desk.runner._desks["BTCUSDT", "1m"].memory
    kept = list(memory.rows())
    assert memory.capacity <= len(kept) <= memory.capacity * 5 // 4
    assert kept[-1][-1] == START + 3_999 * MINUTE
