"""The book of strategies: which run on which symbol, with which parameters, as the YAML files say right now."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from core.errors import ConfigurationError
from core.limits import SymbolLimits
from strategies.base import CandleColumns, GatedStrategy, History, Strategy
from strategies.evaluate import decide_columns
from strategies.params import StrategyParams
from strategies.registry import StrategyClass, discover
from utils.yaml_source import YamlDocument, merge, parse_yaml, shown_path, validate

DEFAULT = "default"
_SYMBOL = re.compile(r"^[A-Z0-9_]+$")


@dataclass(frozen=True, slots=True)
class ActiveStrategy:
    """A strategy that runs on a symbol, and its parameters there."""

    name: str
    symbol: str
    strategy_class: StrategyClass
    params: StrategyParams

    def make(self) -> Strategy:
        """Return a new instance with a memory of its own."""
        return self.strategy_class(self.params)


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """What became of an edited file: applied from the next candle on, or refused with the old values kept."""

    path: Path
    applied: bool
    message: str


@dataclass
class _Folder:
    """Files of one strategy: the last content seen of each, and the last good document."""

    strategy_class: StrategyClass
    path: Path
    seen: dict[str, bytes] = field(default_factory=dict)
    documents: dict[str, YamlDocument] = field(default_factory=dict)
    params: dict[str, StrategyParams] = field(default_factory=dict)  # by symbol; DEFAULT for the rest

    def file(self, stem: str) -> Path:
        return self.path / f"{stem}.yaml"


def with_halts(limits: SymbolLimits, strategies: Iterable[StrategyParams]) -> SymbolLimits:
    """Return a symbol's limits with the volatility halt that these strategies on it ask for, the strictest of them."""
    halts = [params for params in strategies if params.volatility_halt_pct is not None]
    if not halts:
        return limits
    return replace(
        limits,
        volatility_halt_pct=min(params.volatility_halt_pct for params in halts if params.volatility_halt_pct),
        volatility_window_ms=1_000 * max(params.volatility_window_seconds for params in halts),
        volatility_rest_ms=60_000 * max(params.volatility_rest_minutes for params in halts),
    )


class StrategyBook:
    """Loads and validates `{root}/{strategy}/default.yaml` and `{SYMBOL}.yaml`, and loads them again when edited.

    A strategy runs on a symbol when `enabled` is true there, and the symbol has its own YAML or default.yaml says
    `symbols: all`. Several may run on one symbol. `version` grows with every change that was applied.

    Raises ConfigurationError with one line a problem when any file is bad at the start; later edits never raise.
    """

    def __init__(self, root: Path, symbols: Iterable[str]) -> None:
        self.symbols = tuple(symbols)
        self.version = 1
        self._folders = {name: _Folder(strategy_class, root / name) for name, strategy_class in discover(root).items()}
        problems = []
        for folder in self._folders.values():
            for stem, content in _contents(folder.path).items():
                folder.seen[stem] = content
            if DEFAULT not in folder.seen:
                problems.append(f"{shown_path(folder.file(DEFAULT))}: file not found; every strategy needs one")
                continue
            for stem in sorted(folder.seen, key=_default_first):
                problems += self._attempt(folder, stem, folder.seen[stem])
                if DEFAULT not in folder.documents:
                    break  # nothing can be said about the symbols while the default is wrong
        if problems:
            raise ConfigurationError("\n".join(problems))
        self._fed = {symbol: frozenset(self._wanted_intervals(symbol)) for symbol in self.symbols}

    def on(self, symbol: str, interval: str | None = None) -> tuple[ActiveStrategy, ...]:
        """Return the strategies that run on a symbol (and decide on candles of `interval`), by name."""
        active = []
        for name, folder in self._folders.items():
            params = self._effective(folder, symbol)
            if params is not None and interval in (None, params.interval):
                active.append(ActiveStrategy(name, symbol, folder.strategy_class, params))
        return tuple(active)

    def names(self) -> tuple[str, ...]:
        """Return every strategy there is, whether it runs or not."""
        return tuple(self._folders)

    def named(self, strategy: str, symbol: str) -> ActiveStrategy:
        """Return a strategy with its parameters on a symbol, whether it runs there or not."""
        folder = self._folders[strategy]
        params = folder.params.get(symbol, folder.params[DEFAULT])
        return ActiveStrategy(strategy, symbol, folder.strategy_class, params)

    def intervals(self, symbol: str) -> tuple[str, ...]:
        """Return the candle intervals that a symbol needs, 1m first. Fixed from the start on."""
        return ("1m", *sorted(self._fed[symbol] - {"1m"}))

    def history(self, symbol: str, interval: str) -> History:
        """Return how much past the strategies of a symbol and interval need."""
        needed = History()
        for active in self.on(symbol, interval):
            strategy = active.make()
            needed = needed.joined(strategy.history(strategy.indicators()))
        return needed

    def history_start(self, symbol: str, interval: str, open_time_ms: int) -> int:
        """Return the open time of the oldest candle needed to decide on the one that opens at `open_time_ms`."""
        return self.history(symbol, interval).start_before(open_time_ms, interval)

    def limits(self, limits: SymbolLimits) -> SymbolLimits:
        """Return a symbol's limits with the volatility halt that its strategies ask for, the strictest of them.

        Where no strategy sets `volatility_halt_pct`, the limits are returned as they are.
        """
        return with_halts(limits, [active.params for active in self.on(limits.symbol)])

    def texts(self, strategy: str) -> Mapping[str, str]:
        """Return the sentences of a strategy's gates; empty for a strategy that is not here."""
        folder = self._folders.get(strategy)
        return folder.strategy_class(folder.params[DEFAULT]).gate_texts() if folder else {}

    def watch_paths(self) -> tuple[Path, ...]:
        """Return the folders whose YAML files are to be watched."""
        return tuple(folder.path for folder in self._folders.values())

    def unused_files(self) -> tuple[Path, ...]:
        """Return symbol files whose symbol is not traded: often a misspelt name."""
        return tuple(
            folder.file(stem)
            for folder in self._folders.values()
            for stem in folder.documents
            if stem != DEFAULT and stem not in self.symbols
        )

    def reload_changed(self) -> list[ReloadOutcome]:
        """Read the files again whose content changed, appeared or vanished; applied changes show at once in `on`.

        Each file stands or falls by itself; of a refused one the old values stay until it is edited again.
        """
        outcomes = []
        for folder in self._folders.values():
            contents = _contents(folder.path)
            changed = {
                stem for stem in contents.keys() | folder.seen.keys() if contents.get(stem) != folder.seen.get(stem)
            }
            for stem in sorted(changed, key=_default_first):
                outcomes.append(self._reload(folder, stem, contents.get(stem)))
        self.version += any(outcome.applied for outcome in outcomes)
        return outcomes

    def _reload(self, folder: _Folder, stem: str, content: bytes | None) -> ReloadOutcome:
        path = folder.file(stem)
        if content is None:
            folder.seen.pop(stem)
            if stem == DEFAULT:
                return ReloadOutcome(path, False, f"{shown_path(path)}: was removed; the old values stay")
        else:
            folder.seen[stem] = content
        problems = self._attempt(folder, stem, content)
        if problems:
            return ReloadOutcome(path, False, "\n".join(problems) + "; the old values stay")
        what = "removed, default.yaml counts" if content is None else "applied"
        return ReloadOutcome(path, True, f"{shown_path(path)}: {what} from the next candle on")

    def _attempt(self, folder: _Folder, stem: str, content: bytes | None) -> list[str]:
        """Put a file's new content into force, or return what is wrong with it and change nothing."""
        path = folder.file(stem)
        documents, params = dict(folder.documents), dict(folder.params)
        try:
            documents.pop(stem, None)
            if content is not None:
                documents[stem] = _parse(content, path)
            for touched in sorted(documents, key=_default_first) if stem == DEFAULT else [stem]:
                params.pop(touched, None)
                if touched in documents:
                    params[touched] = _validated(folder.strategy_class, documents, touched)
            self._refuse_new_intervals(folder, params, documents)
        except ConfigurationError as error:
            return str(error).splitlines()
        folder.documents, folder.params = documents, params
        return []

    def _refuse_new_intervals(
        self, folder: _Folder, params: dict[str, StrategyParams], documents: dict[str, YamlDocument]
    ) -> None:
        fed = getattr(self, "_fed", None)
        if fed is None:  # still loading: the intervals are only being collected
            return
        for symbol in self.symbols:
            wanted = _effective(params, symbol)
            if wanted is None or wanted.interval in fed[symbol]:
                continue
            document = documents.get(symbol, documents[DEFAULT])
            line, _ = document.line_of("interval")
            raise ConfigurationError(
                f"{shown_path(document.path)}:{line}: interval: candles of {wanted.interval} were not loaded for "
                f"{symbol} at the start; restart to use them"
            )

    def _wanted_intervals(self, symbol: str) -> set[str]:
        return {"1m", *(active.params.interval for active in self.on(symbol))}

    def _effective(self, folder: _Folder, symbol: str) -> StrategyParams | None:
        return _effective(folder.params, symbol)


