"""A day's results against a count made anew from the list of its trades: wins, losses, losses in a row, nets."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import product

import pytest

from core.records import PerformanceRecord
from executor.days import DayLedger, utc_day
from executor.trade import Trade
from tests.unit.executor.lab import bare_trade

D = Decimal
DAY_MS = 86_400_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2
NETS = (D("-1.5"), D("-0.01"), D(0), D("0.01"), D("1.5"))
FEES, FUNDING = D("0.25"), D("-0.125")


def trade(number: int, net: Decimal, strategy: str = "vwap") -> Trade:
    made = bare_trade(number, strategy=strategy)
    made.fees, made.funding, made.exit_cost = FEES, FUNDING, D(100) + number
    made.realized_pnl = net + FEES - FUNDING
    assert made.net_pnl == net
    return made


def started() -> DayLedger:
    ledger = DayLedger()
    assert ledger.roll(NOON_MS)
    return ledger


def losses_in_a_row(nets: Sequence[Decimal]) -> int:
    count = 0
    for net in reversed(nets):
        if net >= 0:
            break
        count += 1
    return count


@pytest.mark.parametrize("nets", list(product(NETS, repeat=3)))
def test_day_of_closed_trades_counts_what_a_new_count_does(nets: tuple[Decimal, ...]) -> None:
    ledger = started()
    for number, net in enumerate(nets):
        row = ledger.closed(trade(number, net), NOON_MS + number)
    assert ledger.won == sum(net > 0 for net in nets)
    assert ledger.consecutive_losses == losses_in_a_row(nets)
    assert (row.trades, row.wins, row.losses) == (3, sum(n > 0 for n in nets), sum(n < 0 for n in nets))
    assert (row.fees, row.funding, row.volume) == (3 * FEES, 3 * FUNDING, 303)
    assert row.realized_pnl - row.fees + row.funding == ledger.net_pnl() == sum(nets)


@pytest.mark.parametrize(("before", "after"), list(product(NETS, NETS)))
@pytest.mark.parametrize("which", [0, 1, 2])
def test_day_of_a_trade_that_was_amended_is_as_if_the_end_had_been_known(
    before: Decimal, after: Decimal, which: int
) -> None:
    nets = [D(-1), D(-1), D(-1)]
    nets[which] = before
    ledger, trades = started(), [trade(number, net) for number, net in enumerate(nets)]
    for each in trades:
        ledger.closed(each, NOON_MS)
    late = trades[which]
    counted = late.realized_pnl, late.fees, late.exit_cost
    late.fees += D("0.5")
    late.exit_cost += 7
    late.realized_pnl += after - before + D("0.5")
    nets[which] = after
    row = ledger.amended(late, *counted, NOON_MS + 5)
    assert ledger.won == sum(net > 0 for net in nets)
    assert ledger.consecutive_losses == losses_in_a_row(nets)
    assert (row.trades, row.wins, row.losses) == (3, sum(n > 0 for n in nets), sum(n < 0 for n in nets))
    assert (row.fees, row.funding, row.volume) == (3 * FEES + D("0.5"), 3 * FUNDING, 310)
    assert row.realized_pnl - row.fees + row.funding == ledger.net_pnl() == sum(nets)
    assert row.updated_time_ms == NOON_MS + 5


def test_day_that_is_over_takes_its_own_late_part_and_the_new_one_starts_empty() -> None:
    ledger, late = started(), trade(1, D(-1))
    ledger.closed(late, NOON_MS)
    assert not ledger.roll(NOON_MS + DAY_MS // 2 - 1)
    assert ledger.roll(NOON_MS + DAY_MS // 2)
    assert (ledger.day, ledger.consecutive_losses, ledger.net_pnl()) == (utc_day(NOON_MS + DAY_MS), 0, 0)
    counted = late.realized_pnl, late.fees, late.exit_cost
    late.realized_pnl += 3
    row = ledger.amended(late, *counted, NOON_MS)
    assert (row.day, row.trades, row.wins, row.losses) == (utc_day(NOON_MS), 1, 1, 0)
    assert (ledger.consecutive_losses, ledger.net_pnl()) == (0, 0)
    row = ledger.funded_late(late, D("0.5"), NOON_MS)
    assert (row.day, row.funding) == (utc_day(NOON_MS), FUNDING + D("0.5"))


def test_losses_in_a_row_of_before_a_restart_count_until_a_trade_of_today_wins() -> None:
    ledger = DayLedger((), consecutive_losses=2)
    ledger.roll(NOON_MS)
    assert ledger.consecutive_losses == 2, "the day is the one that was restored"
    late = trade(1, D(-1))
    ledger.closed(late, NOON_MS)
    assert ledger.consecutive_losses == 3
    counted = late.realized_pnl, late.fees, late.exit_cost
    late.realized_pnl += 1
    ledger.amended(late, *counted, NOON_MS)
    assert ledger.consecutive_losses == 0


def test_totals_are_those_of_the_strategy_and_symbol_asked_for() -> None:
    kept = PerformanceRecord("vwap", "ETHUSDT", utc_day(NOON_MS), 1, 1, 0, D(5), D(1), D(0), D(9), D(2), 1)
    old = PerformanceRecord("vwap", "ETHUSDT", utc_day(NOON_MS - 2 * DAY_MS), 1, 1, 0, D(50), D(1), D(0), D(9), D(2), 1)
    yesterday = PerformanceRecord(
        "vwap", "ETHUSDT", utc_day(NOON_MS - DAY_MS), 1, 1, 0, D(50), D(1), D(0), D(9), D(2), 1
    )
    ledger = DayLedger([kept, old, yesterday])
    ledger.roll(NOON_MS)
    ledger.closed(trade(1, D(3)), NOON_MS)
    ledger.closed(trade(2, D(-2), "trend"), NOON_MS)
    assert ledger.net_pnl() == 5
    assert (ledger.strategy_net_pnl("vwap"), ledger.strategy_net_pnl("trend"), ledger.strategy_net_pnl("x")) == (
        7,
        -2,
        0,
    )
    assert (ledger.symbol_net_pnl("BTCUSDT"), ledger.symbol_net_pnl("ETHUSDT")) == (1, 4)
    assert ledger.strategy_quantity("vwap", "ETHUSDT") == 2
    assert ledger.strategy_quantity("trend", "ETHUSDT") == 0
    assert {key[2] for key in ledger._rows} == {utc_day(NOON_MS), utc_day(NOON_MS - DAY_MS)}
