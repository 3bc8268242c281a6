"""Takes edited strategy files over while the trader runs."""

from __future__ import annotations

import logging
from collections.abc import Callable

from watchfiles import awatch

from strategies.loader import ReloadOutcome, StrategyBook

logger = logging.getLogger(__name__)


async def watch_strategies(book: StrategyBook, on_outcome: Callable[[ReloadOutcome], None]) -> None:
    """Load changed YAML files again until cancelled; tells what became of each."""
    async for _ in awatch(*book.watch_paths()):
        for outcome in book.reload_changed():
            logger.log(logging.INFO if outcome.applied else logging.WARNING, outcome.message)
            on_outcome(outcome)
