"""Downloads against a server with the archive's layout: what is fetched, verified, continued, told and refused."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal

import pytest
import pytest_asyncio
from pyarrow import parquet

from backtest.download import ATTEMPTS, Downloader, Outcome, Status, download, open_session
from backtest.download_plan import FUNDING, ArchiveFile, plan
from backtest.download_store import Store
from backtest.funding import load_funding
from backtest.load import load
from core.errors import ConfigurationError, RuntimeFailure
from simulator.market.archive import read
from tests.unit.backtest.archive_server import Archive, candle_rows, zipped

TODAY = date(2025, 3, 10)
DAY = ArchiveFile("ETHUSDT", "1m", "2025-03-01")
NEXT_DAY = ArchiveFile("ETHUSDT", "1m", "2025-03-02")
MONTH = ArchiveFile("ETHUSDT", "1m", "2025-02")


@pytest_asyncio.fixture
async def archive() -> AsyncIterator[Archive]:
    async with Archive() as served:
        yield served


async def no_wait(_: float) -> None:
    await asyncio.sleep(0)


async def fetch(archive: Archive, store: Store, *files: ArchiveFile, jobs: int = 1) -> list[Outcome]:
    async with open_session(jobs) as session:
        downloader = Downloader(session, store, archive.url, sleep=no_wait)
        return await download(files, downloader, TODAY, jobs=jobs)


def states(outcomes: list[Outcome]) -> list[tuple[str, Status]]:
    return [(one.file.period, one.status) for one in outcomes]


def names(files: list[ArchiveFile]) -> list[str]:
    return [file.name for file in files]


def test_plan_takes_months_that_are_over_and_days_of_the_one_that_is_not() -> None:
    files = plan(["ETHUSDT"], "1m", date(2025, 1, 15), date(2025, 3, 31), date(2025, 3, 4), funding=True)
    assert names(files) == [
        "ETHUSDT-1m-2025-01", "ETHUSDT-fundingRate-2025-01",
        "ETHUSDT-1m-2025-02", "ETHUSDT-fundingRate-2025-02",
        "ETHUSDT-1m-2025-03-01", "ETHUSDT-1m-2025-03-02", "ETHUSDT-1m-2025-03-03",
    ]  # fmt: skip


def test_plan_on_the_first_of_a_month_takes_the_month_before_whole() -> None:
    files = plan(["ETHUSDT"], "1m", date(2024, 12, 31), date(2025, 1, 1), date(2025, 1, 1), funding=False)
    assert names(files) == ["ETHUSDT-1m-2024-12"]


def test_archive_paths_are_those_of_the_venue() -> None:
    assert MONTH.path == "data/futures/um/monthly/klines/ETHUSDT/1m/ETHUSDT-1m-2025-02.zip"
    assert DAY.path == "data/futures/um/daily/klines/ETHUSDT/1m/ETHUSDT-1m-2025-03-01.zip"
    funding = ArchiveFile("ETHUSDT", FUNDING, "2025-02")
    assert funding.path == "data/futures/um/monthly/fundingRate/ETHUSDT/ETHUSDT-fundingRate-2025-02.zip"
    assert (MONTH.last_day, ArchiveFile("X", "1m", "2024-12").last_day) == (date(2025, 2, 28), date(2024, 12, 31))


@pytest.mark.parametrize("header", [True, False])
async def test_download_keeps_every_digit_and_the_backtest_reads_it(archive, tmp_path, header) -> None:
    archive.add(DAY, header=header)
    archive.add(NEXT_DAY, header=header)
    outcomes = await fetch(archive, Store(tmp_path), DAY, NEXT_DAY)
    assert states(outcomes) == [("2025-03-01", Status.FETCHED), ("2025-03-02", Status.FETCHED)]
    assert [one.kept.rows for one in outcomes if one.kept] == [1_440, 1_440]
    (candles,) = load(tmp_path).candles
    assert len(candles) == 2_880
    assert (candles.price(int(candles.open[1])), candles.columns.close[3]) == (Decimal("101.10"), 103.2)
    text = tmp_path / "text" / "ETHUSDT-1m.csv"
    text.parent.mkdir()
    text.write_text(candle_rows(DAY))
    as_text, as_kept = read(text), read(Store(tmp_path).path(DAY))
    assert all((a == b).all() for a, b in zip(as_text.values, as_kept.values, strict=False))


async def test_number_of_more_digits_than_a_double_is_kept_as_text(archive, tmp_path) -> None:
    exact = "12345678901.12345678"
    archive.add(DAY, candle_rows(DAY).replace(",250.00000,", f",{exact},", 1))
    await fetch(archive, Store(tmp_path), DAY)
    column = parquet.read_table(Store(tmp_path).path(DAY)).column("quote_volume")
    assert column[0].as_py() == exact


async def test_verified_file_is_not_fetched_again(archive, tmp_path) -> None:
    archive.add(DAY)
    await fetch(archive, Store(tmp_path), DAY)
    archive.asked.clear()
    assert states(await fetch(archive, Store(tmp_path), DAY)) == [("2025-03-01", Status.THERE)]
    assert not archive.asked
    Store(tmp_path).path(DAY).write_bytes(b"PAR1 half a file")
    assert states(await fetch(archive, Store(tmp_path), DAY)) == [("2025-03-01", Status.FETCHED)]


async def test_month_replaces_its_days_and_a_day_of_a_kept_month_is_there(archive, tmp_path) -> None:
    days = [ArchiveFile("ETHUSDT", "1m", f"2025-02-{day:02}") for day in (1, 2)]
    for file in (*days, MONTH):
        archive.add(file)
    store = Store(tmp_path)
    await fetch(archive, store, *days)
    assert states(await fetch(archive, store, MONTH)) == [("2025-02", Status.FETCHED)]
    assert [path.name for path in tmp_path.glob("*.parquet")] == ["ETHUSDT-1m-2025-02.parquet"]
    assert states(await fetch(archive, store, days[0])) == [("2025-02-01", Status.THERE)]


async def test_month_that_is_not_published_yet_is_fetched_by_its_days(archive, tmp_path) -> None:
    for day in (27, 28):
        archive.add(ArchiveFile("ETHUSDT", "1m", f"2025-02-{day}"))
    outcomes = await fetch(archive, Store(tmp_path), MONTH)
    assert [period for period, status in states(outcomes) if status is Status.FETCHED] == ["2025-02-27", "2025-02-28"]
    assert sum(status is Status.ABSENT for _, status in states(outcomes)) == 26


async def test_old_month_that_is_not_there_is_absent_after_one_question(archive, tmp_path) -> None:
    old = ArchiveFile("ETHUSDT", "1m", "2019-01")
    assert states(await fetch(archive, Store(tmp_path), old)) == [("2019-01", Status.ABSENT)]
    assert sum(archive.asked.values()) == 1


async def test_wrong_checksum_is_refused_and_nothing_is_kept(archive, tmp_path) -> None:
    archive.add(DAY)
    archive.wrong_checksum.add(DAY.name)
    (outcome,) = await fetch(archive, Store(tmp_path), DAY)
    assert outcome.status is Status.FAILED and "checksum does not match" in outcome.reason
    assert archive.asked[DAY.path] == ATTEMPTS
    assert not Store(tmp_path).path(DAY).exists() and not Store(tmp_path).partial(DAY).exists()


async def test_checksum_that_is_wrong_once_is_fetched_anew(archive, tmp_path) -> None:
    archive.add(DAY)
    archive.wrong_once.add(DAY.name)
    assert states(await fetch(archive, Store(tmp_path), DAY)) == [("2025-03-01", Status.FETCHED)]


async def test_transfer_that_breaks_off_is_continued_where_it_ended(archive, tmp_path) -> None:
    archive.add(DAY)
    archive.cuts[DAY.name] = 2
    assert states(await fetch(archive, Store(tmp_path), DAY)) == [("2025-03-01", Status.FETCHED)]
    size = len(archive.files[DAY.path])
    assert archive.ranges == [f"bytes={size // 2}-", f"bytes={size // 2 + (size - size // 2) // 2}-"]


async def test_transfer_is_begun_anew_where_the_server_cannot_continue(archive, tmp_path) -> None:
    archive.add(DAY)
    archive.cuts[DAY.name], archive.no_ranges = 1, True
    assert states(await fetch(archive, Store(tmp_path), DAY)) == [("2025-03-01", Status.FETCHED)]


async def test_half_file_of_an_earlier_run_is_continued_and_a_foreign_one_replaced(archive, tmp_path) -> None:
    archive.add(DAY)
    store, content = Store(tmp_path), archive.files[DAY.path]
    for left in (content[:100], content, b"x" * 100, b"x" * (len(content) + 9)):
        store.path(DAY).unlink(missing_ok=True)
        store.partial(DAY).parent.mkdir(exist_ok=True)
        store.partial(DAY).write_bytes(left)
        assert states(await fetch(archive, store, DAY)) == [("2025-03-01", Status.FETCHED)]
    store.tidy()
    assert not store.partial(DAY).parent.exists()


async def test_server_errors_are_tried_again_and_given_up_after_a_while(archive, tmp_path) -> None:
    archive.add(DAY)
    archive.errors_before[DAY.name] = ATTEMPTS - 1
    assert states(await fetch(archive, Store(tmp_path), DAY)) == [("2025-03-01", Status.FETCHED)]
    archive.add(NEXT_DAY)
    archive.errors_before[NEXT_DAY.name] = 99
    (outcome,) = await fetch(archive, Store(tmp_path), NEXT_DAY)
    assert outcome.reason == f"the archive answered 503, {ATTEMPTS} times"


async def test_refused_file_fails_at_once_and_the_others_go_on(archive, tmp_path) -> None:
    archive.add(DAY)
    archive.add(NEXT_DAY)
    archive.forbidden.add(DAY.name)
    outcomes = await fetch(archive, Store(tmp_path), DAY, NEXT_DAY)
    assert states(outcomes) == [("2025-03-01", Status.FAILED), ("2025-03-02", Status.FETCHED)]
    assert archive.asked[f"{DAY.path}.CHECKSUM"] == 1


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"no zip", "no archive of one .csv file"),
        (zipped("x", "a,b\n1,2\n"), "holds no candles"),
        (zipped("x", candle_rows(DAY).replace("101.10", "many", 1)), "holds no candles"),
        (zipped("x", ""), "holds no candles"),
    ],
)
async def test_file_that_holds_no_candles_fails_with_its_reason(archive, tmp_path, content, what) -> None:
    archive.files[DAY.path] = content
    (outcome,) = await fetch(archive, Store(tmp_path), DAY)
    assert outcome.status is Status.FAILED and what in outcome.reason
    assert not list(tmp_path.glob("*.parquet")) and not list(tmp_path.glob(".*.half"))


async def test_candles_that_the_archive_lacks_are_counted_and_refused_by_the_backtest(archive, tmp_path) -> None:
    archive.add(DAY, candle_rows(DAY, start_minute=600, skip=frozenset({700, 701})))
    (outcome,) = await fetch(archive, Store(tmp_path), DAY)
    assert outcome.kept is not None and (outcome.kept.rows, outcome.kept.missing) == (838, 2)
    with pytest.raises(ConfigurationError, match="2 minutes missing"):
        load(tmp_path)


async def test_funding_is_kept_beside_the_candles_and_read_by_the_backtest(archive, tmp_path) -> None:
    archive.add(file := ArchiveFile("ETHUSDT", FUNDING, "2025-02"))
    store = Store(tmp_path)
    (outcome,) = await fetch(archive, store, file)
    assert outcome.kept is not None and outcome.kept.rows == 9
    points = load_funding(tmp_path, ["ETHUSDT"])["ETHUSDT"]
    assert (len(points), points[1].rate, points[1].time_ms % 60_000) == (9, Decimal("0.00011000"), 0)
    assert states(await fetch(archive, store, file)) == [("2025-02", Status.THERE)]
    store.path(file).write_bytes(gzip.compress(b"calc_time")[:-4])
    assert states(await fetch(archive, store, file)) == [("2025-02", Status.FETCHED)]


async def test_several_transfers_run_at_a_time_and_no_more(archive, tmp_path) -> None:
    files = [ArchiveFile("ETHUSDT", "1m", f"2025-03-{day:02}") for day in range(1, 8)]
    for file in files:
        archive.add(file)
        archive.hangs.add(file.name)
    async with open_session(3) as session:
        working = asyncio.create_task(download(files, Downloader(session, Store(tmp_path), archive.url), TODAY, jobs=3))
        async with asyncio.timeout(10):
            while sum(archive.asked[file.path] for file in files) < 3:  # noqa: ASYNC110 - counted by another task
                await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        assert sum(archive.asked[file.path] for file in files) == 3
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
    assert not list(tmp_path.glob("*.parquet"))


async def test_archive_that_cannot_be_reached_ends_the_download_in_one_line(archive, tmp_path) -> None:
    async with open_session(1) as session:
        downloader = Downloader(session, Store(tmp_path), "http://127.0.0.1:1/x", sleep=no_wait)
        with pytest.raises(RuntimeFailure, match=r"127\.0\.0\.1:1/x: .*check the network and --base-url"):
            await download([DAY, NEXT_DAY], downloader, TODAY, jobs=1)
