"""The folder that downloaded candles live in: one parquet file for each file of the archive, funding as text beside it.

A file of the archive becomes a file of the store only whole, with its checksum proved, in one step: what is there and
can be read was verified. The store keeps every row as it was published; who reads it judges the candles.
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
import zlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from backtest.download_plan import ArchiveFile
from backtest.funding import FOLDER as FUNDING_FOLDER
from core.candle import DAY_MS, INTERVAL_MS
from core.errors import RuntimeFailure
from simulator.market.archive import HEADER

EPOCH = date(1970, 1, 1)
INTEGERS = frozenset({"open_time", "close_time", "count"})
EXACT_CHARACTERS = 16
"""Fifteen digits and a point: every such decimal survives as a double."""
_SOURCE = b"archive_file"
_CHECKSUM = b"archive_sha256"


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of a file: its rows, and how many candles it lacks between its first one and the period's end."""

    rows: int
    missing: int = 0


class Store:
    """A folder of downloaded data. Raises OSError when it cannot be read or written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, file: ArchiveFile) -> Path:
        """Return where a file is kept. Funding has a folder of its own: it is no candles."""
        if file.is_funding:
            return self.folder / FUNDING_FOLDER / f"{file.name}.csv.gz"
        return self.folder / f"{file.name}.parquet"

    def partial(self, file: ArchiveFile) -> Path:
        """Return where a transfer that is not finished waits to be continued."""
        return self.folder / ".partial" / f"{file.name}.zip"

    def has(self, file: ArchiveFile) -> bool:
        """Return whether the store holds what the file holds: as itself, by its month, or by all of its days."""
        if self._is_kept(file) or (not file.is_month and self._is_kept(file.of_month())):
            return True
        return file.is_month and not file.is_funding and all(self._is_kept(day) for day in file.of_days())

    def keep(self, file: ArchiveFile, archive: Path, checksum: str) -> Kept:
        """Take the verified zip file `archive` into the store; a month replaces its single days.

        Raises RuntimeFailure when it holds no candles or payments; the store is then as before.
        """
        text = _text(file, archive)
        path = self.path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = _write(path, text, file, checksum)
        if file.is_month and not file.is_funding:
            for day in file.of_days():
                self.path(day).unlink(missing_ok=True)
        archive.unlink(missing_ok=True)
        return kept

    def tidy(self) -> None:
        """Remove the folder of unfinished transfers when there is none."""
        partial = self.folder / ".partial"
        if partial.is_dir() and not any(partial.iterdir()):
            partial.rmdir()

    def _is_kept(self, file: ArchiveFile) -> bool:
        path = self.path(file)
        if not path.is_file():
            return False
        try:
            if file.is_funding:
                return bool(gzip.decompress(path.read_bytes()))
            from pyarrow import parquet  # type: ignore[import-untyped]  # noqa: PLC0415 - optional package

            return (parquet.read_metadata(path).metadata or {}).get(_SOURCE) == f"{file.name}.zip".encode()
        except (OSError, EOFError, ValueError, zlib.error):  # pyarrow's errors are ValueErrors
            return False


def _text(file: ArchiveFile, archive: Path) -> bytes:
    try:
        with zipfile.ZipFile(archive) as content:
            names = [name for name in content.namelist() if name.endswith(".csv")]
            if len(names) == 1:
                return content.read(names[0])
    except zipfile.BadZipFile:
        pass
    raise RuntimeFailure(f"{file.name}.zip: matches its checksum, but is no archive of one .csv file")


def _write(path: Path, text: bytes, file: ArchiveFile, checksum: str) -> Kept:
    half = path.with_name(f".{path.name}.half")
    try:
        if file.is_funding:
            half.write_bytes(gzip.compress(text, mtime=0))
            kept = Kept(max(0, len(text.splitlines()) - 1))
        else:
            kept = _write_candles(half, text, file, checksum)
        with half.open("rb") as written:
            os.fsync(written.fileno())
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise
    return kept


def _write_candles(path: Path, text: bytes, file: ArchiveFile, checksum: str) -> Kept:
    """Write the twelve columns of candle text, without the unused last one, so that no digit is lost."""
    import pyarrow as pa  # noqa: PLC0415 - optional package
    from pyarrow import csv, parquet  # noqa: PLC0415

    try:
        table = csv.read_csv(
            io.BytesIO(text),
            read_options=csv.ReadOptions(column_names=HEADER, skip_rows=0 if text[:1].isdigit() else 1),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(HEADER, pa.string()), strings_can_be_null=False
            ),
        )
        columns = {name: _numbers(name, table.column(name)) for name in HEADER[:-1]}
    except pa.ArrowException as error:
        reason = " ".join(str(error).split())
        raise RuntimeFailure(f"{file.name}.zip: matches its checksum, but holds no candles ({reason})") from None
    if not len(table):
        raise RuntimeFailure(f"{file.name}.zip: matches its checksum, but holds no candles")
    source = {_SOURCE: f"{file.name}.zip", _CHECKSUM: checksum}
    parquet.write_table(pa.table(columns).replace_schema_metadata(source), path, compression="zstd")
    return Kept(len(table), _missing(file, columns["open_time"][0].as_py(), len(table)))


def _numbers(name: str, column):  # type: ignore[no-untyped-def] # pyarrow has no types
    """Return a text column as whole numbers or doubles; as the text itself where a double would lose digits."""
    import pyarrow as pa  # noqa: PLC0415 - optional package
    from pyarrow import compute  # noqa: PLC0415

    if name in INTEGERS:
        return column.cast(pa.int64())
    numbers = column.cast(pa.float64())
    longest = compute.max(compute.binary_length(column)).as_py() or 0
    return numbers if longest <= EXACT_CHARACTERS else column


def _missing(file: ArchiveFile, first_ms: int, rows: int) -> int:
    """Return how many candles are missing from the first one on: a symbol may have been listed within the period."""
    end_ms = ((file.last_day - EPOCH).days + 1) * DAY_MS
    return max(0, -(-(end_ms - first_ms) // INTERVAL_MS[file.what]) - rows)
