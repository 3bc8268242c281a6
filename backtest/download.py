"""Fetches files of the venue's public archive into a store: checksum, continuation, retries, a few at a time."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path

import aiohttp

from backtest.download_plan import ArchiveFile
from backtest.download_store import Kept, Store
from core.errors import RuntimeFailure
from utils.backoff import Backoff

ARCHIVE_URL = "https://data.binance.vision"
ATTEMPTS = 5
FIRST_DELAY_S = 0.5
LONGEST_DELAY_S = 10.0
CHUNK_BYTES = 1 << 16
TIMEOUT = aiohttp.ClientTimeout(total=None, connect=20, sock_read=60)
_CHECKSUM = re.compile(r"^[0-9a-f]{64}\b")


class Status(Enum):
    """What became of a file."""

    FETCHED = "fetched"
    THERE = "there"
    ABSENT = "absent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: `kept` when it was fetched, `reason` when it failed."""

    file: ArchiveFile
    status: Status
    kept: Kept | None = None
    reason: str = ""


class _TryAgain(Exception):
    """This attempt failed in a way that the next one may not."""


class _Absent(Exception):
    """The archive does not have this file."""


class _Refused(Exception):
    """The archive does not give this file, and trying again would not help."""


class Downloader:
    """Fetches single files. `on_bytes` hears of every piece; `sleep` waits between attempts."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        store: Store,
        base_url: str = ARCHIVE_URL,
        *,
        on_bytes: Callable[[int], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._session = session
        self._store = store
        self._base_url = base_url.rstrip("/")
        self._on_bytes = on_bytes
        self._sleep = sleep

    async def fetch(self, file: ArchiveFile) -> Outcome:
        """Bring one file into the store, unless it is there.

        Raises RuntimeFailure when the archive cannot be reached at all, OSError when the store cannot be written.
        """
        if await asyncio.to_thread(self._store.has, file):
            return Outcome(file, Status.THERE)
        partial = self._store.partial(file)
        delays = Backoff(FIRST_DELAY_S, LONGEST_DELAY_S, seed=_seed(file))
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return Outcome(file, Status.FETCHED, await self._attempt(file, partial))
            except _Absent:
                return Outcome(file, Status.ABSENT)
            except _Refused as error:
                return Outcome(file, Status.FAILED, reason=str(error))
            except _TryAgain as error:
                if attempt == ATTEMPTS:
                    return Outcome(file, Status.FAILED, reason=f"{error}, {ATTEMPTS} times")
            except aiohttp.ClientConnectorError as error:
                if attempt == ATTEMPTS:
                    raise RuntimeFailure(
                        f"{self._base_url}: {error}; check the network and --base-url, then run the same command "
                        "again: what was fetched is kept"
                    ) from None
            await self._sleep(delays.next_delay())
        raise AssertionError("every attempt returns, raises or is the last")

    async def _attempt(self, file: ArchiveFile, partial: Path) -> Kept:
        try:
            checksum = await self._checksum(file)
            await self._transfer(file, partial)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _TryAgain(f"the transfer broke off ({type(error).__name__})") from None
        try:
            return await asyncio.to_thread(self._keep, file, partial, checksum)
        except RuntimeFailure as error:
            raise _Refused(str(error)) from None

    def _keep(self, file: ArchiveFile, partial: Path, checksum: str) -> Kept:
        """Take a whole transfer into the store; one that turns out to be wrong is thrown away, to be fetched anew."""
        try:
            if _sha256(partial) != checksum:
                raise _TryAgain("the checksum does not match")
            return self._store.keep(file, partial, checksum)
        except (_TryAgain, RuntimeFailure):
            partial.unlink(missing_ok=True)
            raise

    async def _checksum(self, file: ArchiveFile) -> str:
        async with self._session.get(f"{self._base_url}/{file.path}.CHECKSUM") as response:
            _judge(response)
            text = (await response.text(errors="replace")).strip().lower()
        if not _CHECKSUM.match(text):
            raise _TryAgain(f"the checksum file holds none but {text[:40]!r}")
        return text[:64]

    async def _transfer(self, file: ArchiveFile, partial: Path) -> None:
        """Append to `partial` what it lacks; a server that cannot continue sends all of it."""
        have = _size(partial)
        headers = {"Range": f"bytes={have}-"} if have else {}
        async with self._session.get(f"{self._base_url}/{file.path}", headers=headers) as response:
            if response.status == 416:  # nothing is lacking, or what we have is of another file: the checksum tells
                return
            _judge(response)
            with _Part(partial, append=response.status == 206) as part:
                async for piece in response.content.iter_chunked(CHUNK_BYTES):
                    part.write(piece)
                    self._on_bytes(len(piece))


class _Part:
    """A transfer on disk, kept as far as it came."""

    def __init__(self, path: Path, *, append: bool) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab" if append else "wb")

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, piece: bytes) -> None:
        self._file.write(piece)


async def download(
    files: Sequence[ArchiveFile],
    downloader: Downloader,
    today: date,
    *,
    jobs: int,
    on_outcome: Callable[[Outcome, int], None] = lambda _outcome, _more: None,
) -> list[Outcome]:
    """Fetch all files, `jobs` at a time, and return what became of each, in the order of completion.

    A month that may not be published yet is fetched by its days: `on_outcome` hears of each outcome, and of how many
    files came to the list by it. Raises what `Downloader.fetch` raises, after the other transfers were stopped.
    """
    waiting, outcomes = deque(files), list[Outcome]()

    async def work() -> None:
        while waiting:
            outcome = await downloader.fetch(file := waiting.popleft())
            if outcome.status is Status.ABSENT and file.may_come_late(today):
                waiting.extendleft(reversed(file.of_days()))
                on_outcome(outcome, len(file.of_days()))
                continue
            outcomes.append(outcome)
            on_outcome(outcome, 0)

    workers = [asyncio.create_task(work()) for _ in range(max(1, jobs))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return outcomes


def open_session(jobs: int) -> aiohttp.ClientSession:
    """Return a session for `Downloader`; the environment's proxy counts. Bytes come as they are stored."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=jobs),
        timeout=TIMEOUT,
        trust_env=True,
        headers={"Accept-Encoding": "identity"},
    )


def _judge(response: aiohttp.ClientResponse) -> None:
    status = response.status
    if status == 404:
        raise _Absent
    if status >= 500 or status == 429:
        raise _TryAgain(f"the archive answered {status}")
    if status not in (200, 206):
        raise _Refused(f"the archive answered {status}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _sha256(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seed(file: ArchiveFile) -> int:
    return int.from_bytes(hashlib.sha256(file.name.encode()).digest()[:4], "big")
