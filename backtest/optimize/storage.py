"""Where a study lives: Optuna's own storages. A journal file or a database; many processes may share one. Heavy:
imports Optuna."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import urlsplit

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from sqlalchemy import create_engine, inspect

from backtest.optimize.journal import Journal
from core.errors import ConfigurationError

_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg", "mysql")


def open_storage(where: str) -> BaseStorage:
    """Open a storage: a URL of a database, or the path of a journal file.

    A journal takes a fraction of SQLite's time a trial, which is why it is the default. A database must be
    empty or Optuna's: its tables of versions would clash with those of the trader's own. Raises ConfigurationError.
    """
    if "://" not in where:
        path = Path(where).expanduser()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab"):
                pass
            _refuse_other_files(path)
            return JournalStorage(Journal(path))
        except OSError as error:
            raise ConfigurationError(f"--storage {where}: {error.strerror or error}; name another file") from None
        except (ValueError, KeyError):
            raise ConfigurationError(f"--storage {where}: is no journal of a study; name another file") from None
    scheme = urlsplit(where).scheme
    if scheme not in _SCHEMES:
        raise ConfigurationError(
            f"--storage: {scheme}:// is unknown; write sqlite:///FILE, postgresql://..., or a path of a journal file"
        )
    url = where.replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        _refuse_other_databases(url)
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}} if scheme == "sqlite" else None)
    except ConfigurationError:
        raise
    except ImportError as error:
        raise ConfigurationError(f"--storage: {error}; install the project's cluster group") from None
    except Exception as error:
        logging.getLogger("backtest.optimize").debug("storage does not open", exc_info=error)
        reason = str(getattr(error, "orig", error) or error).strip().splitlines()
        text = reason[0] if reason else type(error).__name__
        raise ConfigurationError(f"--storage: the database cannot be used: {text}") from None


def _refuse_other_files(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(16)
    if start and not start.startswith(b"{"):
        hint = f"; write sqlite:///{path}" if start.startswith(b"SQLite format 3") else "; name another file"
        raise ConfigurationError(f"--storage {path}: is no journal of a study{hint}")


def _refuse_other_databases(url: str) -> None:
    engine = create_engine(url)
    try:
        tables = set(inspect(engine).get_table_names())
    finally:
        engine.dispose()
    if tables and "studies" not in tables:
        raise ConfigurationError(
            "--storage: this database holds tables of something else; give studies a database of their own"
        )
