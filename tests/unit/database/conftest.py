"""A fresh database for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from database.database import Database, open_database


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/data/trader.db"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_database(url, "sim")
    yield opened
    opened.close()
