"""What the pure core hears beside market, user and venue events: its own shell."""

from __future__ import annotations

from dataclasses import dataclass

from core.commands import VenueCommand, VenueReply
from core.events import Event


@dataclass(frozen=True, slots=True)
class PersistenceFailed:
    """A durable write did not reach the disk; its rows are kept and tried again.

    `commands` were dropped with it and certainly never sent. Without `is_outage` the database works: it refused those
    rows for good.
    """

    detail: str
    received_time_ms: int
    commands: tuple[VenueCommand, ...] = ()
    is_outage: bool = True


@dataclass(frozen=True, slots=True)
class PersistenceRecovered:
    """Every row that could not be written is on disk now."""

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


@dataclass(frozen=True, slots=True)
class KillRequested:
    """Latch the kill switch and empty the account; `detail` says who asked."""

    detail: str
    received_time_ms: int


@dataclass(frozen=True, slots=True)
class FlattenRequested:
    """Empty one symbol; entries on it wait until that is verified."""

    symbol: str
    detail: str
    received_time_ms: int


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """A person lifts the kill latch. Without effect before the account was verified flat."""

    received_time_ms: int


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """Another process took this account over: nothing more may be sent."""

    detail: str
    received_time_ms: int


Control = (
    PersistenceFailed
    | PersistenceRecovered
    | StopRequested
    | ReconcileRequested
    | KillRequested
    | FlattenRequested
    | ResumeRequested
    | LeaseLost
)
Input = Event | VenueReply | Control
