"""Closed vocabularies shared by every room. Values equal the venue's wire words where one exists."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Word(StrEnum):
    """A vocabulary whose members stand in keys: they hash as the text that they equal, and as fast as it."""

    __hash__ = str.__hash__


class Environment(Word):
    """Where orders go. `SIM` and `PAPER` trade on the embedded exchange."""

    SIM = "sim"
    PAPER = "paper"
    TESTNET = "testnet"
    MAINNET = "mainnet"


class CountdownEffect(Word):
    """Which resting orders a venue's countdown-cancel takes when its time is over."""

    PLAIN = "plain"
    ALL = "all"
    UNKNOWN = "unknown"


class Side(Word):
    """Side of an order."""

    BUY = "BUY"
    SELL = "SELL"

    sign: int
    """+1 for BUY, -1 for SELL: the sign that a fill adds to a position."""

    def __init__(self, word: str) -> None:
        self.sign = 1 if word == "BUY" else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class Direction(Word):
    """Direction of a position. One position per (symbol, direction)."""

    LONG = "LONG"
    SHORT = "SHORT"

    sign: int
    """+1 for LONG, -1 for SHORT."""

    entry_side: Side
    exit_side: Side

    def __init__(self, word: str) -> None:
        is_long = word == "LONG"
        self.sign = 1 if is_long else -1
        self.entry_side, self.exit_side = (Side.BUY, Side.SELL) if is_long else (Side.SELL, Side.BUY)

    @property
    def opposite(self) -> Direction:
        return Direction.SHORT if self is Direction.LONG else Direction.LONG


class PositionMode(Word):
    """Account mode: one net position a symbol, or a LONG and a SHORT leg."""

    ONEWAY = "ONEWAY"
    HEDGE = "HEDGE"


class PositionSide(Word):
    """`positionSide` on the wire: BOTH in one-way mode, LONG or SHORT in hedge mode."""

    BOTH = "BOTH"
    LONG = "LONG"
    SHORT = "SHORT"


class MarginType(Word):
    ISOLATED = "ISOLATED"
    CROSSED = "CROSSED"


class OrderType(Word):
    """UNKNOWN stands for a word that the venue invented later: data, not an error."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    STOP = "STOP"
    STOP_MARKET = "STOP_MARKET"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_MARKET = "TAKE_PROFIT_MARKET"
    TRAILING_STOP_MARKET = "TRAILING_STOP_MARKET"
    LIQUIDATION = "LIQUIDATION"
    UNKNOWN = "UNKNOWN"


class TimeInForce(Word):
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTX = "GTX"
    GTD = "GTD"
    GTE_GTC = "GTE_GTC"


class WorkingType(Word):
    CONTRACT_PRICE = "CONTRACT_PRICE"
    MARK_PRICE = "MARK_PRICE"


_ENDED_ORDER = frozenset({"FILLED", "CANCELED", "REJECTED", "EXPIRED", "EXPIRED_IN_MATCH"})
_ENDED_ALGO = frozenset({"CANCELED", "FINISHED", "REJECTED", "EXPIRED"})


class OrderStatus(Word):
    """Venue status of a plain order."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"
    UNKNOWN = "UNKNOWN"

    is_terminal: bool
    """Whether the order is over."""

    def __init__(self, word: str) -> None:
        self.is_terminal = word in _ENDED_ORDER


class AlgoStatus(Word):
    """Venue status of a conditional (algo) order."""

    NEW = "NEW"
    CANCELED = "CANCELED"
    TRIGGERING = "TRIGGERING"
    TRIGGERED = "TRIGGERED"
    FINISHED = "FINISHED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    UNKNOWN = "UNKNOWN"

    is_terminal: bool
    """Whether the order is over."""

    def __init__(self, word: str) -> None:
        self.is_terminal = word in _ENDED_ALGO


class LiquiditySide(Word):
    MAKER = "MAKER"
    TAKER = "TAKER"


class Leg(Word):
    """Role of an order within its trade. The value is the letter in the client order id."""

    ENTRY = "E"
    STOP = "S"
    TARGET = "T"
    CLOSE = "C"

    @property
    def is_exit(self) -> bool:
        return self is not Leg.ENTRY


class OrderService(Word):
    """Which venue service holds an order: the two have separate id spaces and end points."""

    PLAIN = "plain"
    ALGO = "algo"


class Priority(IntEnum):
    """Exits come before entries, entries before housekeeping, in every queue and budget."""

    EXIT = 0
    ENTRY = 1
    QUERY = 2


class Severity(Word):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class SymbolStatus(Word):
    """Contract status. Everything but TRADING blocks entries."""

    TRADING = "TRADING"
    PENDING_TRADING = "PENDING_TRADING"
    PRE_DELIVERING = "PRE_DELIVERING"
    DELIVERING = "DELIVERING"
    DELIVERED = "DELIVERED"
    PRE_SETTLE = "PRE_SETTLE"
    SETTLING = "SETTLING"
    CLOSE = "CLOSE"
    TRADING_HALT = "TRADING_HALT"
    UNKNOWN = "UNKNOWN"
