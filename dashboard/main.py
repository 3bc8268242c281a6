"""The dashboard: `uv run streamlit run dashboard/main.py`. This page refreshes itself; none ever writes. The others
are in `pages/`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # streamlit puts only this folder on the path

from core.errors import TraderError
from dashboard import sections, source
from dashboard.frame import opened
from database.repository import Repository

REFRESH_S = 2
WIDE_TO_NARROW = [1.75, 1]


def live(section: Callable[[Repository], None]) -> Callable[[], None]:
    """A section that redraws itself every few seconds, alone; a failing read is shown in its place."""

    @st.fragment(run_every=REFRESH_S)
    @wraps(section)
    def redrawn() -> None:
        try:
            section(source.repository())
        except TraderError as error:
            sections.failed(error)

    return redrawn


@st.fragment(run_every=REFRESH_S)
def waiting() -> None:
    """The empty state, which looks again until there is a database."""
    try:
        source.repository()
    except TraderError as error:
        sections.empty_state(str(error))
    else:
        st.rerun()


def page() -> None:
    if not opened("Futures Trader"):
        return
    try:
        source.repository()
    except TraderError:
        waiting()
        return
    live(sections.header)()
    for wide, narrow in (
        ((sections.equity_card, sections.open_positions), (sections.results,)),
        ((sections.candle_card,), (sections.feed,)),
        ((sections.closed_positions,), (sections.orders,)),
    ):
        left, right = st.columns(WIDE_TO_NARROW)
        for column, parts in ((left, wide), (right, narrow)):
            with column:
                for part in parts:
                    live(part)()


page()
