"""The nightly comparison runs in a process of its own; whatever becomes of that, the summary gets one line."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from commands.nightly import NightlyDrift
from config.settings import Settings

TELLS = """
import json, os, sys
day, file = sys.argv[2], sys.argv[4]
with open(file, "w") as out:
    json.dump({"headline": day + " on " + os.environ["DB_URL"] + " in mode " + os.environ["MODE"]}, out)
"""


def nightly(program: str) -> NightlyDrift:
    return NightlyDrift(Settings(db_url="sqlite:///other.db"), (sys.executable, "-c", program))


def test_nightly_drift_returns_the_headline_of_the_comparison() -> None:
    assert nightly(TELLS)("2026-01-31") == "2026-01-31 on sqlite:///other.db in mode sim"


def test_nightly_drift_tells_why_it_failed() -> None:
    told = nightly("import sys; sys.exit('no trading on that day')")("2026-01-31")

    assert told == "not compared: no trading on that day"


def test_nightly_drift_without_an_answer_is_told_as_not_compared() -> None:
    assert nightly("pass")("2026-01-31").startswith("not compared: FileNotFoundError")


def test_nightly_drift_closed_meanwhile_ends_its_process_and_begins_no_other(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    drift = nightly(f"import pathlib; pathlib.Path({str(begun)!r}).touch(); "
                    "import signal; signal.pause()")  # fmt: skip
    told: list[str] = []
    thread = threading.Thread(target=lambda: told.append(drift("2026-01-31")))
    thread.start()
    while not begun.exists():
        thread.join(0.01)
    drift.close()
    thread.join(30)

    assert told == ["not compared: exit code -9"]
    assert drift("2026-02-01") == "not compared: the trader is stopping"
