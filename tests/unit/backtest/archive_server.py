"""A server on loopback that serves files in the layout of the venue's public archive, and misbehaves where told to."""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType

from aiohttp import web

from backtest.download_plan import ArchiveFile
from simulator.market.archive import HEADER


def candle_rows(file: ArchiveFile, start_minute: int = 0, skip: frozenset[int] = frozenset()) -> str:
    """Return the minutes of a file's first hours as the archive writes them: some digits that end in zeros."""
    first = datetime.combine(file.first_day, datetime.min.time(), UTC)
    start = int(first.timestamp()) * 1000
    rows = []
    for minute in range(start_minute, 1_440 * ((file.last_day - file.first_day).days + 1)):
        if minute in skip:
            continue
        time = start + minute * 60_000
        price = 100 + minute % 50
        row = (
            f"{time},{price}.10,{price + 1}.00,{price - 1}.90,{price}.20,2.500,{time + 59_999},"
            f"{2.5 * price:.5f},7,1.000,{price}.00000,0"
        )
        rows.append(row)
    return "\n".join(rows) + "\n"


def zipped(name: str, text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(f"{name}.csv"), text)
    return content.getvalue()


@dataclass
class Archive:
    """Files by path. `asked` counts requests by path; the sets name files (by name) that are served badly."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)
    errors_before: Counter[str] = field(default_factory=Counter)
    """How many times 503 is answered first."""
    cuts: Counter[str] = field(default_factory=Counter)
    """How many transfers break off half way first."""
    wrong_checksum: set[str] = field(default_factory=set)
    wrong_once: set[str] = field(default_factory=set)
    forbidden: set[str] = field(default_factory=set)
    hangs: set[str] = field(default_factory=set)
    """Transfers that stop half way and stay open."""
    no_ranges: bool = False
    url: str = ""
    _runner: web.AppRunner | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, file: ArchiveFile, text: str | None = None, header: bool = True) -> None:
        if text is None and file.is_funding:
            start = int(datetime.combine(file.first_day, datetime.min.time(), UTC).timestamp()) * 1000
            rows = [f"{start + 28_800_000 * number + 3},8,0.000{number % 9}1000" for number in range(9)]
            text = "calc_time,funding_interval_hours,last_funding_rate\n" + "\n".join(rows) + "\n"
        elif text is None:
            text = (",".join(HEADER) + "\n" if header else "") + candle_rows(file)
        self.files[file.path] = zipped(file.name, text)

    async def __aenter__(self) -> Archive:
        app = web.Application()
        app.router.add_get("/mirror/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/mirror"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        self._over.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        self.asked[path] += 1
        wanted = path.removesuffix(".CHECKSUM")
        name = wanted.rsplit("/", 1)[-1].removesuffix(".zip")
        content = self.files.get(wanted)
        if content is None:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        if name in self.forbidden:
            return web.Response(status=403)
        if self.errors_before[name]:
            self.errors_before[name] -= 1
            return web.Response(status=503)
        if path != wanted:
            wrong = name in self.wrong_checksum or name in self.wrong_once
            self.wrong_once.discard(name)
            digest = "0" * 64 if wrong else hashlib.sha256(content).hexdigest()
            return web.Response(text=f"{digest}  {name}.zip\n")
        return await self._send(request, name, content)

    async def _send(self, request: web.Request, name: str, content: bytes) -> web.StreamResponse:
        start = 0
        if (asked := request.headers.get("Range")) and not self.no_ranges:
            self.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return web.Response(status=416)
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(content) - start
        await response.prepare(request)
        if self.cuts[name] or name in self.hangs:
            await response.write(content[start : start + (len(content) - start) // 2])
            if name in self.hangs:
                await self._over.wait()
                return response
            self.cuts[name] -= 1
            assert request.transport is not None
            request.transport.close()
            return response
        await response.write(content[start:])
        await response.write_eof()
        return response
