"""What an embedded exchange that already runs says about its market."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp
import orjson

from core.enums import CountdownEffect
from simulator.options import ABOUT_MARKET

ANSWER_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class MarketFacts:
    """`speed` is market time per wall time; `end_ms` the instant after which a recorded market stands still.

    `countdown` says which orders its countdown-cancel takes.
    """

    speed: float
    end_ms: int | None
    countdown: CountdownEffect = CountdownEffect.UNKNOWN


async def ask_market(rest_url: str) -> MarketFacts | None:
    """Return what the exchange at `rest_url` plays, or None where nobody answers or it is no embedded exchange."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_WAIT_S)) as session,
            session.get(f"{rest_url}{ABOUT_MARKET}", allow_redirects=False) as response,
        ):
            if response.status != 200:
                return None
            found = orjson.loads(await response.read())
        return MarketFacts(float(found["speed"]), found["marketEnd"], CountdownEffect(found["countdownCancels"]))
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
        return None
