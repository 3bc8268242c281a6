"""Reads a `.env` file with the line of each setting. Owns no names and no defaults."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from core.errors import ConfigurationError
from utils.yaml_source import shown_path


@dataclass(frozen=True, slots=True)
class EnvFile:
    """Settings of one file: upper-case name to text, and to its 1-based line. Blank values are left out."""

    path: Path
    values: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    def where(self, name: str) -> str:
        """Return `file:line` of a setting."""
        return f"{shown_path(self.path)}:{self.lines.get(name, 1)}"


def read_env_file(path: Path) -> EnvFile:
    """Read `NAME=value` lines (comments, quotes and `export` as in a shell; nothing is expanded).

    A file that is not there is an empty one. Raises ConfigurationError, `file:line: what is wrong`, for lines that are
    no assignment, for names set twice, for `${...}`, and for a file that cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return EnvFile(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{shown_path(path)}: cannot be read as UTF-8 text: {type(error).__name__}") from None
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.key is None and not binding.error:
            continue
        line = _line_of(binding)
        name, value = _assignment(binding, f"{shown_path(path)}:{line}")
        if name in lines:
            raise ConfigurationError(f"{shown_path(path)}:{line}: {name}: set twice, first in line {lines[name]}")
        lines[name] = line
        if value:
            values[name] = value
    return EnvFile(path, values, lines)


def _assignment(binding: Binding, where: str) -> tuple[str, str]:
    if binding.error or binding.key is None or binding.value is None:
        raise ConfigurationError(f"{where}: not an assignment; write NAME=value, or # before a comment")
    if "${" in binding.value:
        raise ConfigurationError(f"{where}: {binding.key}: ${{...}} is not expanded here; write the value out")
    return binding.key.upper(), binding.value.strip()


def _line_of(binding: Binding) -> int:
    """Return the line of the assignment itself: the parser counts the blank lines before it as its own."""
    text = binding.original.string
    return int(binding.original.line) + text[: len(text) - len(text.lstrip())].count("\n")
