"""One instance per account: a lease row with a fencing token that grows with every start.

The holder renews the lease while it lives. A second process is refused until the lease is released or has expired, or
its holder is known to be gone: a process of this machine that no longer runs (so that a restart after kill -9 need not
wait). Times are our steady clock, which follows the wall clock.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.errors import LeaseTakenError, RuntimeFailure
from database.tables import LeaseRow, table_of
from utils.timefmt import to_ms

LEASE_TTL_MS = 30_000
YEAR_2026_MS = 1_767_225_600_000
_LEASE = table_of(LeaseRow)
_EPOCH = select(_LEASE.c.epoch).where(_LEASE.c.account == bindparam("account"))
"""Asked in every transaction, between an intent and its order: built once."""


def acquire(connection: Connection, account: str, holder: str, now_ms: int, ttl_ms: int) -> int:
    """Take the lease and return its new epoch; raises RuntimeFailure naming the holder while another has it."""
    held = connection.execute(select(_LEASE).where(_LEASE.c.account == account).with_for_update()).mappings().first()
    if held is not None and _is_alive(held, now_ms):
        raise RuntimeFailure(
            f"account {account} is being traded by {held['holder']} (process {held['pid']} on {held['host']}); "
            "stop it first, or use another account and DB_URL"
        )
    epoch = _first_epoch(now_ms) if held is None else held["epoch"] + 1
    row = {
        "account": account,
        "holder": holder,
        "epoch": epoch,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_start": process_start(os.getpid()),
        "acquired_time": now_ms,
        "expires_time": now_ms + ttl_ms,
        "released": False,
    }
    insert = sqlite.insert(_LEASE) if connection.dialect.name == "sqlite" else postgresql.insert(_LEASE)
    connection.execute(insert.on_conflict_do_update(index_elements=["account"], set_=row), row)
    return epoch


def holder_of(connection: Connection, account: str, now_ms: int) -> str | None:
    """Return who holds the account's lease and is not known to be gone, or None."""
    held = connection.execute(select(_LEASE).where(_LEASE.c.account == account)).mappings().first()
    if held is None or not _is_alive(held, now_ms):
        return None
    return f"{held['holder']} (process {held['pid']} on {held['host']})"


def _first_epoch(now_ms: int) -> int:
    """Return where a new database begins to count: minutes since 2026, so that a second database on the same account
    never repeats the client order ids of the first, which the venue may still remember."""
    return max(1, (now_ms - YEAR_2026_MS) // 60_000)


def renew(connection: Connection, account: str, epoch: int, now_ms: int, ttl_ms: int) -> bool:
    """Extend the lease; returns False when it is no longer ours: whoever hears that must stop sending."""
    return _change(connection, account, epoch, {"expires_time": now_ms + ttl_ms})


def require(connection: Connection, account: str, epoch: int) -> None:
    """Raise LeaseTakenError when the lease is another process's: rows of ours would overwrite those of its trades."""
    held = connection.execute(_EPOCH, {"account": account}).scalar()
    if held != epoch:
        raise LeaseTakenError(f"another process took over {account}; nothing of this one is written any more")


def release(connection: Connection, account: str, epoch: int) -> bool:
    """Give the lease back; returns False when it was no longer ours."""
    return _change(connection, account, epoch, {"released": True})


def _change(connection: Connection, account: str, epoch: int, values: dict[str, Any]) -> bool:
    ours = and_(_LEASE.c.account == account, _LEASE.c.epoch == epoch, _LEASE.c.released.is_(False))
    return connection.execute(update(_LEASE).where(ours).values(values)).rowcount == 1


def _is_alive(held: Any, now_ms: int) -> bool:
    if held["released"] or to_ms(held["expires_time"]) <= now_ms:
        return False
    return not (held["host"] == socket.gethostname() and is_gone(held["pid"], held["process_start"]))


def is_gone(pid: int, started: str) -> bool:
    """True when the process certainly no longer runs: no such id here, or its id now names a later process."""
    if sys.platform == "win32":  # signal 0 is not a harmless question there
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return bool(started) and process_start(pid) != started


def process_start(pid: int) -> str:
    """Return what tells this process from a later one with its id: boot and start tick; empty where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return f"{boot}:{stat.rpartition(')')[2].split()[19]}"  # field 22, counted after the name in parentheses
