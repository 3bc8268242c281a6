"""Which strategy runs with which parameters: its YAML files as the live trader reads them, then `--set key=value`."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from core.candle import DAY_MS, INTERVAL_MS
from core.errors import ConfigurationError
from strategies.loader import ActiveStrategy, StrategyBook
from utils.problems import did_you_mean, problems_in

HISTORY_MS = 2 * DAY_MS
"""So much before a span is read at least, so that indicators start warm."""


def active_strategies(
    root: Path, names: Sequence[str], symbols: Sequence[str], overrides: Sequence[str] = ()
) -> list[ActiveStrategy]:
    """Return each named strategy on each symbol; whether its YAML enables it does not matter here.

    Raises ConfigurationError in one line for an unknown strategy, a bad override or a bad file.
    """
    book = StrategyBook(root, symbols)
    known = book.names()
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigurationError(f"strategy {name!r} is not in {root}{hint or '; there are ' + ', '.join(known)}")
    changes = dict(_parse(text) for text in overrides)
    return [_changed(book.named(name, symbol), changes) for symbol in symbols for name in names]


def on_any_symbol(
    root: Path, names: Sequence[str], symbols: Sequence[str] | None, overrides: Sequence[str] = ()
) -> list[ActiveStrategy]:
    """Return `active_strategies` on these symbols; without any on those that have a file of their own under `root`,
    and on one that has none."""
    if symbols is None:
        symbols = list(dict.fromkeys(path.stem for name in names for path in sorted((root / name).glob("*.yaml"))))
    return active_strategies(root, names, symbols or ["BTCUSDT"], overrides)


def history_of(active: ActiveStrategy, warmup: int | None = None) -> int:
    """Return how much is to be read before a span so that the strategy starts warm, in milliseconds: two days, or
    what it looks back, or `warmup` candles of its interval."""
    strategy = active.make()
    candles = max(strategy.history(strategy.indicators()).candles, (warmup or 0) + 1)
    return max(HISTORY_MS, candles * INTERVAL_MS[active.params.interval])


def _parse(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise ConfigurationError(f"command line: --set {text!r}: write key=value, such as --set k=2.5")
    try:
        return key.strip(), YAML(typ="safe").load(StringIO(value))
    except YAMLError:
        raise ConfigurationError(f"command line: --set {text!r}: the value cannot be read") from None


def _changed(active: ActiveStrategy, changes: dict[str, Any]) -> ActiveStrategy:
    if not changes:
        return active
    model = type(active.params)
    data = {**active.params.model_dump(), **changes}
    try:
        params = model.model_validate(data)
    except ValidationError as error:
        lines = [f"command line: --set {problem.key}: {problem.text}" for problem in problems_in(error, model, data)]
        raise ConfigurationError("\n".join(lines)) from None
    return ActiveStrategy(active.name, active.symbol, active.strategy_class, params)
