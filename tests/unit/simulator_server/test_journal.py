"""The journal: what was handed over comes back, whatever the end looked like."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import RuntimeFailure
from simulator.engine.state import Change
from simulator.journal import Journal, JournalHeader

HEADER = JournalHeader(7, "generated", ("BTCUSDT",), 1_000, "10000")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "exchange.journal"


def opened(path: Path, *changes: Change, market_ms: int = 1_000) -> Journal:
    journal = Journal(path)
    journal.acquire()
    journal.begin(HEADER, market_ms, changes)
    return journal


def loaded(path: Path) -> tuple[int, list[Change]]:
    recording = Journal(path).load()
    assert recording is not None and recording.header == HEADER
    return recording.market_ms, list(recording.changes)


def order(number: int, status: str) -> Change:
    return Change("order", str(number), {"order_id": number, "status": status})


def test_no_file_is_no_recording(path: Path) -> None:
    assert Journal(path).load() is None


def test_changes_and_market_time_come_back_without_closing(path: Path) -> None:
    journal = opened(path, order(1, "NEW"))
    journal.append(1_500, [order(2, "NEW"), order(1, "FILLED")])
    journal.append(2_000)
    assert loaded(path) == (2_000, [order(1, "FILLED"), order(2, "NEW")])


def test_removed_rows_do_not_come_back(path: Path) -> None:
    journal = opened(path, order(1, "NEW"))
    journal.append(1_500, [Change("order", "1", None)])
    assert loaded(path) == (1_500, [])


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_torn_last_line_is_ignored_wherever_it_is_torn(path: Path, cut: int) -> None:
    journal = opened(path)
    journal.append(1_500, [order(1, "NEW")])
    whole = path.read_bytes()
    journal.append(1_600, [order(1, "FILLED")])
    line = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + line[: min(cut, len(line) - 1)])
    assert loaded(path) == (1_500, [order(1, "NEW")])


def test_writing_goes_on_behind_a_torn_line_once_begun_anew(path: Path) -> None:
    opened(path, order(1, "NEW")).close()
    with path.open("ab") as file:
        file.write(b'{"t":9999,"c":[["ord')
    journal = Journal(path)
    journal.acquire()
    recording = journal.load()
    assert recording is not None
    journal.begin(recording.header, recording.market_ms, recording.changes)
    journal.append(1_700, [order(2, "NEW")])
    assert loaded(path) == (1_700, [order(1, "NEW"), order(2, "NEW")])


def test_beginning_anew_keeps_only_the_latest_of_each_row(path: Path) -> None:
    journal = opened(path)
    for number in range(2_000):
        journal.append(1_000 + number, [order(1, f"S{number}"), order(2 + number % 3, "NEW")])
    size = path.stat().st_size
    market_ms, changes = loaded(path)
    journal.close()
    opened(path, *changes, market_ms=market_ms)
    assert loaded(path) == (market_ms, changes)
    assert path.stat().st_size < size / 100


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"hello\n", "line 1: is no journal header"),
        (b'{"journal":99}\n', "line 1: is of version 99"),
        (b"%s\nnot json\n", "line 2: is damaged"),
        (b'%s\n{"x":1}\n', "line 2: is damaged"),
        (b'%s\n{"t":"soon"}\n', "line 2: is damaged"),
    ],
)
def test_other_damage_is_refused_with_line_and_remedy(path: Path, content: bytes, what: str) -> None:
    opened(path).close()
    header = path.read_bytes().splitlines()[0]
    path.write_bytes(content.replace(b"%s", header))
    with pytest.raises(RuntimeFailure, match=what) as caught:
        Journal(path).load()
    assert "--fresh" in str(caught.value) and "\n" not in str(caught.value)


def test_one_journal_has_one_owner(path: Path) -> None:
    first = opened(path)
    second = Journal(path)
    with pytest.raises(RuntimeFailure, match="in use by another exchange"):
        second.acquire(wait_s=0.0)
    first.close()
    second.acquire(wait_s=0.0)
    second.close()


def test_full_disk_is_a_clear_failure(path: Path) -> None:
    journal = opened(path)
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    assert journal._file is not None
    os.close(journal._file)
    journal._file = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(RuntimeFailure, match=r"cannot write its journal.*No space left"):
        journal.append(2_000, [order(1, "NEW")])
    journal.close()
