"""What commands that replay candles share on their command line: costs, exact numbers, times, symbols."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from core.errors import ConfigurationError

if TYPE_CHECKING:
    from backtest.settings import ReplaySettings


@dataclass(frozen=True, slots=True)
class Costs:
    """The numbers of the command line that replace what contract and YAML say; None keeps theirs."""

    fee: str | None
    slippage_bps: str
    tick_size: str | None
    step_size: str | None
    quantity: str | None
    deposit: str | None


def settings_of(costs: Costs, no_risk: bool, both_hit_rule: str | None, deposit: Decimal) -> ReplaySettings:
    """Return what a replay is run with; raises ConfigurationError for a number that cannot be."""
    from backtest.settings import DEPOSIT_WITHOUT_RISK, BothHitRule, ReplaySettings

    own = number_of("--deposit", costs.deposit, above_zero=True)
    return ReplaySettings(
        deposit=own or (DEPOSIT_WITHOUT_RISK if no_risk else deposit),
        fee_rate=number_of("--fee", costs.fee, below=Decimal(1)),
        slippage_bps=number_of("--slippage-bps", costs.slippage_bps, below=Decimal(10_000)) or Decimal(0),
        tick_size=number_of("--tick-size", costs.tick_size, above_zero=True),
        step_size=number_of("--step-size", costs.step_size, above_zero=True),
        quantity=number_of("--quantity", costs.quantity, above_zero=True),
        has_risk=not no_risk,
        both_hit_rule=None if both_hit_rule is None else BothHitRule(both_hit_rule),
    )


def number_of(
    option: str, text: str | None, *, above_zero: bool = False, below: Decimal | None = None
) -> Decimal | None:
    """Return an exact number of the command line; raises ConfigurationError."""
    if text is None:
        return None
    try:
        value = Decimal(text)
    except ArithmeticError:
        raise ConfigurationError(f"command line: {option} {text!r}: not a number") from None
    least = "above 0" if above_zero else "0 or more"
    if not value.is_finite() or value < 0 or (above_zero and value == 0) or (below is not None and value >= below):
        bound = "" if below is None else f" and below {below}"
        raise ConfigurationError(f"command line: {option} {text}: must be {least}{bound}")
    return value


def time_of(option: str, text: str | None) -> int | None:
    """Return a time of the command line in UTC milliseconds; raises ConfigurationError."""
    from utils.timefmt import parse_time

    try:
        return None if text is None else parse_time(text)
    except ValueError as error:
        raise ConfigurationError(f"command line: {option}: {error}") from None


def span_of(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """Return --from and --to in UTC milliseconds; raises ConfigurationError where nothing lies between them."""
    start_ms, end_ms = time_of("--from", start), time_of("--to", end)
    if start_ms is not None and end_ms is not None and start_ms >= end_ms:
        raise ConfigurationError(f"command line: --from is not before --to: {start}, {end}")
    return start_ms, end_ms


def strategies_of(text: str) -> list[str]:
    """Return the strategies of a list with commas, each once; raises ConfigurationError where there is none."""
    names = list(dict.fromkeys(one.strip() for one in text.split(",") if one.strip()))
    if not names:
        raise ConfigurationError("command line: no strategy is named; write for example vwap_reversion")
    return names


def symbols_of(text: str | None) -> list[str] | None:
    """Return the symbols of a list with commas, each once; None for no list."""
    if text is None:
        return None
    return list(dict.fromkeys(one.strip().upper() for one in text.split(",") if one.strip()))
