"""`main.py download`: candles and funding of the venue's public archive into a folder that `backtest` replays."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from commands.common import STOPPED, kind_errors, run_loop, stop_on_signals, writable_folder
from core.errors import ConfigurationError

if TYPE_CHECKING:
    from backtest.download import Outcome
    from backtest.download_plan import ArchiveFile
    from backtest.download_store import Store


@kind_errors
def download(
    symbols: Annotated[list[str], typer.Argument(help="Symbols, such as BTCUSDT ETHUSDT.")],
    start: Annotated[str, typer.Option("--from", help="First UTC day, such as 2025-01-01.")],
    end: Annotated[
        str | None, typer.Option("--to", help="Last UTC day, included; yesterday is the newest there is. (default)")
    ] = None,
    interval: Annotated[str, typer.Option(help="Interval of the candles; backtests replay 1m.")] = "1m",
    store: Annotated[Path, typer.Option("--store", help="Folder to keep them in.")] = Path("data"),
    funding: Annotated[bool, typer.Option(help="Fetch the funding payments too.")] = True,
    jobs: Annotated[int, typer.Option(min=1, max=32, help="Transfers at a time.")] = 4,
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="A mirror of the archive. (default: the venue's)")
    ] = None,
) -> None:
    """Fetch recorded candles (and funding) from the venue's public archive, verified; what is there is not fetched."""
    from backtest.download import ARCHIVE_URL
    from backtest.download_plan import plan
    from backtest.download_store import Store
    from core.clock import SystemClock
    from utils.timefmt import to_datetime

    today = to_datetime(SystemClock().now_ms()).date()
    first, last = _day("--from", start), today if end is None else _day("--to", end)
    if first >= today:
        raise ConfigurationError(f"command line: --from {first}: the archive ends with yesterday; give an earlier day")
    if last < first:
        raise ConfigurationError(f"command line: --to {last} lies before --from {first}")
    files = plan(_symbols(symbols), _interval(interval), first, last, today, funding=funding)
    url = _address(base_url or ARCHIVE_URL)
    _need_parquet()
    writable_folder("--store", store)
    raise typer.Exit(run_loop(lambda: _fetch(files, Store(store), url, today, jobs)))


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError(f"command line: {option} {text!r} is not a day; write 2025-01-31") from None


def _symbols(texts: list[str]) -> list[str]:
    symbols = [one.strip().upper() for text in texts for one in text.split(",") if one.strip()]
    wrong = next((one for one in symbols if not one.isidentifier() and not one.isalnum()), None)
    if wrong is not None or not symbols:
        raise ConfigurationError(f"command line: {wrong or ''!r} is no symbol; write BTCUSDT ETHUSDT")
    return list(dict.fromkeys(symbols))


def _interval(text: str) -> str:
    from core.candle import INTERVAL_MS

    if text not in INTERVAL_MS:
        raise ConfigurationError(f"command line: --interval {text!r}: must be one of {', '.join(INTERVAL_MS)}")
    return text


def _address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(f"command line: --base-url: {text!r} is no address; write https://host/path")
    return text


def _need_parquet() -> None:
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise ConfigurationError("download: parquet files need pyarrow; install the project's ui group")


async def _fetch(files: list[ArchiveFile], store: Store, url: str, today: date, jobs: int) -> int:
    """Fetch with progress until done or told to stop; return the exit code."""
    from backtest.download import Downloader, open_session
    from backtest.download import download as fetch_all

    outcomes: list[Outcome] = []
    stop = stop_on_signals("stopping: what was fetched is kept")
    with Progress(len(files)) as progress:
        async with open_session(jobs) as session:
            downloader = Downloader(session, store, url, on_bytes=progress.on_bytes)

            def note(outcome: Outcome, more: int) -> None:
                progress.on_outcome(outcome, more)
                if not more:
                    outcomes.append(outcome)

            working = asyncio.create_task(fetch_all(files, downloader, today, jobs=jobs, on_outcome=note))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            is_stopped = not working.done()
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)
    await asyncio.to_thread(store.tidy)
    code = _conclude(outcomes, store, is_stopped)
    if not is_stopped:
        working.result()  # raises what ended it early
    return code


