"""The two errors that leaf helpers raise themselves; `core.errors` holds them together with all others."""

from __future__ import annotations


class TraderError(Exception):
    """Base of all errors of this project. `str(error)` is one line that a person can act on."""


class ConfigurationError(TraderError):
    """Fix the configuration: names file, line, key, the bad value and what is allowed. Exit code 2."""
