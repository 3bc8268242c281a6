"""Bringing a database to the schema of this program, or saying in one line why that cannot be."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from core.enums import Environment
from core.errors import ConfigurationError, RuntimeFailure, TraderError
from database.engine import describe, shown, sqlite_path
from database.tables import MetaRow, table_of

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_log = logging.getLogger("database.schema")


def prepare(engine: Engine, url: URL, environment: str, *, created_time_ms: int, backup: bool) -> None:
    """Check, back up, migrate and stamp the database behind `engine`.

    Raises ConfigurationError for a newer schema, a foreign database or another environment, RuntimeFailure for one
    that is locked, damaged or cannot be reached.
    """
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - slow, and needed only here

    _make_folder(url)
    try:
        with engine.connect() as connection:
            _check_integrity(connection, url)
            current = _current_revision(connection, url)
        script = ScriptDirectory(str(MIGRATIONS))
        head = script.get_current_head()
        known = {revision.revision for revision in script.walk_revisions()}
        if current is not None and current not in known:
            raise ConfigurationError(
                f"{shown(url)} has schema {current}, newer than this program's {head}; "
                "update the program, or name another database in DB_URL"
            )
        if current != head:
            if current is not None and backup:
                _back_up(url, current)
            _migrate(engine)
        with engine.begin() as connection:
            _stamp(connection, url, environment, created_time_ms)
    except DBAPIError as error:
        raise explain(error, url) from error


def explain(error: DBAPIError, url: URL) -> TraderError:
    """Return what a person needs to hear about a database that cannot be opened."""
    reason = describe(error)
    path = sqlite_path(url)
    if path is None:
        return RuntimeFailure(f"{shown(url)} cannot be opened: {reason}; is the server up and DB_URL right?")
    if "locked" in reason:
        return RuntimeFailure(f"{path} is locked by another program; close it, or name another database in DB_URL")
    if "malformed" in reason or "not a database" in reason:
        return _damaged(path, reason)
    if "unable to open" in reason or "readonly" in reason:
        return ConfigurationError(f"{path} cannot be opened for writing ({reason}); check DB_URL and the permissions")
    return RuntimeFailure(f"{path} cannot be opened: {reason}")


def _damaged(path: Path, reason: str) -> RuntimeFailure:
    return RuntimeFailure(
        f"{path} is damaged ({reason}); restore a copy from {path.parent / 'backups'}, or start over with --fresh"
    )


def _make_folder(url: URL) -> None:
    path = sqlite_path(url)
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot create the folder of DB_URL, {path.parent}: {error.strerror}") from error


def _check_integrity(connection: Connection, url: URL) -> None:
    path = sqlite_path(url)
    if path is None:
        return
    verdict = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
    if verdict != "ok":
        raise _damaged(path, " ".join(verdict.split()))


def _current_revision(connection: Connection, url: URL) -> str | None:
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None and inspect(connection).get_table_names():
        raise ConfigurationError(f"{shown(url)} holds tables of another program; name another database in DB_URL")
    return revision


def _back_up(url: URL, revision: str) -> None:
    """Copy a SQLite file, with all that its write-ahead log holds, before its schema is changed."""
    path = sqlite_path(url)
    if path is None:
        _log.warning("the schema is about to be changed; backing up a PostgreSQL database is left to its owner")
        return
    folder = path.parent / "backups"
    folder.mkdir(exist_ok=True)
    number = 1 + sum(1 for _ in folder.glob(f"{path.stem}-schema-{revision}-*.db"))
    target = folder / f"{path.stem}-schema-{revision}-{number}.db"
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    _log.info("backed up the database to %s before changing its schema", target)


def _migrate(engine: Engine) -> None:
    """Upgrade to the newest schema in one transaction: it happens as a whole or not at all."""
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def note(connection: Connection, key: str, value: str) -> None:
    """Keep a fact about the database under `key`, in place of an older one."""
    meta = table_of(MetaRow)
    insert = sqlite.insert(meta) if connection.dialect.name == "sqlite" else postgresql.insert(meta)
    connection.execute(
        insert.values(key=key, value=value).on_conflict_do_update(index_elements=["key"], set_={"value": value})
    )


def noted(connection: Connection, key: str) -> str | None:
    """Return the fact under `key`, or None."""
    meta = table_of(MetaRow)
    value: str | None = connection.execute(select(meta.c.value).where(meta.c.key == key)).scalar()
    return value


def _stamp(connection: Connection, url: URL, environment: str, created_time_ms: int) -> None:
    """Note for which environment this database is, once and for all, or refuse another one."""
    meta = table_of(MetaRow)
    insert = sqlite.insert(meta) if connection.dialect.name == "sqlite" else postgresql.insert(meta)
    facts = {"environment": environment, "created": str(created_time_ms)}
    connection.execute(
        insert.on_conflict_do_nothing(index_elements=["key"]), [{"key": k, "value": v} for k, v in facts.items()]
    )
    stamped = connection.execute(select(meta.c.value).where(meta.c.key == "environment")).scalar_one()
    if stamped != environment:
        # Only the modes with an exchange of our own can start over: a real account cannot be set aside.
        over = ", or start over with --fresh" if environment in (Environment.SIM, Environment.PAPER) else ""
        raise ConfigurationError(
            f"{shown(url)} belongs to {stamped}, not {environment}; "
            f"name another database in DB_URL (or --db) for {environment}{over}"
        )
