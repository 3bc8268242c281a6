"""Funding payments out of files: `<SYMBOL>-funding*.csv[.gz]`, as the venue's archive has them."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from core.errors import ConfigurationError
from simulator.market.model import FundingPoint

FOLDER = "funding"
"""What `main.py download` fetches of funding lies in this folder beside the candles."""
_TIME_NAMES = ("calc_time", "funding_time", "fundingTime", "time")
_RATE_NAMES = ("last_funding_rate", "funding_rate", "fundingRate", "rate")
_MARK_NAMES = ("mark_price", "markPrice")


def load_funding(directory: Path, symbols: Sequence[str]) -> dict[str, tuple[FundingPoint, ...]]:
    """Return the payments of each symbol that has a file in `directory` or its folder `FOLDER`, ascending; times are
    cut to the full minute.

    Where the file has no mark price it is 0, and the payment is reckoned on the open of its minute. Raises
    ConfigurationError with file and line for a row that is no payment.
    """
    found = {}
    for symbol in symbols:
        folders = (directory / FOLDER, directory)
        files = [path for folder in folders for path in sorted(folder.glob(f"{symbol}-funding*.csv*"))]
        points = {point.time_ms: point for path in files for point in _read(path)}
        if points:
            found[symbol] = tuple(points[time_ms] for time_ms in sorted(points))
    return found


def _read(path: Path) -> list[FundingPoint]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8"))))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise ConfigurationError(f"{path.name}: cannot be read as funding ({error}); fetch it again") from None
    names = list(rows[0]) if rows else []
    time_name, rate_name = _pick(names, _TIME_NAMES), _pick(names, _RATE_NAMES)
    mark_name = _pick(names, _MARK_NAMES)
    if rows and (time_name is None or rate_name is None):
        raise ConfigurationError(
            f"{path.name}, line 1: unknown columns {', '.join(names)}; wanted calc_time, last_funding_rate"
        )
    points = []
    for line, row in enumerate(rows, start=2):
        try:
            time_ms = int(row[time_name or ""])
            mark = Decimal(row[mark_name] or "0") if mark_name else Decimal(0)
            points.append(FundingPoint(time_ms - time_ms % 60_000, Decimal(row[rate_name or ""]), mark))
        except (InvalidOperation, ValueError, TypeError):
            raise ConfigurationError(f"{path.name}, line {line}: not a funding payment: {row}") from None
    return points


def _pick(names: Sequence[str], known: Sequence[str]) -> str | None:
    return next((name for name in known if name in names), None)
