"""Which symbols to trade: what was asked for, what the configuration lists, what the venue offers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from core.errors import ConfigurationError
from utils.problems import did_you_mean

SHOWN_MAX = 10


def requested_symbols(text: str | None) -> tuple[str, ...] | int | None:
    """Read `--symbols`: names separated by commas, or a number of generated symbols; None when not given."""
    if text is None:
        return None
    if text.strip().isdigit():
        count = int(text)
        if not 1 <= count <= 300:
            raise ConfigurationError(f"command line: --symbols: {count} is not possible; allowed: 1 to 300")
        return count
    names = tuple(dict.fromkeys(part.strip().upper() for part in text.split(",") if part.strip()))
    if not names:
        raise ConfigurationError("command line: --symbols: none given; write for example BTCUSDT,ETHUSDT")
    return names


def choose_symbols(
    requested: tuple[str, ...] | int | None,
    configured: Sequence[str],
    offered: Collection[str],
    *,
    prefer_offered: bool,
) -> tuple[str, ...]:
    """Return the symbols to trade, in the order asked for.

    Names must be offered by the venue. A number takes that many of the offered ones. Without either, the configured
    ones count, or all offered ones when `prefer_offered` (a recorded market that brings its own symbols). Raises
    ConfigurationError that names each unknown symbol and the nearest one.
    """
    if isinstance(requested, int):
        return tuple(offered)[:requested]
    if requested is None and prefer_offered:
        return tuple(offered)
    wanted = requested if requested is not None else tuple(configured)
    where = "command line: --symbols" if requested is not None else "config/symbols.yaml: symbols"
    unknown = [symbol for symbol in wanted if symbol not in offered]
    if unknown:
        raise ConfigurationError(
            "\n".join(f"{where}: '{symbol}' is not traded at this venue{_hint(symbol, offered)}" for symbol in unknown)
        )
    return wanted


def _hint(symbol: str, offered: Collection[str]) -> str:
    shown = list(offered)[:SHOWN_MAX]
    listed = ", ".join(shown) + (" ..." if len(offered) > len(shown) else "")
    return did_you_mean(symbol, offered) or f"; it offers {listed}"
