"""People are told after the orders have left, and not the same thing a hundred times."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.records import DenialRecord, HaltRecord, Record
from status.console import RecentEvents
from status.news import LINES_A_TURN, NewsWriter


class _Writer:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def submit(self, records: Sequence[Record]) -> None:
        self.records.extend(records)

    async def commit(self, records: Sequence[Record]) -> None:
        self.records.extend(records)


def _denial(number: int, code: str = "max_open_positions") -> DenialRecord:
    return DenialRecord(f"id{number}", f"SYM{number}USDT", "s", code, {}, 0)


def _halt(number: int) -> HaltRecord:
    return HaltRecord(f"SYM{number}USDT", "volatility", True, "2 %", 0)


def _news(later: list[Callable[[], None]]) -> tuple[NewsWriter, _Writer, list[str]]:
    lines: list[str] = []
    writer = _Writer()
    return NewsWriter(writer, RecentEvents(lines.append), later.append), writer, lines


def test_records_are_written_at_once_and_told_later() -> None:
    later: list[Callable[[], None]] = []
    news, writer, lines = _news(later)
    news.submit([_denial(1)])
    assert writer.records == [_denial(1)]
    assert lines == []
    later.pop()()
    assert lines == ["00:00:00 SYM1USDT signal denied: max_open_positions"]


def test_many_denials_for_one_reason_are_one_line() -> None:
    later: list[Callable[[], None]] = []
    news, _, lines = _news(later)
    for number in range(200):
        news.submit([_denial(number)])
    news.submit([_denial(500, "halted"), _denial(501, "position_open")])
    assert len(later) == 1
    later.pop()()
    assert [line[9:] for line in lines] == [
        "SYM0USDT and 199 more: signals denied: max_open_positions",
        "SYM500USDT signal denied: halted",
    ]
    assert later == []


async def test_a_turn_tells_a_few_lines_and_flush_the_rest() -> None:
    later: list[Callable[[], None]] = []
    news, writer, lines = _news(later)
    await news.commit([_halt(number) for number in range(3 * LINES_A_TURN)])
    assert len(writer.records) == 3 * LINES_A_TURN
    later.pop()()
    assert len(lines) == LINES_A_TURN
    assert len(later) == 1
    news.flush()
    assert len(lines) == 3 * LINES_A_TURN
    later.pop()()
    assert len(lines) == 3 * LINES_A_TURN
