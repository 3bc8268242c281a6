"""Gathers settings from their sources, resolves secrets, validates, and says where a bad one stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from config.env_file import EnvFile, read_env_file
from config.secrets import OnePasswordResolver, SecretResolver, resolve_references
from config.settings import Settings
from core.errors import ConfigurationError
from utils.problems import Problem, did_you_mean, problems_in
from utils.redaction import register_secret
from utils.yaml_source import shown_path

ENV_FILE = Path(".env")
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings and, for each field, where its value came from: `default`, `.env:7`, `environment`, `command line`."""

    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    env_file: Path = ENV_FILE, overrides: Mapping[str, Any] | None = None, *, resolver: SecretResolver | None = None
) -> Settings:
    """Return the settings; see `load_settings_with_origins`."""
    return load_settings_with_origins(env_file, overrides, resolver=resolver).settings


def load_settings_with_origins(
    env_file: Path = ENV_FILE, overrides: Mapping[str, Any] | None = None, *, resolver: SecretResolver | None = None
) -> LoadedSettings:
    """Read `.env`, the environment and `overrides` (field name → value, None means not given), the later ones winning.

    Every secret found is registered for redaction. Raises ConfigurationError with one line a problem,
    `where: NAME: what is wrong`. Variables of the environment that are no settings are ignored; unknown names in the
    file are refused. Must not be called inside a running event loop when values are 1Password references.
    """
    file = read_env_file(env_file)
    _refuse_unknown(file)
    sources: tuple[tuple[str, Mapping[str, Any]], ...] = (
        ("file", {name.lower(): value for name, value in file.values.items()}),
        ("environment", EnvSettingsSource(Settings, case_sensitive=False, env_ignore_empty=True)()),
        ("command line", {name: value for name, value in (overrides or {}).items() if value is not None}),
    )
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, DEFAULT)
    for label, source in sources:
        values |= source
        origins |= {name: file.where(name.upper()) if label == "file" else label for name in source}
    by_name = {name.upper(): value for name, value in values.items()}

    def where(name: str) -> str:
        origin = origins.get(name.lower(), DEFAULT)
        return "settings" if origin == DEFAULT else origin

    resolved = resolve_references(by_name, resolver or OnePasswordResolver(), where)
    data = {name.lower(): value for name, value in resolved.items()}
    try:
        settings = Settings(**data)
    except ValidationError as error:
        problems = problems_in(error, Settings, data)
        secret = {name for name, value in by_name.items() if value != resolved[name]}
        raise ConfigurationError("\n".join(_line(problem, where, secret) for problem in problems)) from None
    register_secret(*settings.secret_values())
    return LoadedSettings(settings, origins)


def _refuse_unknown(file: EnvFile) -> None:
    allowed = [name.upper() for name in Settings.model_fields]
    lines = [
        f"{shown_path(file.path)}:{line}: {name}: unknown setting"
        + (did_you_mean(name, allowed) or "; the valid ones are listed in .env.example")
        for name, line in file.lines.items()
        if name not in allowed
    ]
    if lines:
        raise ConfigurationError("\n".join(lines))


def _line(problem: Problem, where: Callable[[str], str], secret: set[str]) -> str:
    # What a mode needs is a matter of several settings; the mode is the one to look at.
    name = problem.key.upper() or "MODE"
    # A value that came out of 1Password is nobody's business, whatever its setting.
    text = problem.text.split(" (got ")[0] if name in secret else problem.text
    return f"{where(name)}: {name}: {text}"
