"""Whether a journal belongs to the market that is asked for, told without building that market."""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson

from simulator.options import ExchangeOptions

GENERATED = "generated"


def source_of(data_dir: Path | None, live_url: str | None = None) -> str:
    """Return the identity of a market source: `generated`, `live:URL`, or a digest of the files' names and sizes."""
    if live_url is not None:
        return f"live:{live_url.rstrip('/')}"
    if data_dir is None:
        return GENERATED
    files = sorted((path.name, path.stat().st_size) for path in data_dir.iterdir() if path.is_file())
    return f"recorded:{hashlib.sha256(repr(files).encode()).hexdigest()[:16]}"


def other_market(options: ExchangeOptions) -> str | None:
    """Return how the journal's market differs from the one asked for, or None when it is the same or there is none.

    A journal that cannot be read is left to the exchange, which says what is wrong with it.
    """
    if options.journal is None:
        return None
    try:
        with options.journal.open("rb") as file:
            kept = orjson.loads(file.readline())
        asked = {
            "seed": options.seed,
            "source": source_of(options.data_dir, options.live_url),
            "deposit": format(options.deposit, "f"),
        }
        differences = [
            f"{name} {kept[name]} there, {value} asked for" for name, value in asked.items() if kept[name] != value
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return "; ".join(differences) or None
