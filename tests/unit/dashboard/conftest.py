"""The page over a database of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

PAGE = Path(__file__).resolve().parents[3] / "dashboard" / "main.py"


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address that the page will read; there is no database yet."""
    address = f"sqlite:///{tmp_path}/trader.db"
    monkeypatch.setenv("DB_URL", address)
    monkeypatch.setenv("STATUS_DIR", str(tmp_path / "status"))
    st.cache_resource.clear()
    return address


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_file(str(PAGE), default_timeout=60)


def html_of(page: AppTest) -> str:
    """All that the page wrote as HTML, without the style sheet."""
    texts = [str(element.proto.body) for element in page.get("html")]
    return "\n".join(text for text in texts if "<style>" not in text)
