"""What the venue says of positions and balances, and which of two words is believed."""

from __future__ import annotations

from decimal import Decimal

from core.enums import PositionSide
from core.orders import BalanceReport, PositionReport
from executor.account import Account, PositionFact, Positions

D = Decimal
BTC, ETH = "BTCUSDT", "ETHUSDT"
BOTH = PositionSide.BOTH
BTC_LEG, ETH_LEG = (BTC, BOTH), (ETH, BOTH)


def row(symbol: str = BTC, quantity: str = "1", liquidation: str | None = None) -> PositionReport:
    price = None if liquidation is None else D(liquidation)
    return PositionReport(symbol, BOTH, D(quantity), D(100), D(0), 0, liquidation_price=price)


def test_positions_query_sent_before_the_last_activity_tells_nothing_of_that_symbol_only() -> None:
    positions = Positions()
    positions.note_activity(BTC, 500)
    told = positions.from_query([row(BTC), row(ETH, "2")], [BTC_LEG, ETH_LEG], issued_ms=500, event_time_ms=7)
    assert told == {ETH_LEG}
    assert positions.get(BTC, BOTH) is None
    assert positions.get(ETH, BOTH) == PositionFact(D(2), 500, 7, from_stream=False)


def test_positions_query_sent_after_the_last_activity_tells_and_a_leg_without_a_row_is_flat() -> None:
    positions = Positions()
    positions.note_activity(BTC, 500)
    told = positions.from_query([row(BTC, "3", "80")], [BTC_LEG, ETH_LEG], issued_ms=501, event_time_ms=9)
    assert told == {BTC_LEG, ETH_LEG}
    assert positions.facts[BTC_LEG] == PositionFact(D(3), 501, 9, False, D(80))
    assert positions.facts[ETH_LEG] == PositionFact(D(0), 501, 9, False, None)
    assert positions.facts[BTC_LEG].from_stream is False


def test_positions_query_at_the_first_instant_tells_where_nothing_ever_happened() -> None:
    assert Positions().from_query([row()], [], issued_ms=0, event_time_ms=0) == {BTC_LEG}


def test_positions_activity_of_an_older_moment_moves_nothing_back() -> None:
    positions = Positions()
    positions.note_activity(BTC, 500)
    positions.note_activity(BTC, 400)
    assert not positions.from_query([row()], [], issued_ms=450, event_time_ms=0)


def test_positions_activity_at_the_first_instant_counts() -> None:
    positions = Positions()
    positions.note_activity(BTC, 0)
    assert not positions.from_query([row()], [], issued_ms=0, event_time_ms=0)


def test_positions_older_word_of_the_stream_does_not_replace_a_newer_one() -> None:
    positions = Positions()
    positions.from_stream(row(quantity="2"), event_time_ms=20, now_ms=100)
    positions.from_stream(row(quantity="1"), event_time_ms=19, now_ms=110)
    assert positions.facts[BTC_LEG] == PositionFact(D(2), 100, 20, from_stream=True)
    assert positions.from_query([row()], [], issued_ms=101, event_time_ms=21) == {BTC_LEG}, (
        "the old word is no activity"
    )
    positions.from_stream(row(quantity="4"), event_time_ms=20, now_ms=120)
    assert positions.facts[BTC_LEG].quantity == 4, "a query's word has no order among those of the stream"
    positions.from_stream(row(quantity="5"), event_time_ms=20, now_ms=130)
    assert positions.facts[BTC_LEG].quantity == 5, "of two words of one instant the later to arrive counts"


def test_positions_word_of_the_stream_makes_queries_under_way_old() -> None:
    positions = Positions()
    positions.from_stream(row(quantity="2"), event_time_ms=20, now_ms=100)
    assert positions.from_query([row(), row(ETH)], [], issued_ms=99, event_time_ms=0) == {ETH_LEG}


def balance(asset: str = "USDT", wallet: str = "100", available: str | None = None) -> BalanceReport:
    return BalanceReport(asset, D(wallet), D(wallet), None if available is None else D(available))


def test_account_without_a_word_has_no_equity_and_nothing_available() -> None:
    account = Account("USDT", None, None)
    assert (account.equity, account.available, account.unrealized_pnl, account.margin_used) == (None, 0, 0, 0)


def test_account_takes_the_balance_of_its_own_asset_and_the_smaller_of_both_figures() -> None:
    account = Account("USDT", None, None)
    account.on_balances([balance(available="40"), balance("BNB", "7", "7")])
    assert (account.wallet, account.available) == (100, 40)
    account.value(D(-10), D(70))
    assert (account.equity, account.available) == (90, 20)
    account.on_balances([balance()])
    account.value(D(10), D(30))
    assert account.available == 70, "the venue's figure is older than this balance, and gains are not counted"


def test_account_before_the_first_valuation_counts_nothing_as_open() -> None:
    account = Account("USDT", None, None)
    account.on_balances([balance()])
    assert (account.equity, account.available) == (100, 100)