class Progress:
    """A bar where somebody watches, a line a file in a pipe."""

    def __init__(self, count: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        self._console = Console()
        self._bars = Bars(
            TextColumn("fetching"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("files, {task.fields[megabytes]:.1f} MB"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._total, self._bytes = count, 0
        self._task = self._bars.add_task("", total=count, megabytes=0.0)

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def on_bytes(self, count: int) -> None:
        self._bytes += count
        self._bars.update(self._task, megabytes=self._bytes / 1e6)

    def on_outcome(self, outcome: Outcome, more: int) -> None:
        """Count a file; `more` files came to the list by it."""
        self._total += more
        self._bars.update(self._task, total=self._total, advance=1)
        line = _line(outcome)
        if line and (not self._console.is_terminal or outcome.reason):
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _line(outcome: Outcome) -> str:
    """Return what is worth a line about one file; nothing of those that were there or are told together later."""
    kept = outcome.kept
    if outcome.reason:
        return f"{outcome.file.name}: failed: {outcome.reason}"
    if kept is None:
        return ""
    what = "payments" if outcome.file.is_funding else "candles"
    lacking = f"; the archive's file lacks {kept.missing:,}" if kept.missing else ""
    return f"{outcome.file.name}: {kept.rows:,} {what}{lacking}"


def _conclude(outcomes: list[Outcome], store: Store, is_stopped: bool) -> int:
    """Print what came of it and return the exit code."""
    from backtest.download import Status

    counts = {status: sum(one.status is status for one in outcomes) for status in Status}
    unknown = _tell_absent(outcomes)
    lacking = sum(one.kept.missing for one in outcomes if one.kept is not None)
    if lacking:
        typer.secho(f"{lacking:,} candles are missing in the archive's own files; replay with --allow-gaps", err=True)
    typer.echo(
        f"{store.folder}: {counts[Status.FETCHED]} files fetched, {counts[Status.THERE]} were there, "
        f"{counts[Status.ABSENT]} not in the archive, {counts[Status.FAILED]} failed"
    )
    if is_stopped:
        typer.secho("stopped as asked; the same command goes on where this one ended", err=True)
        return STOPPED
    if counts[Status.FAILED]:
        typer.secho("run the same command again to fetch what failed", err=True)
        return 1
    return 2 if unknown else 0


def _tell_absent(outcomes: list[Outcome]) -> list[str]:
    """Tell which periods the archive does not have; return the symbols of which it has nothing."""
    from backtest.download import Status

    unknown = []
    for symbol in dict.fromkeys(one.file.symbol for one in outcomes):
        candles = [one for one in outcomes if one.file.symbol == symbol and not one.file.is_funding]
        absent = sorted(one.file.period for one in candles if one.status is Status.ABSENT)
        found = sorted(one.file.period for one in candles if one.status in {Status.FETCHED, Status.THERE})
        if absent and not found and all(one.status is Status.ABSENT for one in candles):
            unknown.append(symbol)
            typer.secho(
                f"{symbol}: the archive has nothing from {absent[0]} to {absent[-1]}: not listed then, or another name",
                err=True,
            )
            continue
        before = [period for period in absent if found and period < found[0]]
        if before:
            typer.secho(f"{symbol}: not in the archive before {found[0]}: it was listed later", err=True)
        rest = absent[len(before) :]
        if rest:
            typer.secho(
                f"{symbol}: not in the archive (not published yet, or no longer listed): {_some(rest)}", err=True
            )
        payments = [one for one in outcomes if one.file.symbol == symbol and one.file.is_funding]
        unpaid = sorted(one.file.period for one in payments if one.status is Status.ABSENT)
        unpaid = [period for period in unpaid if found and period >= found[0][:7]]
        if unpaid:
            typer.secho(f"{symbol}: the archive has no funding of {_some(unpaid)}", err=True)
    return unknown


def _some(periods: list[str], most: int = 5) -> str:
    shown = ", ".join(periods[:most])
    return shown if len(periods) <= most else f"{shown} and {len(periods) - most} more"
