"""How much to enter: risk at the stop decides, limits cap. Pure functions of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from core.enums import Direction
from core.frozen import quick_init
from core.limits import SizingPolicy
from core.orders import LeverageBracket
from executor.denials import DenialCode, Denied, denied

ZERO = Decimal(0)
_POSITION, _SYMBOL, _TOTAL = (
    DenialCode.MAX_POSITION_NOTIONAL,
    DenialCode.SYMBOL_EXPOSURE,
    DenialCode.TOTAL_EXPOSURE,
)
_MARGIN, _LADDER = DenialCode.MARGIN_INSUFFICIENT, DenialCode.LEVERAGE_BRACKET


@quick_init
@dataclass(frozen=True, slots=True)
class SizingInput:
    """Everything that the size depends on. Money in the quote asset, rates as fractions of the notional.

    `symbol_exposure` and `total_exposure` are the absolute notionals that are open already; a limit of None is off.
    """

    direction: Direction
    price: Decimal
    stop_price: Decimal
    equity: Decimal
    available: Decimal
    taker_fee_rate: Decimal
    leverage: int
    brackets: tuple[LeverageBracket, ...]
    symbol_exposure: Decimal
    total_exposure: Decimal
    max_position_notional: Decimal
    max_exposure_fraction: Decimal
    max_total_exposure_fraction: Decimal | None


@quick_init
@dataclass(frozen=True, slots=True)
class Sized:
    """An unrounded quantity, the loss expected at the stop with it, and what bounded it ("risk" or a cap's name)."""

    quantity: Decimal
    risk_usd: Decimal
    bound_by: str


def loss_per_unit(price: Decimal, stop_price: Decimal, taker_fee_rate: Decimal, slippage_fraction: Decimal) -> Decimal:
    """Return the loss of one unit at the stop: the distance, and fee and slippage on both the entry and the exit."""
    return abs(price - stop_price) + (price + stop_price) * (taker_fee_rate + slippage_fraction)


def risk_budget(policy: SizingPolicy, equity: Decimal) -> Decimal:
    """Return the amount to lose at the stop: fixed, or a percentage of equity when no fixed amount is set."""
    if policy.risk_usd is not None:
        return policy.risk_usd
    return equity * (policy.risk_percent or ZERO) / 100


def bracket_notional_cap(brackets: tuple[LeverageBracket, ...], leverage: int) -> Decimal | None:
    """Return the largest notional that the venue allows at `leverage`; None when it has not told a ladder."""
    if not brackets:
        return None
    return max([bracket.notional_cap for bracket in brackets if bracket.initial_leverage >= leverage], default=ZERO)


def size_entry(policy: SizingPolicy, data: SizingInput) -> Sized | Denied:
    """Return the quantity whose loss at the stop equals the risk budget, reduced to the tightest cap.

    Raises nothing; a budget or a cap that leaves no room is a denial that names it.
    """
    stop_ahead = (data.price - data.stop_price) * data.direction.sign <= 0
    if stop_ahead:
        return denied(DenialCode.STOP_WRONG_SIDE, price=data.price, stop_price=data.stop_price)
    budget = risk_budget(policy, data.equity)
    if budget <= 0 and policy.fixed_quantity is None:
        return denied(DenialCode.NO_RISK_BUDGET, risk_usd=budget, equity=data.equity)
    unit_loss = loss_per_unit(data.price, data.stop_price, data.taker_fee_rate, policy.slippage_fraction)
    quantity, bound_by = budget / unit_loss, "risk"
    if policy.fixed_quantity is not None:
        quantity, bound_by = policy.fixed_quantity, "fixed"
    for code, notional in _notional_caps(policy, data):
        if notional <= 0:
            return denied(code, room=notional, symbol_exposure=data.symbol_exposure, total_exposure=data.total_exposure)
        most = notional / data.price
        if most < quantity:
            quantity, bound_by = most, code.value
    return Sized(quantity=quantity, risk_usd=quantity * unit_loss, bound_by=bound_by)


def _notional_caps(policy: SizingPolicy, data: SizingInput) -> list[tuple[DenialCode, Decimal]]:
    """Room that each limit leaves, as notional at the entry price."""
    caps = [
        (_POSITION, data.max_position_notional - data.symbol_exposure),
        (_SYMBOL, data.equity * data.max_exposure_fraction - data.symbol_exposure),
        (_MARGIN, _margin_room(policy, data)),
    ]
    if data.max_total_exposure_fraction is not None:
        room = data.equity * data.max_total_exposure_fraction - data.total_exposure
        caps.append((_TOTAL, room))
    ladder = bracket_notional_cap(data.brackets, data.leverage)
    if ladder is not None:
        caps.append((_LADDER, ladder - data.symbol_exposure))
    return caps


def _margin_room(policy: SizingPolicy, data: SizingInput) -> Decimal:
    """Notional whose initial margin, taker fee and slippage fit into the available balance less its reserve."""
    usable = data.available * (1 - policy.reserve_fraction)
    cost_rate = 1 / Decimal(data.leverage) + data.taker_fee_rate + policy.slippage_fraction
    return usable / cost_rate
