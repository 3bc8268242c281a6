"""Requests of people reach the core and are answered when the venue has confirmed them; the file needs no database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.commands import CancelOrder, SubmitOrder
from core.enums import OrderService
from core.errors import PersistenceError
from core.ports import OperatorRequest
from core.records import TradeState
from executor.operator import OperatorDesk
from tests.unit.executor.lab import BTC
from tests.unit.executor.test_executor_shell import Rig


class Requests:
    def __init__(self) -> None:
        self.rows: dict[int, OperatorRequest] = {}
        self.failing = False

    def add(self, kind: str, symbol: str | None = None, at_ms: int = 0) -> int:
        number = len(self.rows) + 1
        self.rows[number] = OperatorRequest(number, kind, symbol, "test", at_ms, "new", "")
        return number

    def unfinished(self) -> list[OperatorRequest]:
        if self.failing:
            raise PersistenceError("disk full")
        return [row for row in self.rows.values() if row.state in ("new", "running")]

    def report(self, request_id: int, state: str, result: str, now_ms: int) -> None:
        assert now_ms > 0
        self.rows[request_id] = replace(self.rows[request_id], state=state, result=result)


class Counter(Rig):
    """A running executor and the desk at which people ask."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.requests, self.file = Requests(), folder / "KILL"
        self.operator = OperatorDesk(self.executor, self.requests, self.file, self.clock)

    async def step_until(self, condition: Callable[[], bool]) -> None:
        for _ in range(900):
            await self.operator.step()
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("condition did not come true")

    async def open_long(self) -> None:
        self.offer_signal()
        await self.until(lambda: self.state() is TradeState.PROTECTED)


@pytest.fixture
async def counter(tmp_path: Path) -> Counter:
    made = Counter(tmp_path)
    await made.start()
    return made


async def test_kill_request_is_done_when_the_venue_is_empty_and_resume_lifts_it(counter: Counter) -> None:
    await counter.open_long()
    number = counter.requests.add("kill")
    await counter.step_until(lambda: counter.requests.rows[number].state == "done")
    assert counter.venue.fake.position(BTC) == 0
    assert counter.executor.view().is_killed
    again = counter.requests.add("resume", at_ms=counter.clock.now_ms())
    await counter.step_until(lambda: counter.requests.rows[again].state == "done")
    assert not counter.executor.view().is_killed


async def test_flatten_request_is_done_for_its_symbol(counter: Counter) -> None:
    await counter.open_long()
    number = counter.requests.add("flatten", BTC)
    await counter.step_until(lambda: counter.requests.rows[number].state == "done")
    assert counter.venue.fake.position(BTC) == 0
    assert not counter.executor.view().is_killed


async def test_old_resume_and_unknown_request_fail(counter: Counter) -> None:
    old, odd = counter.requests.add("resume", at_ms=1), counter.requests.add("dance")
    await counter.operator.step()
    assert [counter.requests.rows[n].state for n in (old, odd)] == ["failed", "failed"]


async def test_file_kills_even_while_requests_cannot_be_read(counter: Counter) -> None:
    await counter.open_long()
    counter.requests.failing = True
    counter.file.touch()
    await counter.step_until(lambda: counter.executor.view().flat_counts.get("*", 0) == 1)
    assert counter.venue.fake.position(BTC) == 0


async def test_executor_that_lost_its_lease_sends_no_write(counter: Counter) -> None:
    await counter.open_long()
    before = len(counter.venue.fake.commands)
    counter.executor.lease_lost("another process took over")
    counter.executor.kill("test")
    await asyncio.sleep(0.2)
    writes = (SubmitOrder, CancelOrder)
    assert not [c for c in counter.venue.fake.commands[before:] if isinstance(c, writes)]
    assert counter.venue.fake.position(BTC) > 0


async def test_process_that_stood_still_sends_nothing_until_its_lease_was_looked_at(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = CancelOrder(BTC, "ft-1-1-S0", OrderService.ALGO)
    assert counter.executor._refusal_of(command) is None
    later = counter.clock.now_ms() + 25_000
    monkeypatch.setattr(type(counter.clock), "now_ms", lambda _self: later)
    assert counter.executor._refusal_of(command) is not None
    counter.executor._note_pause()
    assert counter.executor._refusal_of(command) is not None
    counter.executor.lease_checked()
    assert counter.executor._refusal_of(command) is None


async def test_entry_whose_commit_ends_after_the_latch_is_refused_here(counter: Counter) -> None:
    gate = counter.writer.gates[BTC] = asyncio.Event()
    counter.offer_signal()
    await asyncio.sleep(0.05)
    counter.executor.kill("test")
    await counter.until(lambda: counter.executor.view().is_killed)
    gate.set()
    await counter.until(lambda: counter.state() is TradeState.REFUSED)
    entries = [c for c in counter.venue.fake.commands if isinstance(c, SubmitOrder)]
    assert entries == []
