"""Files of recorded one-minute candles: from bytes to checked columns of numbers, with file and line in every fault.

Numbers are read as doubles and put on the data's own decimal grid, which is exact as long as a column's values have
fewer than 15 digits; a column with more is read again digit by digit.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigurationError
from simulator.market.columns import MINUTE_MS
from simulator.market.noise import FloatArray, IntArray

HEADER = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count", "taker_buy_volume",
    "taker_buy_quote_volume", "ignore",
)  # fmt: skip
_WIDTHS = (6, 12)
_EXACT_LIMIT = 1e15
_DECIMALS_MAX = 12
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Table:
    """The numbers of one file: one array a column, and the text of the fields where digits matter.

    Columns are numbered as in `HEADER`; `first_line` is the line of the first candle (0: the file has no lines).
    """

    path: Path
    values: list[FloatArray]
    texts: list[list[str]] | None
    first_line: int

    def rows(self, kept: IntArray) -> Table:
        """Return the table with only the rows of these numbers; lines can no longer be named."""
        texts = None if self.texts is None else [self.texts[int(row)] for row in kept]
        return Table(self.path, [values[kept] for values in self.values], texts, 0)

    def fault(self, row: int, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self.where(row)}: {what}")

    def where(self, row: int) -> str:
        """Return file and line of a row, for people."""
        place = f"line {row + self.first_line}" if self.first_line else f"row {row + 1}"
        return f"{self.path.name}, {place}"

    def column(self, index: int, decimals: int) -> IntArray:
        """Return column `index` in units of 10^-decimals, exact."""
        scaled = self.values[index] * 10.0**decimals
        if not len(scaled) or float(np.abs(scaled).max()) < _EXACT_LIMIT:
            return np.rint(scaled).astype(np.int64)
        exact = [int(number.scaleb(decimals)) for number in self._numbers(index)]
        if max(exact) >= 2**62:
            raise ConfigurationError(f"{self.path.name}: column {HEADER[index]} has more digits than can be kept")
        return np.array(exact, dtype=np.int64)

    def decimals(self, index: int) -> int:
        """Return how many decimals the values of column `index` have."""
        values = self.values[index]
        top = float(np.abs(values).max()) if len(values) else 0.0
        for decimals in range(_DECIMALS_MAX + 1):
            if top * 10.0**decimals >= _EXACT_LIMIT:
                break
            scaled = values * 10.0**decimals
            if bool((np.abs(scaled - np.rint(scaled)) < np.maximum(1e-6, np.abs(scaled) * 4e-16)).all()):
                return decimals
        exponents = [number.normalize().as_tuple().exponent for number in self._numbers(index)]
        return max(-exponent if isinstance(exponent, int) and exponent < 0 else 0 for exponent in exponents)

    def _numbers(self, index: int) -> list[Decimal]:
        if self.texts is None:
            return [Decimal(repr(float(value))) for value in self.values[index]]
        return [Decimal(fields[index]) for fields in self.texts]


def read(path: Path) -> Table:
    """Return the candles of one file, in time order and each one possible; else raise ConfigurationError."""
    table = read_unchecked(path)
    for bad, what in faults(table):
        raise table.fault(int(np.argmax(bad)), what)
    return table


def read_unchecked(path: Path) -> Table:
    """Return the rows of one file as they are; raises ConfigurationError when they are no rows of numbers."""
    table = _read_parquet(path) if path.name.endswith(".parquet") else _read_text(path)
    if not len(table.values[0]):
        raise ConfigurationError(f"{path.name}: the file has no candles")
    return table


def _read_text(path: Path) -> Table:
    try:
        text = _text(path).decode("ascii")
    except (OSError, EOFError, UnicodeDecodeError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise ConfigurationError(f"{path.name}: cannot be read as candle text ({error}); fetch it again") from error
    lines = text.splitlines()
    header = bool(lines) and not lines[0][:1].isdigit()
    if header and tuple(lines[0].replace(" ", "").split(",")) not in {HEADER[:width] for width in _WIDTHS}:
        raise ConfigurationError(f"{path.name}, line 1: unknown columns {lines[0][:80]!r}; wanted {','.join(HEADER)}")
    body = lines[1:] if header else lines
    first_line = 2 if header else 1
    width = body[0].count(",") + 1 if body else 6
    if width not in _WIDTHS:
        raise ConfigurationError(f"{path.name}, line {first_line}: {width} columns; 1m candle files have 6 or 12")
    try:
        numbers = (
            np.loadtxt(body, delimiter=",", dtype=np.float64, ndmin=2, comments=None) if body else np.empty((0, 6))
        )
    except ValueError as error:
        raise _bad_line(path, body, first_line, width) from error
    if not np.isfinite(numbers).all() or numbers.shape != (len(body), width):
        raise _bad_line(path, body, first_line, width)
    texts = [line.split(",") for line in body] if float(numbers[:, 1:].max(initial=0.0)) > 1e6 else None
    return Table(path, [np.ascontiguousarray(numbers[:, index]) for index in range(width)], texts, first_line)


def _text(path: Path) -> bytes:
    if path.name.endswith(".gz"):
        return gzip.decompress(path.read_bytes())
    if not path.name.endswith(".zip"):
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        if len(names) != 1:
            raise ConfigurationError(f"{path.name}: an archive of candles holds one .csv file, this one {len(names)}")
        return archive.read(names[0])


def _bad_line(path: Path, body: list[str], first_line: int, width: int) -> ConfigurationError:
    for number, line in enumerate(body, start=first_line):
        fields = line.split(",")
        if len(fields) != width:
            return ConfigurationError(
                f"{path.name}, line {number}: {len(fields)} columns, the lines before have {width}"
            )
        for name, field in zip(HEADER, fields, strict=False):
            try:
                good = Decimal(field.strip()).is_finite()
            except InvalidOperation:
                good = False
            if not good:
                return ConfigurationError(f"{path.name}, line {number}: {name} is {field[:40]!r}, not a number")
    return ConfigurationError(f"{path.name}: cannot be read as candles; fetch it again")


def _read_parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]  # noqa: PLC0415 - optional package
        from pyarrow.types import is_floating, is_integer  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(f"{path.name}: parquet files need pyarrow; install the project's ui group") from error
    try:
        table = parquet.read_table(io.BytesIO(path.read_bytes()))
    except (OSError, ArrowException) as error:
        raise ConfigurationError(f"{path.name}: cannot be read as parquet ({error}); fetch it again") from error
    width = next(
        (width for width in reversed(_WIDTHS) if set(HEADER[: min(width, 11)]) <= set(table.column_names)), None
    )
    if width is None:
        wanted = ", ".join(HEADER[:6])
        raise ConfigurationError(f"{path.name}: unknown columns {', '.join(table.column_names)}; wanted {wanted}")
    columns = [table.column(name) for name in HEADER[: min(width, 11)]]
    numeric = [is_integer(column.type) or is_floating(column.type) for column in columns]
    if all(numeric) and not any(column.null_count for column in columns):
        return Table(path, [_finite(path, column.to_numpy()) for column in columns], None, 0)
    rows = [column.to_pylist() for column in columns]
    texts = [[str(value) for value in row] for row in zip(*rows, strict=True)]
    if "None" in {text for row in texts for text in row}:
        row = next(number for number, row in enumerate(texts) if "None" in row)
        raise ConfigurationError(f"{path.name}, row {row + 1}: a value is missing")
    try:
        values = [np.array(column, dtype=np.float64) for column in rows]
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{path.name}: a column does not hold numbers ({error})") from error
    return Table(path, [_finite(path, column) for column in values], texts, 0)


def _finite(path: Path, column: NDArray[np.generic]) -> FloatArray:
    values = np.ascontiguousarray(column, dtype=np.float64)
    wrong = ~np.isfinite(values)
    if wrong.any():
        raise ConfigurationError(f"{path.name}, row {int(np.argmax(wrong)) + 1}: a value is not a number")
    return values


def faults(table: Table, interval_ms: int = MINUTE_MS) -> Iterator[tuple[BoolArray, str]]:
    """Yield each kind of row that no market can have had: which rows, and what is wrong with them."""
    time, open_, high, low, close, volume = table.values[:6]
    steps = np.diff(time)
    name = "1m" if interval_ms == MINUTE_MS else f"{interval_ms // 1_000}s"
    unit = "full minute" if interval_ms == MINUTE_MS else f"multiple of {name}"
    tests = [
        (time < 1e11, "open_time is no UTC time in milliseconds"),
        (time >= 1e14, "open_time is no UTC time in milliseconds (microseconds?)"),
        (time % interval_ms != 0, f"open_time is not a {unit}: these are no {name} candles"),
        (
            np.concatenate(([False], steps == 0)),
            f"the same {'minute' if interval_ms == MINUTE_MS else 'time'} as the line before: a duplicate",
        ),
        (np.concatenate(([False], steps < 0)), "earlier than the line before: out of order"),
        (low <= 0, "a price is not above zero"),
        (high < np.maximum(open_, close), "impossible candle: high is below open or close"),
        (low > np.minimum(open_, close), "impossible candle: low is above open or close"),
        (volume < 0, "volume is negative"),
    ]
    if len(table.values) > 6:
        close_time, quote, count, taker, taker_quote = table.values[6:11]
        slack = 1e-9 * quote + 1e-6
        tests += [
            (
                close_time != time + interval_ms - 1,
                f"close_time is not open_time + {interval_ms - 1}: these are no {name} candles",
            ),
            ((quote < low * volume - slack) | (quote > high * volume + slack), "quote_volume does not fit the prices"),
            ((taker < 0) | (taker > volume), "taker_buy_volume is not within volume"),
            ((taker_quote < 0) | (taker_quote > quote + slack), "taker_buy_quote_volume is not within quote_volume"),
            ((count < 0) | ((count == 0) != (volume == 0)), "count does not fit volume"),
        ]
    yield from ((bad, what) for bad, what in tests if bool(bad.any()))
