"""Colours, shared by the charts and the style sheet."""

from __future__ import annotations

from pathlib import Path

UP, DOWN, AMBER, ACCENT = "#2fc48d", "#f4586e", "#f0b35b", "#5b8cff"
INK, MUTED, GRID, PANEL = "#e6eaf2", "#8692a8", "#1f2838", "#121826"

SERIES = (ACCENT, AMBER, UP, "#c583f5", DOWN, "#57c7d4")
"""Of curves that are compared; at most so many are."""

_COLOURS = {
    "up": UP, "down": DOWN, "amber": AMBER, "accent": ACCENT, "ink": INK, "muted": MUTED, "grid": GRID, "panel": PANEL
}  # fmt: skip


def style_sheet() -> str:
    """Return the page's `<style>` element."""
    variables = "".join(f"--ft-{name}:{colour};" for name, colour in _COLOURS.items())
    css = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return f"<style>:root{{{variables}}}\n{css}</style>"
