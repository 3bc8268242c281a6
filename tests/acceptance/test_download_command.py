"""`main.py download` from the shell, against a server of the archive's layout on loopback."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import main
from backtest.download_plan import FUNDING, ArchiveFile
from backtest.funding import load_funding
from backtest.load import load
from tests.acceptance.support import Place, wait_for
from tests.unit.backtest.archive_server import Archive

JANUARY, FEBRUARY = (ArchiveFile("ETHUSDT", "1m", f"2025-0{month}") for month in (1, 2))
SPAN = ("--from", "2025-01-01", "--to", "2025-02-28")


@pytest.fixture
def archive() -> Iterator[Archive]:
    """The server in a thread of its own, as the program is in a process of its own."""
    served, loop = Archive(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(served.__aenter__(), loop).result(10)
    try:
        yield served
    finally:
        asyncio.run_coroutine_threadsafe(served.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def test_download_fills_a_store_that_the_backtest_reads(archive: Archive, tmp_path: Path, capsys) -> None:
    store = tmp_path / "data"
    for file in (JANUARY, FEBRUARY, ArchiveFile("ETHUSDT", FUNDING, "2025-01")):
        archive.add(file)
    command = ("ethusdt", *SPAN, "--store", str(store), "--base-url", archive.url)
    assert run_here(*command) == 0
    said = capsys.readouterr()
    assert "ETHUSDT-1m-2025-01: 44,640 candles" in said.out
    assert said.out.splitlines()[-1].endswith("3 files fetched, 0 were there, 1 not in the archive, 0 failed")
    assert "ETHUSDT: the archive has no funding of 2025-02" in said.err
    assert run_here(*command) == 0
    assert "0 files fetched, 3 were there" in capsys.readouterr().out
    loaded = load(store)
    assert (len(loaded.candles[0]), loaded.notes) == (44_640 + 40_320, ())
    assert len(load_funding(store, ["ETHUSDT"])["ETHUSDT"]) == 9


def test_download_that_is_stopped_keeps_what_is_finished_and_goes_on(archive: Archive, tmp_path: Path) -> None:
    place, store = Place(tmp_path), tmp_path / "data"
    archive.add(JANUARY)
    archive.add(FEBRUARY)
    archive.hangs.add(FEBRUARY.name)
    command = ("download", "ETHUSDT", *SPAN, "--store", str(store), "--base-url", archive.url, "--no-funding")
    with place.running(*command) as program:
        program.wait_for("2025-01: 44,640 candles")
        half = store / ".partial" / f"{FEBRUARY.name}.zip"
        wait_for(lambda: half.is_file() and half.stat().st_size > 0, 20, "the second transfer is half done")
        assert program.stop(signal.SIGINT) == 130
        assert "1 files fetched" in program.output and "the same command goes on" in program.output
    archive.hangs.clear()
    archive.asked.clear()
    assert run_here(*command[1:]) == 0
    assert archive.asked[JANUARY.path] == 0
    assert len(archive.ranges) == 1, "the half transfer was not continued"
    assert sorted(path.name for path in store.iterdir()) == [f"{JANUARY.name}.parquet", f"{FEBRUARY.name}.parquet"]


def run_here(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main.app(["download", *arguments])
    return int(end.value.code or 0)


def test_symbol_that_the_archive_does_not_know_is_told_and_the_others_are_kept(archive, tmp_path, capsys) -> None:
    archive.add(FEBRUARY)
    options = (*SPAN, "--store", str(tmp_path), "--base-url", archive.url, "--no-funding")
    assert run_here("NOSUCHUSDT,ETHUSDT", *options) == 2
    said = capsys.readouterr()
    assert "NOSUCHUSDT: the archive has nothing from 2025-01 to 2025-02: not listed then, or another name" in said.err
    assert "ETHUSDT: not in the archive before 2025-02: it was listed later" in said.err
    assert "1 files fetched, 0 were there, 3 not in the archive, 0 failed" in said.out


def test_failed_file_is_told_with_its_reason_and_ends_with_1(archive, tmp_path, capsys) -> None:
    archive.add(JANUARY)
    archive.add(FEBRUARY)
    archive.forbidden.add(JANUARY.name)
    assert run_here("ETHUSDT", *SPAN, "--store", str(tmp_path), "--base-url", archive.url, "--no-funding") == 1
    said = capsys.readouterr()
    assert "ETHUSDT-1m-2025-01: failed: the archive answered 403" in said.out
    assert "run the same command again" in said.err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("ETHUSDT", "--from", "soon"), "--from 'soon' is not a day; write 2025-01-31"),
        (("ETHUSDT", "--from", "2025-02-30"), "--from '2025-02-30' is not a day"),
        (("ETHUSDT", "--from", "2025-02-01", "--to", "2025-01-01"), "--to 2025-01-01 lies before --from 2025-02-01"),
        (("ETHUSDT", "--from", "2999-01-01"), "the archive ends with yesterday"),
        (("ETH/USDT", "--from", "2025-01-01"), "'ETH/USDT' is no symbol"),
        (("ETHUSDT", "--from", "2025-01-01", "--interval", "7m"), "--interval '7m': must be one of 1m, 3m"),
        (("ETHUSDT", "--from", "2025-01-01", "--base-url", "ftp://x"), "--base-url: 'ftp://x' is no address"),
        (("ETHUSDT", "--from", "2025-01-01", "--store", "/dev/null/x"), "--store: nothing can be written in"),
        (("ETHUSDT",), "--from"),
    ],
)
def test_bad_input_of_download_is_one_line_and_exit_code_2(arguments, what, capsys) -> None:
    assert run_here(*arguments) == 2
    said = capsys.readouterr().err.strip()
    assert what in said and "\n" not in said
