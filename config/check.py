"""Builds the report of `main.py check`: findings, and the effective configuration, secrets masked. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from config.load import DEFAULT, LoadedSettings
from config.settings import Settings
from core.errors import ConfigurationError
from core.limits import SymbolLimits, TradingConfig
from utils.redaction import MASK, redact
from utils.yaml_source import shown_path


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `text` is what is wrong and what to do, or what was found."""

    ok: bool
    subject: str
    text: str

    @property
    def sentence(self) -> str:
        """What was looked at and what is to be said of it; a text that begins with the file's name needs no other."""
        return self.text if self.text.startswith(f"{self.subject}:") else f"{self.subject}: {self.text}"


@dataclass(frozen=True, slots=True)
class EffectiveValue:
    """One setting as it counts, and where it comes from. Secrets are masked."""

    name: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All findings and the effective configuration, in the order in which they were made."""

    findings: tuple[Finding, ...]
    effective: tuple[EffectiveValue, ...] = ()

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)

    def lines(self) -> list[str]:
        """Return the report as plain lines: problems last, so that they stand above the prompt."""
        ordered = sorted(self.findings, key=lambda finding: not finding.ok)
        return [*table(self.effective), "", *(f"{'ok   ' if each.ok else 'ERROR'} {each.sentence}" for each in ordered)]


def examine(subject: str, step: Callable[[], str]) -> list[Finding]:
    """Run one step of the check: its text when it passes, one finding a line of the ConfigurationError when not."""
    try:
        return [Finding(True, subject, redact(step()))]
    except ConfigurationError as error:
        return [Finding(False, subject, redact(line)) for line in str(error).splitlines()]


def check_file_mode(env_file: Path, settings: Settings) -> list[Finding]:
    """Complain about a `.env` that holds secrets and that other users of the machine can read."""
    if not settings.secret_values() or not env_file.is_file():
        return []
    mode = env_file.stat().st_mode & 0o777
    if mode & 0o077:
        name = shown_path(env_file)
        return [Finding(False, "secrets", f"{name}: other users can read it (mode {mode:o}); run: chmod 600 {name}")]
    return [Finding(True, "secrets", f"{shown_path(env_file)} is readable by its owner only")]


def effective_settings(loaded: LoadedSettings) -> list[EffectiveValue]:
    """Return every setting in upper case with its value and origin. Secrets show as `****`, or as empty."""
    return [
        EffectiveValue(name.upper(), _shown(name, getattr(loaded.settings, name)), loaded.origins.get(name, DEFAULT))
        for name in Settings.model_fields
    ]


def effective_trading(config: TradingConfig, path: Path) -> list[EffectiveValue]:
    """Return sizing, limits and every symbol's limits as they count."""
    origin = shown_path(path)
    rows = [
        EffectiveValue(f"{part}.{field.name}", _text(getattr(values, field.name)), origin)
        for part, values in (("sizing", config.sizing), ("limits", config.limits))
        for field in fields(values)
    ]
    return rows + [
        EffectiveValue(f"symbols.{symbol}", _one_line(entry), origin) for symbol, entry in config.symbols.items()
    ]


def report(findings: Iterable[Finding], effective: Iterable[EffectiveValue]) -> CheckReport:
    return CheckReport(tuple(findings), tuple(effective))


def table(rows: Sequence[EffectiveValue]) -> list[str]:
    """Return rows as aligned columns: name, value, (origin)."""
    if not rows:
        return []
    name_width = max(len(row.name) for row in rows)
    value_width = min(60, max(len(row.value) for row in rows))
    return [f"{row.name:<{name_width}}  {row.value:<{value_width}}  ({row.origin})" for row in rows]


def _shown(name: str, value: Any) -> str:
    if isinstance(value, SecretStr):
        return MASK
    return mask_url(value) if name == "db_url" else _text(value)


def mask_url(url: str) -> str:
    """Return a URL with its password masked."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user_info, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user_info.partition(':')[0]}:{MASK}@{host}"))


def _one_line(limits: SymbolLimits) -> str:
    values = {field.name: getattr(limits, field.name) for field in fields(limits) if field.name != "symbol"}
    return " ".join(f"{name}={_text(value)}" for name, value in values.items() if value is not None)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value.value) if isinstance(value, Enum) else str(value)
