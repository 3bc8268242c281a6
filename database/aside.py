"""Sets an old database aside, with what lies beside it, so that a fresh start loses nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from core.errors import ConfigurationError, RuntimeFailure
from database.engine import parse_url, sqlite_path
from database.lease import is_gone
from utils.timefmt import to_datetime

REAL_MONEY = frozenset({"testnet", "mainnet"})


def journal_path(url: str) -> Path:
    """Return where the embedded exchange keeps its journal: beside the database file."""
    parsed = parse_url(url)
    path = sqlite_path(parsed)
    return path.with_suffix(".journal.jsonl") if path else Path("database") / f"{parsed.database}.journal.jsonl"


def set_aside(url: str, now_ms: int, beside: Path) -> Path | None:
    """Move the database file and the file `beside` it into `backups/` and return that folder; None if there was none.

    Raises ConfigurationError for a database server (whose data is not ours to move) and for a database of a real
    venue, RuntimeFailure while a trader uses it. A file that cannot be read is moved all the same.
    """
    path = sqlite_path(parse_url(url))
    if path is None:
        raise ConfigurationError(
            "--fresh sets a SQLite file aside; for a database server name another database in DB_URL instead"
        )
    refuse_in_use(url, setting_aside=True)
    files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm")), beside]
    found = [file for file in files if file.exists()]
    if not found:
        return None
    folder = path.parent / "backups" / f"{path.stem}-{to_datetime(now_ms):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    for file in found:
        file.rename(folder / file.name)
    return folder


def refuse_in_use(url: str, *, setting_aside: bool = False) -> None:
    """Raise RuntimeFailure while a living trader has this SQLite file, before anything else is started for nothing.

    With `setting_aside` also ConfigurationError for the record of a real venue, which is never moved.
    """
    path = sqlite_path(parse_url(url))
    if path is None or not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            facts = dict(connection.execute("SELECT key, value FROM meta").fetchall())
            leases = connection.execute("SELECT holder, pid, process_start FROM lease WHERE NOT released").fetchall()
    except sqlite3.Error:  # damaged or half made: opening it says so, and it is the very thing to start over from
        return
    if setting_aside and facts.get("environment") in REAL_MONEY:
        raise ConfigurationError(
            f"{path} is the record of {facts['environment']} trading; --fresh does not touch it: "
            "name another database in DB_URL (or --db)"
        )
    for holder, pid, started in leases:
        if not is_gone(pid, started):
            raise RuntimeFailure(
                f"{path} is in use by {holder} (process {pid}): stop that one first, or name another database with --db"
            )
