"""Margin arithmetic without state: brackets, maintenance, liquidation and bankruptcy price (protocol section 10)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from msgspec import Struct

from simulator.engine.orders import ZERO
from simulator.engine.port import BracketLike


class Leg(Struct, frozen=True):
    """A position as the formulas need it: signed quantity and exact cost (quantity times entry price)."""

    quantity: Decimal
    cost: Decimal

    @property
    def sign(self) -> int:
        return 1 if self.quantity > 0 else -1


def bracket_of(brackets: Sequence[BracketLike], notional: Decimal) -> BracketLike:
    """Return the bracket that holds `notional` (absolute); beyond the last cap it is the last one."""
    for bracket in brackets:
        if notional < bracket.notional_cap:
            return bracket
    return brackets[-1]


def maintenance_margin(brackets: Sequence[BracketLike], notional: Decimal) -> Decimal:
    """Return notional x mmr - cum of its bracket; `notional` is absolute."""
    bracket = bracket_of(brackets, notional)
    return notional * bracket.maint_margin_ratio - bracket.cum


def max_notional(brackets: Sequence[BracketLike], leverage: int) -> Decimal:
    """Return the largest notional that `leverage` allows: the cap of the last bracket that still grants it."""
    allowed = ZERO
    for bracket in brackets:
        if bracket.initial_leverage >= leverage:
            allowed = bracket.notional_cap
    return allowed


def liquidation_price(
    brackets: Sequence[BracketLike], legs: Sequence[Leg], margin_balance: Decimal, mark_price: Decimal
) -> Decimal:
    """Return the mark price at which the margin balance equals the maintenance margin, 0 if there is none.

    `margin_balance` is WB - TMM1 + UPNL1: the wallet that backs the legs, less maintenance and plus unrealised PnL
    of the other contracts. One leg for isolated or one-way; both legs of a symbol for cross hedge mode. The
    brackets are those of each leg's notional at the result, so the formula is repeated until they are stable.
    """
    price = mark_price
    for _ in range(len(brackets) + 2):
        numerator, denominator = margin_balance, ZERO
        for leg in legs:
            size = abs(leg.quantity)
            bracket = bracket_of(brackets, size * price)
            numerator += bracket.cum - leg.sign * leg.cost
            denominator += size * bracket.maint_margin_ratio - leg.quantity
        if denominator == 0:
            return ZERO
        previous, price = price, numerator / denominator
        if price <= 0:
            return ZERO
        if all(_same_bracket(brackets, leg, previous, price) for leg in legs):
            break
    return price


def _same_bracket(brackets: Sequence[BracketLike], leg: Leg, first: Decimal, second: Decimal) -> bool:
    size = abs(leg.quantity)
    return bracket_of(brackets, size * first).bracket == bracket_of(brackets, size * second).bracket


def bankruptcy_price(leg: Leg, equity: Decimal, mark_price: Decimal) -> Decimal:
    """Return the price at which closing `leg` leaves exactly nothing of `equity` (counted at `mark_price`)."""
    return mark_price - equity / leg.quantity
