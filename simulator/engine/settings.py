"""Account settings: leverage and margin type of a symbol, position mode; each with the venue's refusals."""

from __future__ import annotations

from core.enums import MarginType
from simulator.engine.account import Account
from simulator.engine.context import Context
from simulator.engine.errors import ApiError
from simulator.engine.events import AccountConfigEvent
from simulator.engine.ledger import Ledger
from simulator.engine.margin import max_notional
from simulator.engine.views import SymbolConfigView


class Settings:
    def __init__(self, context: Context, account: Account, ledger: Ledger) -> None:
        self._context = context
        self._account = account
        self._ledger = ledger

    def set_leverage(self, symbol: str, leverage: int) -> SymbolConfigView:
        """Set a symbol's leverage; setting the present one again is fine.

        -4028 out of range, -2027 what is held is too large for it, -4161 lower with an isolated position,
        -2028 lower than the free margin allows.
        """
        brackets = self._context.spec(symbol).brackets
        if not 1 <= leverage <= brackets[0].initial_leverage:
            raise ApiError(-4028, f"Leverage {leverage} is not valid.")
        settings = self._context.symbol_settings(symbol)
        exposure = self._account.exposure(symbol)
        if exposure.worst_leg > max_notional(brackets, leverage):
            raise ApiError(-2027, "Exceeded the maximum allowable position at current leverage.")
        if leverage < settings.leverage:
            if self._context.is_isolated(symbol) and exposure.held:
                text = "Leverage reduction is not supported in Isolated Margin Mode with open positions."
                raise ApiError(-4161, text)
            growth = exposure.worst / leverage - exposure.worst / settings.leverage
            if growth > self._account.available():
                raise ApiError(-2028, "Leverage is smaller than permitted: insufficient margin balance.")
        if leverage != settings.leverage:
            settings.leverage = leverage
            self._context.state.touch(settings)
            self._context.emit(AccountConfigEvent(symbol, leverage, self._context.now_ms))
        return self.symbol_config(symbol)

    def set_margin_type(self, symbol: str, margin_type: MarginType) -> None:
        """Set a symbol's margin type: -4046 unchanged, -4047 open orders, -4048 position."""
        self._context.spec(symbol)
        settings = self._context.symbol_settings(symbol)
        if settings.margin_type is margin_type:
            raise ApiError(-4046, "No need to change margin type.")
        if self._has_orders(symbol):
            raise ApiError(-4047, "Margin type cannot be changed if there exists open orders.")
        if self._account.open_positions(symbol):
            raise ApiError(-4048, "Margin type cannot be changed if there exists position.")
        settings.margin_type = margin_type
        self._context.state.touch(settings)
        self._ledger.tell_account("MARGIN_TYPE_CHANGE", ())

    def set_position_mode(self, is_hedge: bool) -> None:
        """Set the account's position mode: -4059 unchanged, -4067 open orders, -4068 positions."""
        settings = self._context.state.settings
        if settings.is_hedge_mode is is_hedge:
            raise ApiError(-4059, "No need to change position side.")
        if self._has_orders(None):
            raise ApiError(-4067, "Position side cannot be changed if there exists open orders.")
        if self._account.open_positions():
            raise ApiError(-4068, "Position side cannot be changed if there exists position.")
        settings.is_hedge_mode = is_hedge
        self._context.state.touch(settings)

    def symbol_config(self, symbol: str) -> SymbolConfigView:
        spec, settings = self._context.spec(symbol), self._context.symbol_settings(symbol)
        limit = max_notional(spec.brackets, settings.leverage)
        return SymbolConfigView(symbol, settings.margin_type, settings.leverage, limit)

    def _has_orders(self, symbol: str | None) -> bool:
        desks = [desk for desk in self._context.desks.values() if symbol in (None, desk.symbol)]
        return any(desk.open_orders or desk.open_algos for desk in desks)
