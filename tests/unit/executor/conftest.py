"""Every story told to the core in a laboratory is held to its golden transcript: each write, request and alert of it.

It is also held to its lanes: what concerns a symbol is collected in that symbol's own batch of effects.

A change of behaviour shows as a difference to read. `UPDATE_GOLDEN=1 uv run pytest tests/unit/executor` accepts it.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.commands import SubmitOrder, VenueCommand
from core.effects import Effect
from core.enums import PositionSide
from core.records import AlertRecord, HaltRecord, Record, SignalRecord
from executor.desk import Desk
from executor.halts import ALL
from executor.outbox import Outbox
from tests.conftest import ROOT
from tests.unit.executor.lab import Lab
from tests.unit.executor.transcript import Transcript

FOLDER = ROOT / "tests" / "golden" / "executor"
SHOWN_LINES_MAX = 40


@pytest.fixture(autouse=True)
def golden_transcript(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write down what the core asks for during the test, then compare it with the golden file."""
    taken: list[Transcript] = []
    carry_out = Lab.carry_out

    def written_down(lab: Lab, effects: list[Effect]) -> None:
        if not taken:
            taken.append(Transcript(lab.now_ms))
        taken[0].take(lab.now_ms, effects)
        carry_out(lab, effects)

    monkeypatch.setattr(Lab, "carry_out", written_down)
    yield
    if taken:
        _compare(taken[0].text(), golden_file(request.node.nodeid))


def golden_file(node_id: str) -> Path:
    """Return where the transcript of a test is kept."""
    module, _, test = node_id.rpartition("/")[2].partition(".py::")
    return FOLDER / module / (re.sub(r"[^\w.-]+", "-", test).strip("-") + ".txt")


def _compare(text: str, golden: Path) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
        return
    if not golden.exists():
        pytest.fail(
            f"{golden.name} has no golden transcript yet: UPDATE_GOLDEN=1 uv run pytest writes it", pytrace=False
        )
    expected = golden.read_text()
    if text != expected:
        lines = difflib.unified_diff(expected.splitlines(), text.splitlines(), "golden", "now", lineterm="", n=1)
        shown = "\n".join(list(lines)[:SHOWN_LINES_MAX])
        pytest.fail(
            f"the core asked for something else than in its golden transcript:\n{shown}\n"
            "If that is meant: UPDATE_GOLDEN=1 uv run pytest tests/unit/executor",
            pytrace=False,
        )


@pytest.fixture(autouse=True)
def lanes_of_symbols(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Demand that every record, request and alert goes through the lane of its symbol ("" for the account's)."""
    wrong: list[str] = []
    write, send, notify, suspect = Outbox.write, Outbox.send, Outbox.notify, Desk.suspect

    def expect(lane: object, symbol: str, what: object) -> None:
        if lane != symbol:
            wrong.append(f"lane {lane!r} instead of {symbol!r}: {what}")

    def checked_write(out: Outbox, lane: str, *records: Record, durable: bool = False) -> None:
        for record in records:
            expect(lane, symbol_of_record(record, lane), record)
        write(out, lane, *records, durable=durable)

    def checked_send(out: Outbox, lane: str, command: VenueCommand, *, gated: bool = False) -> None:
        order = command.approved.order if isinstance(command, SubmitOrder) else command
        expect(lane, getattr(order, "symbol", None) or "", command)
        send(out, lane, command, gated=gated)

    def checked_notify(out: Outbox, lane: str, alert: AlertRecord) -> None:
        symbol, colon, _ = alert.title.partition(": ")
        expect(lane, symbol if colon and symbol.isupper() else "", alert.title)
        notify(out, lane, alert)

    def checked_suspect(desk: Desk, symbol: str, side: PositionSide) -> None:
        if not isinstance(symbol, str) or not isinstance(side, PositionSide):
            wrong.append(f"suspicion of a leg that does not exist: {symbol!r} {side!r}")
        suspect(desk, symbol, side)

    for owner, name, checked in (
        (Outbox, "write", checked_write),
        (Outbox, "send", checked_send),
        (Outbox, "notify", checked_notify),
        (Desk, "suspect", checked_suspect),
    ):
        monkeypatch.setattr(owner, name, checked)
    yield
    assert not wrong, wrong[:SHOWN_LINES_MAX]


def symbol_of_record(record: Record, lane: str) -> str:
    """Return the symbol whose lane a record belongs to; rows that name none stay where they are."""
    if isinstance(record, HaltRecord):
        return "" if record.scope == ALL else record.scope
    if isinstance(record, SignalRecord):
        return record.signal.symbol
    return getattr(record, "symbol", lane or "")
