"""The adapter keeps inside the limits that a venue states: it is never told to slow down, and exits always pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from core.clock import SystemClock
from core.commands import Accepted, FetchPositions, RefusalKind, Refused, VenueReply
from core.enums import Priority, Side
from exchange.binance import requester
from exchange.binance.gateway import BinanceGateway
from simulator.server.limits import RateLimits
from tests.contract.venues import SYMBOL, embedded_exchange
from tests.unit.exchange.builders import plain_order, submit


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BinanceGateway]:
    monkeypatch.setattr(requester, "QUERY_PATIENCE_S", 0.0)
    with embedded_exchange(1.0, limits=RateLimits(200, 20, 40)) as settings:
        gateway = BinanceGateway(settings, SystemClock())
        await gateway.start()
        yield gateway
        await gateway.close()


def throttled_by(replies: list[VenueReply]) -> set[int]:
    """The codes of all throttled replies: 0 is our own budget, anything else came from the venue."""
    outcomes = [reply.outcome for reply in replies]
    return {item.code for item in outcomes if isinstance(item, Refused) and item.kind is RefusalKind.THROTTLED}


async def test_queries_beyond_the_budget_are_refused_here_and_never_there(gateway: BinanceGateway) -> None:
    replies = await asyncio.gather(*(gateway.execute(FetchPositions()) for _ in range(60)))
    accepted = sum(isinstance(reply.outcome, Accepted) for reply in replies)
    assert 20 <= accepted <= 28  # 70 % of 200, less what the start used, five each
    assert throttled_by(list(replies)) == {0}
    exit_query = await gateway.execute(FetchPositions(priority=Priority.EXIT))
    assert isinstance(exit_query.outcome, Accepted)


async def test_entries_beyond_the_order_count_are_refused_here_and_exits_still_pass(gateway: BinanceGateway) -> None:
    async def entry(number: int) -> VenueReply:
        side = Side.BUY if number % 2 else Side.SELL
        order = plain_order(symbol=SYMBOL, quantity=Decimal(30), side=side, client_order_id=f"ft-1-{number}-E0")
        return await gateway.execute(submit(order))

    replies = await asyncio.gather(*(entry(number) for number in range(30)))
    assert sum(isinstance(reply.outcome, Accepted) for reply in replies) == 14  # 70 % of 20
    assert throttled_by(list(replies)) == {0}
    close = plain_order(symbol=SYMBOL, quantity=Decimal(30), client_order_id="ft-1-99-C0")
    assert isinstance((await gateway.execute(submit(close, Priority.EXIT))).outcome, Accepted)
