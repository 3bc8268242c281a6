"""Account, balances, positions and settings as REST objects (protocol sections 10, 11)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson

from simulator.engine.port import BracketLike
from simulator.engine.views import AccountView, BalanceView, CommissionView, PositionView, SymbolConfigView
from simulator.server.formats import Precision, bare, bare_eight, eight, eight_or_zero, fixed

Json = dict[str, Any]


def position_risk(position: PositionView, precision: Precision) -> Json:
    """One row of `v3/positionRisk`; leverage and margin type are not in it (see symbolConfig)."""
    return {
        "symbol": position.symbol,
        "positionSide": position.position_side.value,
        "positionAmt": fixed(position.quantity, precision.quantity),
        "entryPrice": _price_or_zero(position.entry_price),
        "breakEvenPrice": _price_or_zero(position.break_even_price),
        "markPrice": eight(position.mark_price),
        "unRealizedProfit": eight(position.unrealised_pnl),
        "liquidationPrice": eight_or_zero(position.liquidation_price),
        "isolatedMargin": eight_or_zero(position.isolated_margin),
        "notional": eight_or_zero(position.notional),
        "marginAsset": position.margin_asset,
        "isolatedWallet": eight_or_zero(position.isolated_wallet),
        "initialMargin": eight_or_zero(position.initial_margin),
        "maintMargin": eight_or_zero(position.maintenance_margin),
        "positionInitialMargin": eight_or_zero(position.position_initial_margin),
        "openOrderInitialMargin": eight_or_zero(position.open_order_initial_margin),
        "adl": position.adl_quantile,
        "bidNotional": bare_eight(position.bid_notional),
        "askNotional": bare_eight(position.ask_notional),
        "updateTime": position.update_time_ms,
    }


def _price_or_zero(price: Decimal) -> str:
    return bare_eight(price) if price else "0.0"


def account(view: AccountView, precisions: dict[str, Precision]) -> Json:
    """`v3/account`: totals equal the one asset's row."""
    total = view.balance
    return {
        "totalInitialMargin": eight(total.initial_margin),
        "totalMaintMargin": eight(total.maintenance_margin),
        "totalWalletBalance": eight(total.wallet_balance),
        "totalUnrealizedProfit": eight(total.unrealised_pnl),
        "totalMarginBalance": eight(total.margin_balance),
        "totalPositionInitialMargin": eight(total.position_initial_margin),
        "totalOpenOrderInitialMargin": eight(total.open_order_initial_margin),
        "totalCrossWalletBalance": eight(total.cross_wallet_balance),
        "totalCrossUnPnl": eight(total.cross_unrealised_pnl),
        "availableBalance": eight(total.available_balance),
        "maxWithdrawAmount": eight(total.max_withdraw_amount),
        "assets": [_asset(total)],
        "positions": [_account_position(position, precisions[position.symbol]) for position in view.positions],
    }


def _asset(row: BalanceView) -> Json:
    return {
        "asset": row.asset,
        "walletBalance": eight(row.wallet_balance),
        "unrealizedProfit": eight(row.unrealised_pnl),
        "marginBalance": eight(row.margin_balance),
        "maintMargin": eight(row.maintenance_margin),
        "initialMargin": eight(row.initial_margin),
        "positionInitialMargin": eight(row.position_initial_margin),
        "openOrderInitialMargin": eight(row.open_order_initial_margin),
        "crossWalletBalance": eight(row.cross_wallet_balance),
        "crossUnPnl": eight(row.cross_unrealised_pnl),
        "availableBalance": eight(row.available_balance),
        "maxWithdrawAmount": eight(row.max_withdraw_amount),
        "updateTime": row.update_time_ms,
    }


def _account_position(position: PositionView, precision: Precision) -> Json:
    return {
        "symbol": position.symbol,
        "positionSide": position.position_side.value,
        "positionAmt": fixed(position.quantity, precision.quantity),
        "unrealizedProfit": eight(position.unrealised_pnl),
        "isolatedMargin": eight_or_zero(position.isolated_margin),
        "notional": eight_or_zero(position.notional),
        "isolatedWallet": eight_or_zero(position.isolated_wallet),
        "initialMargin": eight_or_zero(position.initial_margin),
        "maintMargin": eight_or_zero(position.maintenance_margin),
        "updateTime": position.update_time_ms,
    }


def balance(row: BalanceView) -> Json:
    """One row of `v3/balance`."""
    return {
        "accountAlias": "embedded",
        "asset": row.asset,
        "balance": eight(row.wallet_balance),
        "crossWalletBalance": eight(row.cross_wallet_balance),
        "crossUnPnl": eight(row.cross_unrealised_pnl),
        "availableBalance": eight(row.available_balance),
        "maxWithdrawAmount": eight(row.max_withdraw_amount),
        "marginAvailable": True,
        "updateTime": row.update_time_ms,
    }


def account_config(is_hedge: bool) -> Json:
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": is_hedge,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }


def symbol_config(view: SymbolConfigView) -> Json:
    return {
        "symbol": view.symbol,
        "marginType": view.margin_type.value,
        "isAutoAddMargin": view.is_auto_add_margin,
        "leverage": view.leverage,
        "maxNotionalValue": bare(view.max_notional),
    }


def commission_rate(view: CommissionView) -> Json:
    return {
        "symbol": view.symbol,
        "makerCommissionRate": fixed(view.maker, 6),
        "takerCommissionRate": fixed(view.taker, 6),
        "rpiCommissionRate": "0",
    }


def leverage_brackets(symbol: str, brackets: Sequence[BracketLike]) -> Json:
    """One symbol of `v1/leverageBracket`; its figures are JSON numbers, written exactly."""
    return {
        "symbol": symbol,
        "notionalCoef": _number(Decimal(1)),
        "brackets": [
            {
                "bracket": bracket.bracket,
                "initialLeverage": bracket.initial_leverage,
                "notionalCap": _number(bracket.notional_cap),
                "notionalFloor": _number(bracket.notional_floor),
                "maintMarginRatio": _number(bracket.maint_margin_ratio),
                "cum": _number(bracket.cum),
            }
            for bracket in brackets
        ],
    }


def _number(value: Decimal) -> orjson.Fragment:
    return orjson.Fragment(bare(value))
