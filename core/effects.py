"""What the pure executor asks its shell to do, in order.

The shell carries the effects of one `handle` call out in sequence: a `Persist(durable=True)` must be on disk before
anything after it happens; venue commands are started, not awaited, and their replies come back as `VenueReply`.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.commands import VenueCommand
from core.frozen import quick_init
from core.records import AlertRecord, Record


@quick_init
@dataclass(frozen=True, slots=True)
class Persist:
    """Write records. When `durable` and the write fails, the rest of this batch is not carried out unless
    `proceed_on_failure` (exits and protection go on without a database; entries never do)."""

    records: tuple[Record, ...]
    durable: bool = False
    proceed_on_failure: bool = False


@quick_init
@dataclass(frozen=True, slots=True)
class Send:
    """Send a command to the venue."""

    command: VenueCommand


@quick_init
@dataclass(frozen=True, slots=True)
class Notify:
    """Tell people."""

    alert: AlertRecord


Effect = Persist | Send | Notify
