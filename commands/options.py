"""What the command line of `run` asks for, and which options contradict one another. Light: read before a run."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from config.settings import Settings
from core.enums import Environment
from core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the command line of `run` adds to the settings."""

    seconds: float | None
    symbols: tuple[str, ...] | int | None
    exchange_url: str | None
    fresh: bool
    keep_database: bool
    """The database was named on the command line: never set it aside without being told to."""
    lockstep: bool = False
    """Play a recording by the rules of a backtest, as fast as the trader acts. Always a new account."""
    throwaway: bool = False
    """An account for a look only: the embedded exchange keeps no journal."""


def refuse_contradictions(settings: Settings, options: RunOptions, *, data: bool, speed: bool) -> None:
    """Raise ConfigurationError for options of the command line that this mode could only ignore.

    `data` and `speed` tell whether these were given there.
    """
    mode = settings.mode
    is_ours = mode in (Environment.SIM, Environment.PAPER) and options.exchange_url is None
    for option, is_given, is_possible, needs in (
        ("--data", data, mode is Environment.SIM and is_ours, "plays recorded candles on our own exchange: mode sim"),
        ("--speed", speed, mode is Environment.SIM and is_ours, "belongs to our own exchange: mode sim"),
        ("--exchange", options.exchange_url is not None, mode is Environment.SIM, "is for mode sim"),
        (
            "--lockstep",
            options.lockstep,
            mode is Environment.SIM and is_ours,
            "plays --data on our own exchange: mode sim",
        ),
        ("--fresh", options.fresh, is_ours, "starts our own exchange over: modes sim and paper"),
    ):
        if is_given and not is_possible:
            at = " with --exchange" if options.exchange_url is not None and option != "--exchange" else ""
            raise ConfigurationError(f"command line: {option} {needs}; it means nothing in mode {mode.value}{at}")
    if options.lockstep and not data:
        raise ConfigurationError("command line: --lockstep plays recorded candles; name their folder with --data")
    if options.exchange_url is not None:
        parts = urlsplit(options.exchange_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
            raise ConfigurationError(
                f"command line: --exchange: {options.exchange_url!r} is no address; write http://127.0.0.1:PORT"
            )
