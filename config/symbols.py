"""Reads `symbols.yaml` into the frozen `TradingConfig` that the executor obeys."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from config.models import SizingEntry, SymbolEntry, SymbolsFile, symbol_problem
from config.settings import Settings
from core.errors import ConfigurationError
from core.limits import RiskLimits, SizingPolicy, StrategyLimits, SymbolLimits, TradingConfig
from utils.problems import Problem
from utils.yaml_source import YamlDocument, locate, read_yaml, validate

DEFAULT_RISK_USD = SizingPolicy().risk_usd


def load_trading_config(path: Path, settings: Settings, symbols: Sequence[str] | None = None) -> TradingConfig:
    """Return the trading configuration for `symbols`, or for all of the file's when None.

    A symbol that the file does not list takes the file's `defaults`. RISK_USD or RISK_PERCENT of the settings override
    the file's sizing. Raises ConfigurationError, `file:line: key: what is wrong`, one line a problem.
    """
    document = read_yaml(path)
    file = validate(SymbolsFile, [document], document.data)
    _check_names(file, document)
    wanted = list(file.symbols) if symbols is None else _wanted(symbols, file.quote_asset)
    return TradingConfig(
        position_mode=settings.position_mode,
        quote_asset=file.quote_asset,
        sizing=_sizing(file.sizing, settings),
        limits=RiskLimits(**dict(file.limits)),
        strategies={name: StrategyLimits(**dict(entry)) for name, entry in file.strategies.items()},
        symbols={symbol: _limits_of(symbol, file) for symbol in wanted},
    )


def _check_names(file: SymbolsFile, document: YamlDocument) -> None:
    reasons = {symbol: symbol_problem(symbol, file.quote_asset) for symbol in file.symbols}
    lines = [locate(Problem(("symbols", symbol), reason), [document]) for symbol, reason in reasons.items() if reason]
    if lines:
        raise ConfigurationError("\n".join(lines))


def _wanted(symbols: Sequence[str], quote_asset: str) -> list[str]:
    """Return the chosen symbols in upper case, each once, in the order given."""
    wanted = list(dict.fromkeys(symbol.strip().upper() for symbol in symbols if symbol.strip()))
    if not wanted:
        raise ConfigurationError(
            f"command line: --symbols: none given; write for example BTC{quote_asset},ETH{quote_asset}"
        )
    lines = [
        f"command line: --symbols: '{symbol}' {reason}"
        for symbol in wanted
        if (reason := symbol_problem(symbol, quote_asset))
    ]
    if lines:
        raise ConfigurationError("\n".join(lines))
    return wanted


def _limits_of(symbol: str, file: SymbolsFile) -> SymbolLimits:
    entry = file.symbols.get(symbol, SymbolEntry())
    own = {name: getattr(entry, name) for name in entry.model_fields_set}
    return SymbolLimits(symbol=symbol, **{**dict(file.defaults), **own})


def _sizing(entry: SizingEntry, settings: Settings) -> SizingPolicy:
    risk_usd, risk_percent = _risk(entry, settings)
    return SizingPolicy(
        risk_usd=risk_usd,
        risk_percent=risk_percent,
        reserve_fraction=entry.reserve_fraction,
        slippage_fraction=entry.slippage_fraction,
    )


def _risk(entry: SizingEntry, settings: Settings) -> tuple[Decimal | None, Decimal | None]:
    """Return (fixed risk, percent), exactly one of them set: settings first, then the file, then the default."""
    for usd, percent in ((settings.risk_usd, settings.risk_percent), (entry.risk_usd, entry.risk_percent)):
        if usd is not None or percent is not None:
            return usd, percent
    return DEFAULT_RISK_USD, None
