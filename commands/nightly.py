"""Every night while trading: the finished day is compared with its replay, in a process of its own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import orjson

from config.settings import Settings
from core.enums import Environment

PROGRAM = Path(__file__).resolve().parent.parent / "main.py"
PATIENCE_S = 900.0
_LOG = logging.getLogger("main")


class NightlyDrift:
    """Answers `review` of the daily summary: runs `main.py drift` on a day and returns its result in one line.

    A call blocks, so it belongs into a thread; the event loop goes on, for the work is another process's. `close` ends
    a comparison that is under way.
    """

    def __init__(self, settings: Settings, command: tuple[str, ...] = (sys.executable, str(PROGRAM), "drift")) -> None:
        # The database travels in the environment, so that no password stands on a command line; a comparison needs
        # no keys, whatever the mode is.
        self._environment = os.environ | {
            "DB_URL": settings.db_url,
            "STRATEGIES_DIR": str(settings.strategies_dir.absolute()),
            "MODE": Environment.SIM.value,
        }
        self._command = command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._is_closed = False

    def __call__(self, day: str) -> str:
        """Return how `day` compares with its replay, or why it could not be compared."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "drift.json"
            try:
                reason = self._run("--day", day, "--json", str(file))
                if reason is None:
                    headline = str(orjson.loads(file.read_bytes())["headline"])
                    _LOG.info("drift of %s: %s", day, headline)
                    return headline
            except (OSError, ValueError, KeyError) as error:
                reason = f"{type(error).__name__}: {error}"
        _LOG.warning("drift of %s could not be told: %s", day, reason)
        return f"not compared: {reason}"

    def close(self) -> None:
        """End a comparison that is under way; none begins afterwards."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.kill()

    def _run(self, *arguments: str) -> str | None:
        """Run the comparison to its end; return why it failed, None when it did not."""
        with self._lock:
            if self._is_closed:
                return "the trader is stopping"
            process = self._process = subprocess.Popen(
                [*self._command, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,  # Ctrl-C is for the trader, which ends it
            )
        try:
            _, errors = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return f"not done within {PATIENCE_S:g} s"
        finally:
            self._process = None
        return None if process.returncode == 0 else " ".join(errors.split()) or f"exit code {process.returncode}"
