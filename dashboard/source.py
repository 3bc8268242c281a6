"""Where the page's data comes from: the trader's own settings for the database and the status folder, read-only."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st
from dotenv import dotenv_values

from core.errors import RuntimeFailure
from database.database import open_repository
from database.engine import DEFAULT_URL
from database.repository import Repository
from database.runs import RunBook

LOOPBACK = ("127.0.0.1", "localhost", "::1")
REMOTE_SETTING = "DASHBOARD_ALLOW_REMOTE"


def setting(name: str, default: str) -> str:
    """Return a setting from the environment, else from `.env`, else its default.

    Raises RuntimeFailure for a 1Password reference, which only the trader's own command can resolve.
    """
    value = os.environ.get(name) or dotenv_values(".env").get(name) or default
    if value.startswith("op://"):
        raise RuntimeFailure(
            f"{name} is a 1Password reference; start the dashboard with: uv run python main.py dashboard"
        )
    return value


def status_dir() -> Path:
    return Path(setting("STATUS_DIR", "status"))


def repository() -> Repository:
    """Return the read-only repository of DB_URL; raises RuntimeFailure while there is no database."""
    url = setting("DB_URL", DEFAULT_URL)
    return _opened(url)


def run_book() -> RunBook:
    """Return the stored backtests of DB_URL, read-only; raises RuntimeFailure while there are none."""
    return _opened_runs(setting("DB_URL", DEFAULT_URL))


@st.cache_resource(show_spinner=False, max_entries=4)
def _opened_runs(url: str) -> RunBook:
    return RunBook(url)


@st.cache_resource(show_spinner=False, max_entries=4)
def _opened(url: str) -> Repository:
    """One repository for all visitors: it holds no connection, only the way to open one (SQLite)."""
    return open_repository(url)


def is_private(address: str | None) -> bool:
    """True when the server listens on this machine only, or its owner says that somebody else guards the door."""
    return address in LOOPBACK or setting(REMOTE_SETTING, "no").lower() == "yes"
