"""A run to measure: the exchange and the trader as processes of their own, with a configuration of the benchmark's own.

Nothing is replaced: both are started through `main.py`. Only the parameters are such that many symbols signal at once
(a band of almost no width, no trend filter, positions closed before the next candle) and that the account carries it.
The exchange has the last core to itself, where the machine has several: a real one runs on a machine of its own.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

PROJECT = Path(__file__).resolve().parent.parent
STRATEGY = "vwap_reversion"
DEPOSIT = "1000000"
READY_WAIT_S = 60.0
START_WAIT_S = 300.0
STOP_WAIT_S = 60.0

_PARAMETERS = """\
enabled: true
symbols: all
interval: 1m
k: {k}
adx_window: 14
adx_max: 100
target_pct: 0.6
stop_pct: 0.3
volatility_halt_pct: 50
"""

_LIMITS = """\
quote_asset: USDT
sizing: {{risk_usd: 10}}
limits:
  max_total_exposure_fraction: 3.0
  max_open_positions: {positions}
  max_daily_loss_fraction: 0.99
  max_drawdown_fraction: 0.99
defaults: {{max_position_notional: 1000, max_exposure_fraction: 0.25, max_holding_ms: {holding_ms}}}
symbols: {{BTCUSDT: {{}}}}
"""


class RunFailed(Exception):
    """The run cannot be measured; the message says why."""


def _take_cores(part: str) -> None:
    """Keep the exchange and the trader off each other's cores; called in the new process."""
    if hasattr(os, "sched_setaffinity"):  # Linux only
        *others, last = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {last} if part == "exchange" else set(others) or {last})


@dataclass(frozen=True, slots=True)
class Load:
    """What is traded: symbols, market time per wall time, positions at a time, how long each is held (market time)."""

    symbols: int
    speed: float
    positions: int
    holding_ms: int
    start: str
    """First instant of the market: fixed, so that every run reads the same amount of history."""
    k: float = 0.05
    """Half-width of the band outside which a symbol signals: so narrow that nearly all do."""


class TradingRun:
    """Context manager: an exchange and a trader in `folder`, ended together. `heartbeat()` is what the trader says."""

    def __init__(self, load: Load, folder: Path) -> None:
        self.load = load
        self.folder = folder
        self.journal = folder / "exchange.journal"
        self.database = folder / "trader.db"
        self.rest_url = ""
        self.started_s = 0.0
        self.start_up_s = 0.0
        self._exchange: subprocess.Popen[bytes] | None = None
        self._trader: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> TradingRun:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._write_configuration()
        try:
            self._start_exchange()
            self._start_trader()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (self._trader, self._exchange):
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(STOP_WAIT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    @property
    def trader_pid(self) -> int:
        assert self._trader is not None
        return self._trader.pid

    def heartbeat(self) -> dict[str, Any]:
        """Return the trader's newest heartbeat, empty before the first; raises RunFailed when the trader ended."""
        assert self._trader is not None
        if self._trader.poll() is not None:
            raise RunFailed(f"the trader ended with exit code {self._trader.returncode}: {self._last_words()}")
        try:
            found: dict[str, Any] = orjson.loads((self.folder / "status" / "heartbeat.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def wait_until_warm(self) -> dict[str, Any]:
        """Return the first heartbeat that says that every symbol is ready for its next candle."""
        deadline = time.monotonic() + START_WAIT_S
        while time.monotonic() < deadline:
            beat = self.heartbeat()
            started = "Trader started" in self._said()
            if started and beat and beat["queues"]["symbols_waiting"] == 0:
                self.start_up_s = time.monotonic() - self.started_s
                return beat
            time.sleep(0.25)
        raise RunFailed(f"the trader was not ready within {START_WAIT_S:.0f} s: {self._last_words()}")

    def stop_trader(self) -> None:
        """Ask the trader to stop, as Ctrl-C does; raises RunFailed when it does not end well."""
        assert self._trader is not None
        self._trader.send_signal(signal.SIGINT)
        try:
            code = self._trader.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            raise RunFailed(f"the trader did not stop within {STOP_WAIT_S:.0f} s") from None
        if code != 0:
            raise RunFailed(f"the trader ended with exit code {code}: {self._last_words()}")

    def _write_configuration(self) -> None:
        config, strategy = self.folder / "config", self.folder / "strategies" / STRATEGY
        config.mkdir(parents=True)
        strategy.mkdir(parents=True)
        (config / "symbols.yaml").write_text(
            _LIMITS.format(positions=self.load.positions, holding_ms=self.load.holding_ms)
        )
        shutil.copy(PROJECT / "strategies" / STRATEGY / "strategy.py", strategy)
        (strategy / "default.yaml").write_text(_PARAMETERS.format(k=self.load.k))

    def _start_exchange(self) -> None:
        load = self.load
        arguments = f"--port 0 --symbols {load.symbols} --speed {load.speed:g} --deposit {DEPOSIT} --start {load.start}"
        self._exchange = self._start(["exchange", *arguments.split(), "--journal", str(self.journal)], "exchange")
        deadline = time.monotonic() + READY_WAIT_S
        while time.monotonic() < deadline and self._exchange.poll() is None:
            for line in (self.folder / "exchange.out").read_text().splitlines():
                if line.startswith("REST"):
                    self.rest_url = line.split()[1]
                    return
            time.sleep(0.1)
        raise RunFailed(f"the exchange did not start: see {self.folder / 'exchange.out'}")

    def _start_trader(self) -> None:
        arguments = ["run", "--mode", "sim", "--exchange", self.rest_url, "--symbols", str(self.load.symbols)]
        self.started_s = time.monotonic()
        self._trader = self._start([*arguments, "--db", f"sqlite:///{self.database}"], "trader")

    def _start(self, arguments: list[str], name: str) -> subprocess.Popen[bytes]:
        folders = {"CONFIG_DIR": "config", "STRATEGIES_DIR": "strategies", "STATUS_DIR": "status", "LOG_DIR": "logs"}
        environment = os.environ | {key: str(self.folder / path) for key, path in folders.items()}
        with (self.folder / f"{name}.out").open("wb") as out:
            return subprocess.Popen(
                [sys.executable, "main.py", *arguments],
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=functools.partial(_take_cores, arguments[0]),  # noqa: PLW1509 - this process has no threads
            )

    def _said(self) -> str:
        return (self.folder / "trader.out").read_text(errors="replace")

    def _last_words(self) -> str:
        lines = self._said().strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process in MB (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RunFailed(f"process {pid} tells no resident memory")


def json_line(figures: dict[str, Any]) -> str:
    """Return the figures as the one line that ends a benchmark."""
    return json.dumps(figures, separators=(",", ":"))
