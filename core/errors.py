"""Errors named by what must happen next."""

from __future__ import annotations

from utils.errors import ConfigurationError, TraderError

__all__ = [
    "ConfigurationError",
    "IllegalTransition",
    "LeaseTakenError",
    "PersistenceError",
    "RecordRefusedError",
    "RuntimeFailure",
    "TraderError",
]


class RuntimeFailure(TraderError):
    """Cannot go on: names what is wrong, where, and what to do. Exit code 1."""


class PersistenceError(TraderError):
    """A write did not reach the database. If it was an intent, nothing may be sent."""


class RecordRefusedError(PersistenceError):
    """The database works and will never take these rows: trying again is of no use, and others are not concerned."""


class LeaseTakenError(PersistenceError):
    """The rows were refused: another process has the account now. Nothing may be sent any more, no exit either."""


class IllegalTransition(TraderError):
    """An order event that its state does not allow: a bug or a venue surprise, never ignored."""