def _effective(params: Mapping[str, StrategyParams], symbol: str) -> StrategyParams | None:
    own = params.get(symbol)
    if own is None and params[DEFAULT].symbols == "all":
        own = params[DEFAULT]
    return own if own is not None and own.enabled else None


def _default_first(stem: str) -> tuple[bool, str]:
    return stem != DEFAULT, stem


def _contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every YAML file of a folder by stem; one that vanishes meanwhile is not there."""
    contents = {}
    for path in folder.glob("*.yaml"):
        try:
            contents[path.stem] = path.read_bytes()
        except FileNotFoundError:
            continue
    return contents


def _parse(content: bytes, path: Path) -> YamlDocument:
    if path.stem != DEFAULT and not _SYMBOL.match(path.stem):
        raise ConfigurationError(
            f"{shown_path(path)}: the file name must be a symbol in capitals, such as BTCUSDT.yaml"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{shown_path(path)}: cannot be read as UTF-8 text: {error}") from None
    document = parse_yaml(text, path)
    if path.stem != DEFAULT and "symbols" in document.data:
        line, _ = document.line_of("symbols")
        raise ConfigurationError(f"{shown_path(path)}:{line}: symbols: belongs into default.yaml; remove it here")
    return document


def _validated(strategy_class: StrategyClass, documents: Mapping[str, YamlDocument], stem: str) -> StrategyParams:
    layers = [documents[DEFAULT]] if stem == DEFAULT else [documents[DEFAULT], documents[stem]]
    params = validate(strategy_class.Params, layers, merge(*layers))
    try:
        strategy = strategy_class(params)
        strategy.indicators()
        if isinstance(strategy, GatedStrategy):
            decide_columns(strategy, _REHEARSAL)
    except Exception as error:
        raise ConfigurationError(
            f"{shown_path(layers[-1].path)}: {strategy_class.name} fails with these values: "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        ) from error
    return params


_FLAT = np.full(3, 100.0)
_REHEARSAL = CandleColumns(_FLAT, _FLAT, _FLAT, _FLAT, _FLAT, np.arange(3, dtype=np.int64) * 60_000)
"""Three candles on which every gate is tried when it is loaded: a misspelt value fails here and not while trading."""
