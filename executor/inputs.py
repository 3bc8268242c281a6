"""What the pure core hears beside market, user and venue events: its own shell."""

from __future__ import annotations

from dataclasses import dataclass

from core.commands import VenueCommand, VenueReply
from core.events import Event
from core.records import Record


@dataclass(frozen=True, slots=True)
class PersistenceFailed:
    """A durable write did not reach the disk. `commands` were dropped with it and certainly never sent."""

    records: tuple[Record, ...]
    commands: tuple[VenueCommand, ...]
    detail: str
    received_time_ms: int


@dataclass(frozen=True, slots=True)
class PersistenceRecovered:
    """A durable write succeeded after one had failed."""

    received_time_ms: int


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The process is about to end: no new entries; positions keep their stops at the venue."""

    received_time_ms: int


@dataclass(frozen=True, slots=True)
class ReconcileRequested:
    """Somebody needs books that agree with the venue: no entries until a comparison from now on has succeeded."""

    reason: str
    received_time_ms: int


Input = Event | VenueReply | PersistenceFailed | PersistenceRecovered | StopRequested | ReconcileRequested
