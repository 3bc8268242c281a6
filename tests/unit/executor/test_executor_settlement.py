"""Wallet and totals that belong together: read until the wallet rests, None where they cannot be had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import pytest

from core.commands import Accepted, FetchBalances, InDoubt, VenueCommand, VenueReply
from core.errors import PersistenceError, RuntimeFailure
from core.orders import BalanceReport
from core.records import Record
from executor.settlement import TRIES, Books, Settler

D = Decimal


class Venue:
    """Tells one wallet after the other, and the last one for ever; None: no answer."""

    def __init__(self, wallets: Sequence[str | None]) -> None:
        self._wallets: Iterator[str | None] = iter(wallets)
        self._last: str | None = None

    async def execute(self, command: VenueCommand) -> VenueReply:
        assert isinstance(command, FetchBalances)
        self._last = next(self._wallets, self._last)
        if self._last is None:
            return VenueReply(command, InDoubt("no answer"), 0, 0)
        rows = (BalanceReport("USDT", D(self._last), D(self._last)), BalanceReport("BNB", D(7), D(7)))
        return VenueReply(command, Accepted(rows), 0, 0)


class Writer:
    def __init__(self, error: Exception | None) -> None:
        self._error = error

    def submit(self, records: Sequence[Record]) -> None:
        raise AssertionError("nothing is to be written")

    async def commit(self, records: Sequence[Record]) -> None:
        assert not records
        if self._error is not None:
            raise self._error


def settler(
    *wallets: str | None, agrees: bool = True, write: Exception | None = None, read: Exception | None = None
) -> Settler[int]:
    reads = iter(range(1, 100))

    def read_totals() -> int:
        if read is not None:
            raise read
        return next(reads)

    async def reconcile(_: str) -> bool:
        return agrees

    return Settler(Venue(wallets), reconcile, Writer(write), read_totals, "USDT")  # type: ignore[arg-type]


async def test_books_are_read_when_the_wallet_rests() -> None:
    assert await settler("100").settle() == Books(D(100), 1)


async def test_books_are_read_again_while_the_wallet_moves() -> None:
    assert await settler("100", "101", "102").settle() == Books(D(102), 3)


async def test_books_of_a_wallet_that_never_rests_are_none() -> None:
    assert await settler(*[str(number) for number in range(TRIES + 1)]).settle() is None


@pytest.mark.parametrize(
    "made",
    [
        settler(None),
        settler("100", None),
        settler("100", agrees=False),
        settler("100", write=PersistenceError("disk full")),
        settler("100", read=RuntimeFailure("the database cannot be read")),
    ],
    ids=["no-wallet", "wallet-lost", "no-agreement", "unwritable", "unreadable"],
)
async def test_books_that_cannot_be_had_are_none(made: Settler[int]) -> None:
    assert await made.settle() is None
