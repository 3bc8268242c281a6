"""Errors named by what must happen next."""

from __future__ import annotations


class TraderError(Exception):
    """Base of all errors of this project. `str(error)` is one line that a person can act on."""


class ConfigurationError(TraderError):
    """Fix the configuration: names file, line, key, the bad value and what is allowed. Exit code 2."""


class RuntimeFailure(TraderError):
    """Cannot go on: names what is wrong, where, and what to do. Exit code 1."""


class PersistenceError(TraderError):
    """A write did not reach the database. If it was an intent, nothing may be sent."""


class IllegalTransition(TraderError):
    """An order event that its state does not allow: a bug or a venue surprise, never ignored."""
