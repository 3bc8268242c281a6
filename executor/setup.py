"""Makes the account what the configuration says, then reads it back: only what was read counts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from core.commands import (
    Accepted,
    CommissionRate,
    FetchCommissionRate,
    FetchLeverageBrackets,
    FetchPositionMode,
    FetchSymbolConfig,
    InDoubt,
    Outcome,
    RefusalKind,
    Refused,
    SetLeverage,
    SetMarginType,
    SetPositionMode,
    SymbolConfig,
)
from core.enums import MarginType, PositionMode
from core.errors import RuntimeFailure
from core.limits import SymbolLimits, TradingConfig
from core.orders import LeverageBracket
from core.ports import VenuePort

DEFAULT_TAKER_FEE = Decimal("0.0005")
"""Taker rate of the venue's lowest tier, for sizing while the account's own rate could not be read."""

CONCURRENCY = 8
COMMISSION_READS_MAX = 20
"""A commission read costs 20 weight; with more symbols a few are read, and the highest rate stands for the others."""
COMMISSION_SAMPLE = 5


@dataclass(frozen=True, slots=True)
class SymbolSetup:
    """What the venue holds for one symbol. `blocked_reason` is None when entries are allowed."""

    symbol: str
    leverage: int
    margin_type: MarginType
    brackets: tuple[LeverageBracket, ...] = ()
    maker_fee_rate: Decimal = Decimal("0.0002")
    taker_fee_rate: Decimal = DEFAULT_TAKER_FEE
    blocked_reason: str | None = None


@dataclass(frozen=True, slots=True)
class SetupReport:
    """Account and symbols as read back after set-up."""

    position_mode: PositionMode
    symbols: Mapping[str, SymbolSetup] = field(default_factory=dict)

    @property
    def blocked(self) -> dict[str, str]:
        return {s.symbol: s.blocked_reason for s in self.symbols.values() if s.blocked_reason is not None}


async def prepare(venue: VenuePort, config: TradingConfig, symbols: Sequence[str]) -> SetupReport:
    """Set position mode, leverage and margin type where they differ, and return what the venue holds afterwards.

    A symbol whose read-back differs from the configuration is blocked with the reason. Raises RuntimeFailure when the
    account's position mode cannot be read or made what the configuration says.
    """
    mode = await _ensure_position_mode(venue, config.position_mode)
    before = await _read_symbols(venue)
    wanted = {symbol: config.symbols.get(symbol, SymbolLimits(symbol)) for symbol in symbols}
    changed = [limits for symbol, limits in wanted.items() if not _matches(before.get(symbol), limits)]
    refusals = await _apply(venue, changed, before)
    after = await _read_symbols(venue) if changed else before
    brackets = await _read_brackets(venue)
    fees = await _read_fees(venue, list(wanted))
    found = {
        symbol: _symbol_setup(limits, after.get(symbol), brackets.get(symbol, ()), refusals.get(symbol))
        for symbol, limits in wanted.items()
    }
    return SetupReport(mode, {symbol: _with_fees(setup, fees) for symbol, setup in found.items()})


async def _ensure_position_mode(venue: VenuePort, wanted: PositionMode) -> PositionMode:
    if await _read_position_mode(venue) is not wanted:
        reply = await venue.execute(SetPositionMode(wanted))
        found = await _read_position_mode(venue)
        if found is not wanted:
            raise RuntimeFailure(
                f"the account is in position mode {found.value}, the configuration says {wanted.value}, "
                f"and changing it failed ({describe(reply.outcome)}): "
                f"close open positions and orders, or set POSITION_MODE={found.value}"
            )
    return wanted


async def _read_position_mode(venue: VenuePort) -> PositionMode:
    reply = await venue.execute(FetchPositionMode())
    if isinstance(reply.outcome, Accepted) and isinstance(reply.outcome.payload, PositionMode):
        return reply.outcome.payload
    refusal = reply.outcome if isinstance(reply.outcome, Refused) else None
    if refusal is not None and refusal.kind is RefusalKind.AUTHENTICATION:
        advice = (
            "the venue does not accept this key: check BINANCE_API_KEY and BINANCE_API_SECRET (EXCHANGE_API_KEY and "
        )
        advice += (
            "EXCHANGE_API_SECRET for an embedded exchange), the key's futures permission and its allowed addresses"
        )
    else:
        advice = "check the network, then start again"
    raise RuntimeFailure(f"the account cannot be read ({describe(reply.outcome)}): {advice}")


async def _read_symbols(venue: VenuePort) -> dict[str, SymbolConfig]:
    reply = await venue.execute(FetchSymbolConfig())
    if not isinstance(reply.outcome, Accepted):
        return {}
    return {row.symbol: row for row in reply.payload()}


async def _read_brackets(venue: VenuePort) -> dict[str, tuple[LeverageBracket, ...]]:
    reply = await venue.execute(FetchLeverageBrackets())
    return dict(reply.payload()) if isinstance(reply.outcome, Accepted) else {}


async def _read_fees(venue: VenuePort, symbols: Sequence[str]) -> dict[str, CommissionRate]:
    gate = asyncio.Semaphore(CONCURRENCY)

    async def read(symbol: str) -> CommissionRate | None:
        async with gate:
            reply = await venue.execute(FetchCommissionRate(symbol))
        return reply.payload() if isinstance(reply.outcome, Accepted) else None

    wanted = symbols if len(symbols) <= COMMISSION_READS_MAX else symbols[:COMMISSION_SAMPLE]
    rows = await asyncio.gather(*(read(symbol) for symbol in wanted))
    return {row.symbol: row for row in rows if row is not None}


async def _apply(
    venue: VenuePort, changed: Sequence[SymbolLimits], before: Mapping[str, SymbolConfig]
) -> dict[str, str]:
    """Set what differs, a few symbols at a time; returns what failed, by symbol."""
    gate = asyncio.Semaphore(CONCURRENCY)
    failures: dict[str, str] = {}

    async def apply(limits: SymbolLimits) -> None:
        known = before.get(limits.symbol)
        async with gate:
            # Margin type first: lowering the leverage of an isolated position would be refused.
            if known is None or known.margin_type is not limits.margin_type:
                reply = await venue.execute(SetMarginType(limits.symbol, limits.margin_type))
                if not isinstance(reply.outcome, Accepted):
                    failures[limits.symbol] = describe(reply.outcome)
            if known is None or known.leverage != limits.leverage:
                reply = await venue.execute(SetLeverage(limits.symbol, limits.leverage))
                if not isinstance(reply.outcome, Accepted):
                    failures[limits.symbol] = describe(reply.outcome)

    await asyncio.gather(*(apply(limits) for limits in changed))
    return failures


def _matches(found: SymbolConfig | None, limits: SymbolLimits) -> bool:
    return found is not None and found.leverage == limits.leverage and found.margin_type is limits.margin_type


def _symbol_setup(
    limits: SymbolLimits, found: SymbolConfig | None, brackets: tuple[LeverageBracket, ...], failure: str | None
) -> SymbolSetup:
    if found is None:
        reason = f"leverage and margin type cannot be read back ({failure or 'not listed'})"
        return SymbolSetup(limits.symbol, limits.leverage, limits.margin_type, brackets, blocked_reason=reason)
    setup = SymbolSetup(limits.symbol, found.leverage, found.margin_type, brackets)
    return block_if_different(setup, limits, failure)


def block_if_different(setup: SymbolSetup, limits: SymbolLimits, failure: str | None = None) -> SymbolSetup:
    """Return the set-up blocked when it differs from the configuration, unblocked otherwise."""
    if setup.leverage == limits.leverage and setup.margin_type is limits.margin_type:
        return replace(setup, blocked_reason=None)
    reason = (
        f"the venue holds leverage {setup.leverage} and margin {setup.margin_type.value}, "
        f"the configuration says {limits.leverage} and {limits.margin_type.value}"
    )
    return replace(setup, blocked_reason=f"{reason} ({failure})" if failure else reason)


def _with_fees(setup: SymbolSetup, fees: Mapping[str, CommissionRate]) -> SymbolSetup:
    rows = [fees[setup.symbol]] if setup.symbol in fees else list(fees.values())
    if not rows:
        return setup
    return replace(
        setup,
        maker_fee_rate=max(Decimal(row.maker) for row in rows),
        taker_fee_rate=max(Decimal(row.taker) for row in rows),
    )


def describe(outcome: Outcome) -> str:
    """Return an outcome as one short line for people."""
    if isinstance(outcome, Refused):
        return f"refused: {outcome.kind.value} {outcome.code} {outcome.message}".strip()
    if isinstance(outcome, InDoubt):
        return f"outcome unknown: {outcome.detail}"
    return "accepted"
