"""Under which conditions a day was traded: limits, strategy parameters, contracts. Written at each change, read back
to replay that day as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter, ValidationError

from core.errors import RuntimeFailure
from core.instrument import Instrument
from core.limits import TradingConfig
from core.orders import LeverageBracket
from simulator.market.catalog import Bracket, SymbolSpec
from strategies.loader import ActiveStrategy, StrategyBook


@dataclass(frozen=True, slots=True)
class Contract:
    """What the venue said of a symbol when the run began. Fee rates are fractions of the notional."""

    instrument: Instrument
    brackets: tuple[LeverageBracket, ...]
    maker_fee_rate: Decimal
    taker_fee_rate: Decimal

    def spec(self) -> SymbolSpec:
        """Return the contract as the matching engine wants it; how its market moves is of no interest in a replay."""
        ladder = tuple(
            Bracket(
                row.bracket,
                row.initial_leverage,
                row.notional_floor,
                row.notional_cap,
                row.maintenance_margin_rate,
                row.maintenance_amount,
            )
            for row in self.brackets
        )
        return SymbolSpec(
            instrument=self.instrument,
            brackets=ladder,
            reference_price=self.instrument.tick_size,
            volatility=0.0,
            beta=0.0,
            spread_ticks=1,
            level_quantity=self.instrument.step_size,
            base_volume=self.instrument.step_size,
            maker_fee=self.maker_fee_rate,
            taker_fee=self.taker_fee_rate,
        )


@dataclass(frozen=True, slots=True)
class Conditions:
    """`parameters` holds, by symbol and strategy, what the YAML files said."""

    code_version: str
    config: TradingConfig
    parameters: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    contracts: Mapping[str, Contract] = field(default_factory=dict)

    def text(self) -> str:
        """Return the conditions as JSON that `read_conditions` understands; equal conditions give equal text."""
        return _ADAPTER.dump_json(self).decode()

    def strategies(self, book: StrategyBook) -> list[ActiveStrategy]:
        """Return the strategies as they ran; raises RuntimeFailure for one that is no longer there or has other
        parameters now."""
        active = []
        for symbol, by_name in self.parameters.items():
            for name, values in by_name.items():
                if name not in book.names():
                    raise RuntimeFailure(f"strategy {name} traded {symbol} that day and is no longer in the code")
                now = book.named(name, symbol)
                try:
                    params = type(now.params).model_validate(dict(values))
                except ValidationError as error:
                    raise RuntimeFailure(
                        f"strategy {name} has other parameters now than that day ({error.error_count()} do not fit)"
                    ) from None
                active.append(ActiveStrategy(name, symbol, now.strategy_class, params))
        return active

    def what_counts_for(self, strategy: str, symbol: str) -> tuple[object, ...]:
        """Return all that a trade of this strategy on this symbol depends on, to compare two conditions by."""
        config = self.config
        return (
            self.parameters.get(symbol, {}).get(strategy),
            config.symbols.get(symbol),
            config.strategies.get(strategy),
            config.sizing,
            config.limits,
            config.position_mode,
        )


def digest_of(text: str) -> str:
    """Return 16 hexadecimal digits that tell conditions apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_conditions(text: str) -> Conditions:
    """Return conditions from their text; raises RuntimeFailure for a text of another version of the code."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        raise RuntimeFailure(
            f"the recorded conditions of trading are of another version of the code ({error.error_count()} values "
            "do not fit); replay that day with the version that traded it"
        ) from None


def parameters_of(book: StrategyBook) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what the book's files say, by symbol and strategy, of the strategies that run."""
    return {
        symbol: {one.name: one.params.model_dump(mode="json") for one in book.on(symbol)} for symbol in book.symbols
    }


_ADAPTER = TypeAdapter(Conditions)
