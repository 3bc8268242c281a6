"""One process at a time in a folder of results: a second one is refused instead of mixing its files in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import ConfigurationError

try:
    import fcntl

    HAS_LOCKS = True
except ImportError:  # Windows has no such locks: there a second process is not noticed
    HAS_LOCKS = False


@contextmanager
def alone_in(folder: Path, what: str) -> Iterator[None]:
    """Keep `folder` to this process until the end of the block, or until it dies; `what` is for people.

    Raises ConfigurationError when another process has it.
    """
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if HAS_LOCKS:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    f"{folder}: another {what} is at work there; wait for it, or name another --out"
                ) from None
        yield
    finally:
        os.close(lock)
