"""Rows and bytes of every table of a SQLite file, as one JSON line. A program of its own:

    python -m benchmarks.soak_tables FILE

A walk through a big file leaves its traces in the memory of who walks, and that memory is what the soak measures.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent


def read_rows(path: Path, statement: str, *values: Any) -> list[Any]:
    """Return the rows of a query on a read-only connection of its own."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


def table_sizes(path: Path) -> dict[str, tuple[int, int]]:
    """Return rows and bytes (with indexes) by table; measured in another process."""
    command = [sys.executable, "-m", "benchmarks.soak_tables", str(path.resolve())]
    found = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    return {name: (rows, size) for name, (rows, size) in json.loads(found).items()}


def _measure(path: Path) -> dict[str, tuple[int, int]]:
    owner = dict(read_rows(path, "select name, tbl_name from sqlite_master where type in ('table', 'index')"))
    pages: dict[str, int] = {}
    for name, size in read_rows(path, "select name, sum(pgsize) from dbstat group by name"):
        table = owner.get(name, name)
        pages[table] = pages.get(table, 0) + size
    names = [name for name in sorted(set(owner.values())) if not name.startswith("sqlite_")]
    return {name: (read_rows(path, f'select count(*) from "{name}"')[0][0], pages.get(name, 0)) for name in names}


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]))))
