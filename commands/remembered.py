"""Which embedded exchange a database's account lies at: noted by every run, found again by `kill` and `flatten`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from commands.options import RunOptions
from config.settings import Settings
from core.enums import Environment
from database.database import Database

_FACT = "embedded_exchange"


def remember_exchange(database: Database, settings: Settings, options: RunOptions) -> None:
    """Note where this run trades, in modes sim and paper: an address, or how our own exchange was started."""
    if settings.mode not in (Environment.SIM, Environment.PAPER):
        return
    data = settings.sim_data_dir
    noted = {
        "address": options.exchange_url,
        "seed": settings.sim_seed,
        "data": None if data is None else str(data.resolve()),
        "deposit": format(settings.sim_deposit, "f"),
        "symbols": options.symbols,
    }
    database.note(_FACT, orjson.dumps(noted).decode())


def recall_exchange(database: Database, settings: Settings, options: RunOptions) -> tuple[Settings, RunOptions]:
    """Return settings and options that lead to the exchange of the last run; unchanged where none is noted."""
    text = database.noted(_FACT)
    if text is None or settings.mode not in (Environment.SIM, Environment.PAPER):
        return settings, options
    noted: dict[str, Any] = orjson.loads(text)
    symbols = noted["symbols"]
    found = replace(
        options, exchange_url=noted["address"], symbols=tuple(symbols) if isinstance(symbols, list) else symbols
    )
    update = {
        "sim_seed": noted["seed"],
        "sim_data_dir": None if noted["data"] is None else Path(noted["data"]),
        "sim_deposit": type(settings.sim_deposit)(noted["deposit"]),
    }
    return settings.model_copy(update=update), found
