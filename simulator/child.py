"""The embedded exchange as a child process: started, awaited, restarted on the same port, ended with its parent."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from core.errors import ConfigurationError, RuntimeFailure, TraderError
from simulator.options import KEY_VARIABLE, SECRET_VARIABLE, ExchangeOptions, ReadyInfo
from utils.logging import get_logger

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DEFAULT_COMMAND = (sys.executable, "main.py", "exchange")
READY_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
CONFIGURATION_EXIT_CODE = 2
RESTARTS_IN_A_ROW = 5
STEADY_AFTER_S = 30.0
"""A child that has lived this long has recovered: its restarts are counted from zero again."""

log = get_logger(__name__)


class ChildExchange:
    """Owns one exchange process.

    The child ends by itself when its standard input closes, so it never outlives this process, however that ends.
    `on_restart` is told the reason of each unexpected end before the child is started again.
    """

    def __init__(
        self,
        options: ExchangeOptions,
        *,
        command: Sequence[str] = DEFAULT_COMMAND,
        cwd: Path = PROJECT_ROOT,
        on_restart: Callable[[str], None] | None = None,
        ready_timeout_s: float = READY_TIMEOUT_S,
    ) -> None:
        self._options = options
        self._command = tuple(command)
        self._cwd = cwd
        self._on_restart = on_restart
        self._ready_timeout_s = ready_timeout_s
        self._process: Process | None = None
        self._drains: list[asyncio.Task[None]] = []
        self._supervisor: asyncio.Task[None] | None = None
        self._last_lines: deque[str] = deque(maxlen=20)
        self._failure: asyncio.Future[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running child."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> ReadyInfo:
        """Start the child and return where it is reached.

        Raises RuntimeFailure with the end of the child's own words when it ends or stays silent instead, and
        ConfigurationError with them when its options or data were at fault.
        """
        self._failure = asyncio.get_running_loop().create_future()
        info = await self._launch()
        port = urlsplit(info.rest_url).port
        assert port is not None
        self._options = replace(self._options, port=port)
        self._supervisor = asyncio.create_task(self._supervise())
        return info

    async def wait_failed(self) -> None:
        """Return never, or raise RuntimeFailure once the child cannot be kept alive."""
        assert self._failure is not None, "start() comes first"
        await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """End the child: politely, then by force. Its journal is complete either way."""
        if self._supervisor:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        await self._end()

    async def _launch(self) -> ReadyInfo:
        environment = os.environ | {
            KEY_VARIABLE: self._options.api_key,
            SECRET_VARIABLE: self._options.api_secret,
        }
        self._last_lines.clear()
        # A session of its own: Ctrl-C in the terminal reaches the trader alone, which then ends its exchange last.
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command,
            *arguments(self._options),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=self._cwd,
            env=environment,
            start_new_session=True,
        )
        self._drains = [asyncio.create_task(self._drain(process.stderr))]
        try:
            async with asyncio.timeout(self._ready_timeout_s):
                info = await self._read_ready(process)
        except TimeoutError:
            await self._end()
            raise RuntimeFailure(
                f"the embedded exchange did not get ready within {self._ready_timeout_s:g} s; {self._words()}"
            ) from None
        if info is None:
            await process.wait()
            await asyncio.wait(self._drains, timeout=1.0)
            if process.returncode == CONFIGURATION_EXIT_CODE and self._last_lines:
                raise ConfigurationError(self._words())
            raise RuntimeFailure(
                f"the embedded exchange did not start (exit code {process.returncode}): {self._words()}"
            )
        self._drains.append(asyncio.create_task(self._drain(process.stdout)))
        return info

    async def _read_ready(self, process: Process) -> ReadyInfo | None:
        """Read lines until the READY line; None when the child closes its output without one."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            info = ReadyInfo.from_line(line.decode(errors="replace").rstrip())
            if info is not None:
                return info
        return None

    async def _drain(self, stream: asyncio.StreamReader | None) -> None:
        """Read the child's output so that it never blocks on a full pipe; keep its last lines for errors."""
        assert stream is not None
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # a line beyond the reader's limit: dropped
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self._last_lines.append(text)
            log.debug("exchange says", line=text)

    async def _supervise(self) -> None:
        """Start the child again whenever it ends by itself; give up after several ends in a row."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            assert self._process is not None and self._failure is not None
            started = loop.time()
            code = await self._process.wait()
            failures = 1 if loop.time() - started > STEADY_AFTER_S else failures + 1
            await asyncio.wait(self._drains, timeout=1.0)
            reason = f"the embedded exchange ended unexpectedly (exit code {code}): {self._words()}"
            log.warning("exchange ended, starting it again", exit_code=code, restart=failures)
            if self._on_restart:
                self._on_restart(reason)
            while failures <= RESTARTS_IN_A_ROW:
                try:
                    await self._launch()
                    break
                except TraderError as error:
                    reason = str(error)
                    failures += 1
                    await asyncio.sleep(min(0.1 * 2**failures, 2.0))
            else:
                self._failure.set_exception(RuntimeFailure(f"{reason}; given up after {RESTARTS_IN_A_ROW} restarts"))
                self._failure.exception()
                return

    async def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.stdin is not None:
            process.stdin.close()
        for drain in self._drains:
            drain.cancel()
        await asyncio.gather(*self._drains, return_exceptions=True)

    def _words(self) -> str:
        """The last thing the child said, on one line."""
        return self._last_lines[-1] if self._last_lines else "it said nothing"


def arguments(options: ExchangeOptions) -> list[str]:
    """Return the command line of an exchange with these options; keys travel in the environment instead."""
    symbols = options.symbols
    named = {
        "--port": options.port,
        "--host": options.host,
        "--seed": options.seed,
        "--speed": options.speed,
        "--deposit": format(options.deposit, "f"),
        "--data": options.data_dir,
        "--symbols": ",".join(symbols) if isinstance(symbols, tuple) else symbols,
        "--start": options.start_ms,
        "--journal": options.journal.absolute() if options.journal else None,
        "--live-url": options.live_url,
        "--live-stream-url": options.live_stream_url,
        "--faults": options.faults.absolute() if options.faults else None,
    }
    given = [text for name, value in named.items() if value is not None for text in (name, str(value))]
    switches = {"--countdown-cancels-algos": options.countdown_cancels_algos, "--lockstep": options.lockstep}
    return [*given, *(name for name, is_on in switches.items() if is_on), "--ready-line", "--parent-watch"]


def watch_parent(stop: asyncio.Event) -> None:
    """Set `stop` when this process's standard input ends, which is when its parent has gone. Call within the loop."""
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def wait_for_end() -> None:
        while os.read(stdin, 4096):  # unbuffered: a reader's lock would be in the way of this process's own end
            pass
        with suppress(RuntimeError):  # the loop has ended first
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=wait_for_end, name="parent-watch", daemon=True).start()
