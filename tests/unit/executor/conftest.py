"""Every story told to the core in a laboratory is held to its golden transcript: each write, request and alert of it.

A change of behaviour shows as a difference to read. `UPDATE_GOLDEN=1 uv run pytest tests/unit/executor` accepts it.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.effects import Effect
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
