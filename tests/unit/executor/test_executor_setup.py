"""Set-up: what differs is set, what was set is read back, what still differs is blocked."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

import pytest

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
    VenueCommand,
    VenueReply,
)
from core.enums import MarginType, PositionMode
from core.errors import RuntimeFailure
from core.orders import LeverageBracket
from executor.setup import DEFAULT_TAKER_FEE, describe, prepare
from tests.unit.executor.lab import BTC, ETH, trading_config

BRACKET = LeverageBracket(1, 20, Decimal(0), Decimal(50_000), Decimal("0.004"), Decimal(0))


@dataclass
class SetupVenue:
    """Settings only. `stubborn` commands answer as given and change nothing."""

    mode: PositionMode = PositionMode.ONEWAY
    rows: dict[str, SymbolConfig] = field(default_factory=dict)
    stubborn: dict[type, Outcome] = field(default_factory=dict)
    commands: list[VenueCommand] = field(default_factory=list)

    async def execute(self, command: VenueCommand) -> VenueReply:
        self.commands.append(command)
        outcome = self.stubborn.get(type(command)) or Accepted(self._do(command))  # type: ignore[arg-type]
        return VenueReply(command, outcome, 1, 1)

    def _do(self, command: VenueCommand) -> object:
        if isinstance(command, FetchPositionMode):
            return self.mode
        if isinstance(command, SetPositionMode):
            self.mode = command.mode
        if isinstance(command, FetchSymbolConfig):
            return tuple(self.rows.values())
        if isinstance(command, SetLeverage):
            row = self.rows[command.symbol]
            self.rows[command.symbol] = SymbolConfig(row.symbol, command.leverage, row.margin_type)
        if isinstance(command, SetMarginType):
            row = self.rows[command.symbol]
            self.rows[command.symbol] = SymbolConfig(row.symbol, row.leverage, command.margin_type)
        if isinstance(command, FetchLeverageBrackets):
            return {BTC: (BRACKET,)}
        if isinstance(command, FetchCommissionRate):
            return CommissionRate(command.symbol, "0.0001", "0.0003" if command.symbol == BTC else "0.0004")
        return None


def venue(leverage: int = 5, margin: MarginType = MarginType.ISOLATED) -> SetupVenue:
    return SetupVenue(rows={s: SymbolConfig(s, leverage, margin) for s in (BTC, ETH)})


async def test_account_that_is_as_wanted_is_only_read() -> None:
    fake = venue()
    report = await prepare(fake, trading_config(), [BTC, ETH])
    assert not [c for c in fake.commands if isinstance(c, SetLeverage | SetMarginType | SetPositionMode)]
    assert report.blocked == {}
    assert report.symbols[BTC].brackets == (BRACKET,)
    assert report.symbols[BTC].taker_fee_rate == Decimal("0.0003")
    assert report.symbols[ETH].taker_fee_rate == Decimal("0.0004")


async def test_what_differs_is_set_and_read_back() -> None:
    fake = venue(leverage=20, margin=MarginType.CROSSED)
    fake.mode = PositionMode.HEDGE
    report = await prepare(fake, trading_config(), [BTC, ETH])
    assert fake.mode is PositionMode.ONEWAY
    assert report.blocked == {}
    assert report.symbols[ETH].leverage == 5
    assert report.symbols[ETH].margin_type is MarginType.ISOLATED


async def test_symbol_whose_leverage_does_not_change_is_blocked_with_the_reason() -> None:
    fake = venue(leverage=20)
    fake.stubborn[SetLeverage] = Accepted(None)
    report = await prepare(fake, trading_config(), [BTC])
    assert report.symbols[BTC].leverage == 20
    assert "leverage 20" in report.blocked[BTC]


@pytest.mark.parametrize("kind", [SetLeverage, SetMarginType])
async def test_setting_that_is_refused_is_named(kind: type) -> None:
    fake = venue(leverage=20, margin=MarginType.CROSSED)
    fake.stubborn[kind] = Refused(RefusalKind.BUSINESS, -4161, "not with a position")
    report = await prepare(fake, trading_config(), [BTC])
    assert "-4161" in report.blocked[BTC]


async def test_settings_that_cannot_be_read_block_every_symbol() -> None:
    fake = venue()
    fake.stubborn[FetchSymbolConfig] = InDoubt("timeout")
    report = await prepare(fake, trading_config(), [BTC, ETH])
    assert set(report.blocked) == {BTC, ETH}


async def test_fees_and_brackets_that_cannot_be_read_fall_back() -> None:
    fake = venue()
    fake.stubborn[FetchCommissionRate] = InDoubt("timeout")
    fake.stubborn[FetchLeverageBrackets] = InDoubt("timeout")
    report = await prepare(fake, trading_config(), [BTC])
    assert report.symbols[BTC].taker_fee_rate == DEFAULT_TAKER_FEE
    assert report.symbols[BTC].brackets == ()


async def test_many_symbols_share_the_highest_fee_that_was_read() -> None:
    symbols = [f"S{i:03}USDT" for i in range(50)]
    fake = SetupVenue(rows={s: SymbolConfig(s, 5, MarginType.ISOLATED) for s in symbols})
    report = await prepare(fake, trading_config(), symbols)
    assert len([c for c in fake.commands if isinstance(c, FetchCommissionRate)]) == 5
    assert {s.taker_fee_rate for s in report.symbols.values()} == {Decimal("0.0004")}


async def test_position_mode_that_cannot_be_changed_says_what_to_do() -> None:
    fake = venue()
    fake.mode = PositionMode.HEDGE
    fake.stubborn[SetPositionMode] = Refused(RefusalKind.BUSINESS, -4068, "open positions")
    with pytest.raises(RuntimeFailure, match="POSITION_MODE=HEDGE"):
        await prepare(fake, trading_config(), [BTC])


async def test_position_mode_that_cannot_be_read_says_so() -> None:
    fake = venue()
    fake.stubborn[FetchPositionMode] = InDoubt("timeout")
    with pytest.raises(RuntimeFailure, match="cannot be read"):
        await prepare(fake, trading_config(), [BTC])


def test_outcomes_are_described_in_a_line() -> None:
    assert describe(Accepted(None)) == "accepted"
    assert describe(InDoubt("x")) == "outcome unknown: x"
    assert describe(Refused(RefusalKind.BUSINESS, -1, "no")) == "refused: business -1 no"
