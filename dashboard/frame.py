"""What every page begins with: its look, and the door that only this machine may come through."""

from __future__ import annotations

import streamlit as st

from dashboard import sections, source
from dashboard.style import style_sheet


def opened(title: str) -> bool:
    """Set the page up; False when it must not be shown, which is told in its place. Call it first."""
    st.set_page_config(page_title=title, page_icon="📈", layout="wide", initial_sidebar_state="collapsed")
    st.html(style_sheet())
    address = st.get_option("server.address")
    if not source.is_private(address):
        sections.refuse_open_door(address)
        return False
    return True
