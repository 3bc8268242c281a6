"""Finds a moment at which the venue's wallet and our rows tell of the same fills."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, TypeVar

from core.commands import Accepted, FetchBalances
from core.errors import PersistenceError, RuntimeFailure
from core.ports import RecordWriter, VenuePort

T = TypeVar("T")
TRIES = 8


@dataclass(frozen=True, slots=True)
class Books(Generic[T]):
    """The venue's wallet and our totals since the database began, of one moment."""

    wallet: Decimal
    totals: T


class Settler(Generic[T]):
    """Reads wallet, books and wallet again until nothing was booked in between.

    `reconcile` makes our rows agree with the venue and tells whether it could; `read_totals` blocks.
    """

    def __init__(
        self,
        venue: VenuePort,
        reconcile: Callable[[str], Awaitable[bool]],
        writer: RecordWriter,
        read_totals: Callable[[], T],
        asset: str,
    ) -> None:
        self._venue = venue
        self._reconcile = reconcile
        self._writer = writer
        self._read_totals = read_totals
        self._asset = asset

    async def settle(self) -> Books[T] | None:
        """Return wallet and totals that belong together.

        None when the venue cannot be asked, never rests, or the database cannot be written or read.
        """
        wallet = await self._wallet()
        for _ in range(TRIES):
            if wallet is None or not await self._reconcile("settling"):
                return None
            try:
                await self._writer.commit([])
                totals = await asyncio.to_thread(self._read_totals)
            except (PersistenceError, RuntimeFailure):
                return None
            before, wallet = wallet, await self._wallet()
            if before == wallet:
                return Books(before, totals)
        return None

    async def _wallet(self) -> Decimal | None:
        reply = await self._venue.execute(FetchBalances())
        if not isinstance(reply.outcome, Accepted):
            return None
        return sum((row.wallet_balance for row in reply.payload() if row.asset == self._asset), Decimal(0))
