"""Money rounding: the only place where realised PnL, fees, funding and margin transfers lose digits.

All of them are cut to 8 decimals towards zero, as the venue does: every fee and realised PnL of the recorded testnet
account is reproduced to within one unit of the last digit, which is the venue's own floating-point residue or the
rest of a partial close that the ledger carries on. For funding and margin transfers it is assumed.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal

MONEY = Decimal("1E-8")


def realised_pnl(value: Decimal) -> Decimal:
    """Return profit or loss of a closing fill, before fees, as it is booked."""
    return value.quantize(MONEY, ROUND_DOWN)


def commission(value: Decimal) -> Decimal:
    """Return the fee of one fill as it is booked."""
    return value.quantize(MONEY, ROUND_DOWN)


def funding_fee(value: Decimal) -> Decimal:
    """Return a funding payment as it is booked."""
    return value.quantize(MONEY, ROUND_DOWN)


def margin_transfer(value: Decimal) -> Decimal:
    """Return what moves between the cross and an isolated wallet. Does not change the wallet balance."""
    return value.quantize(MONEY, ROUND_DOWN)


def shown(value: Decimal) -> Decimal:
    """Return a derived figure (margin, unrealised PnL, average price) as it is shown; never booked."""
    return value.quantize(MONEY, ROUND_DOWN)
