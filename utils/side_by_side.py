"""Nested values as flat text, and several of them side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ABSENT = "-"


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values under their dotted path, as text."""
    flat: dict[str, str] = {}
    for name, one in value.items():
        path = f"{prefix}{name}"
        if isinstance(one, Mapping):
            flat |= flatten(one, f"{path}.")
        else:
            flat[path] = _text(one)
    return flat


def differences(columns: Sequence[Mapping[str, str]], *, everything: bool = False) -> list[tuple[str, ...]]:
    """Return a row (name, value in each column) for each name whose values are not all the same, or for every name.

    A name that a column lacks is shown as absent there, and differs.
    """
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, *(column.get(name, ABSENT) for column in columns)) for name in names]
    return [row for row in rows if everything or len(set(row[1:])) > 1]


def _text(value: object) -> str:
    if value is None:
        return ABSENT
    if isinstance(value, float):
        return f"{value:.6g}"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
