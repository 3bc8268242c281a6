"""A self-contained HTML page of plotly figures: the frame that every report shares, readable without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from core.errors import ConfigurationError
from utils.atomic import write_atomic

GREEN, RED, BLUE, GREY = "#2a9d6e", "#d1495b", "#3b6fb6", "#8a8f98"
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:1180px;padding:24px;color:#1d2430;background:#fafbfc}
h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:32px 0 4px}p{margin:4px 0;color:#5b6472}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(165px,45%),1fr));gap:10px;margin:18px 0}
.tile{background:#fff;border:1px solid #e4e7ec;border-radius:8px;padding:10px 12px}
.tile b{display:block;font-size:17px;font-variant-numeric:tabular-nums}.tile span{color:#5b6472;font-size:13px}
table{border-collapse:collapse;background:#fff;margin:10px 0;font-variant-numeric:tabular-nums}
th,td{border:1px solid #e4e7ec;padding:5px 10px;text-align:right}th{font-weight:600;text-align:left;color:#5b6472}
.wide{overflow-x:auto}td:first-child{text-align:left}td{overflow-wrap:anywhere}
@media(max-width:600px){body{padding:12px}}
"""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a page: a heading, a line of explanation, and a figure or a table (first row: the headings)."""

    title: str
    text: str = ""
    figure: Any = None
    table: Sequence[Sequence[str]] = ()


def plotly_for(path: Path) -> Any:
    """Return plotly's graph objects; raises ConfigurationError that names the file which needs them."""
    try:
        import plotly.graph_objects as go  # noqa: PLC0415 - optional and heavy
    except ImportError as error:
        raise ConfigurationError(f"{path.name}: the report needs plotly; install the project's ui group") from error
    return go


def write_page(
    path: Path, title: str, lines: Iterable[str], tiles: Iterable[tuple[str, str]], sections: Iterable[Section]
) -> None:
    """Write the page whole or not at all: title, lines of text, tiles of (name, value), then the sections."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415

    told = "".join(f"<p>{escape(line)}</p>" for line in lines)
    shown = "".join(
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b></div>' for name, value in tiles
    )
    body = "".join(_section(one) for one in sections)
    write_atomic(
        path,
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style>'
        f"<script>{get_plotlyjs()}</script></head><body><h1>{escape(title)}</h1>{told}"
        f'<div class="tiles">{shown}</div>{body}</body></html>',
    )


def layout(figure: Any, height: int = 300, **more: Any) -> Any:
    """Give a figure the look that all figures share; returns it."""
    settings: dict[str, Any] = {"showlegend": False, **more}
    figure.update_layout(
        template="plotly_white", height=height, margin={"l": 60, "r": 20, "t": 32, "b": 40}, **settings
    )
    return figure


def _section(one: Section) -> str:
    text = f"<h2>{escape(one.title)}</h2>" + (f"<p>{escape(one.text)}</p>" if one.text else "")
    if one.table:
        head, *rows = one.table
        cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        text += f'<div class="wide"><table><tr>{cells}</tr>'
        text += "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        text += "</table></div>"
    if one.figure is not None:
        settings = {"displaylogo": False, "responsive": True}
        text += one.figure.to_html(full_html=False, include_plotlyjs=False, config=settings)
    return text
