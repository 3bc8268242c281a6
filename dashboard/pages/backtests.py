"""The page of backtests: those that are stored, and several of them side by side. It never writes."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # streamlit puts only the dashboard's folder on the path

from core.errors import TraderError
from dashboard import run_sections, runs, sections, source
from dashboard.frame import opened


def page() -> None:
    if not opened("Backtests · Futures Trader"):
        return
    run_sections.header()
    try:
        book = source.run_book()
        if not book.runs(limit=1):
            run_sections.none_stored("The database holds none.")
            return
    except TraderError as error:
        run_sections.none_stored(str(error))
        return
    try:
        run_sections.comparison(runs.chosen(book, run_sections.choice(book)))
    except TraderError as error:
        sections.failed(error)


page()
