"""The README's first command, for a minute, judged by the database, the exchange's own journal, log and heartbeat."""

from __future__ import annotations

import re
import subprocess
import time
from decimal import Decimal

import pytest

from tests.acceptance.support import Place

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, subprocess.CompletedProcess[str], float]:
    place = Place(tmp_path_factory.mktemp("first"))
    finished = place.run("--for", "60")
    return place, finished, time.time()


FirstRun = tuple[Place, "subprocess.CompletedProcess[str]", float]


def test_first_run_ends_with_exit_code_zero(first_run: FirstRun) -> None:
    _, finished, _ = first_run
    assert finished.returncode == 0, finished.stderr[-2_000:]


def test_first_run_stores_candles_of_ten_symbols(first_run: FirstRun) -> None:
    place, _, _ = first_run
    assert place.number("SELECT count(DISTINCT symbol) FROM candles_1m") >= 10


def test_first_run_fills_twenty_entries_each_with_stop_and_target_at_the_exchange(first_run: FirstRun) -> None:
    place, _, _ = first_run
    entered = place.rows(
        "SELECT DISTINCT f.intent_id AS intent, o.client_order_id AS id FROM fills f JOIN orders o "
        "ON o.intent_id = f.intent_id AND o.leg = 'E' WHERE f.leg = 'E'"
    )
    assert len(entered) >= 20
    placed: dict[str, set[str]] = {row["id"].rpartition("-")[0]: set() for row in entered}
    for row in place.venue().of("algo"):
        placed[row["client_algo_id"].rpartition("-")[0]].add(row["type"])
    by_trade = {row["id"].rpartition("-")[0]: row["intent"] for row in entered}
    # An entry that the market carried past its stop or target before that could rest is closed at market at once.
    closed_at_once = place.numbers("SELECT intent_id FROM orders WHERE leg = 'C' AND status = 'FILLED'")
    # A market minute is half a second here: on a busy machine a stop may fire before its target has reached the venue.
    stopped_first = place.numbers(
        "SELECT s.intent_id FROM orders s JOIN orders t ON t.intent_id = s.intent_id AND t.leg = 'T' "
        "WHERE s.leg = 'S' AND s.status = 'FINISHED' AND t.status = 'REFUSED' AND t.detail LIKE '-4509 %'"
    )
    for trade, intent in by_trade.items():
        if intent not in closed_at_once:
            assert "STOP_MARKET" in placed[trade], trade
            assert "TAKE_PROFIT_MARKET" in placed[trade] or intent in stopped_first, trade
    assert sum(kinds >= {"STOP_MARKET", "TAKE_PROFIT_MARKET"} for kinds in placed.values()) >= 20


def test_first_run_closes_trades_of_both_signs(first_run: FirstRun) -> None:
    place, _, _ = first_run
    closed = place.rows("SELECT realized_pnl, fees, funding FROM positions WHERE state = 'closed'")
    net = [Decimal(row["realized_pnl"]) - Decimal(row["fees"]) + Decimal(row["funding"]) for row in closed]
    assert any(result > 0 for result in net)
    assert any(result < 0 for result in net)


def test_first_run_logs_no_error(first_run: FirstRun) -> None:
    place, finished, _ = first_run
    assert [line for line in place.log_lines() if line["level"] in {"error", "critical"}] == []
    assert "ERROR" not in finished.stdout + finished.stderr


def test_first_run_leaves_a_fresh_green_heartbeat(first_run: FirstRun) -> None:
    place, _, ended = first_run
    beat = place.heartbeat()
    assert ended - beat["time_ms"] / 1000 < 15
    assert beat["health"] == "green", beat["reasons"]


def test_first_run_summary_equals_the_exchanges_wallet_to_the_last_digit(first_run: FirstRun) -> None:
    place, finished, _ = first_run
    said = dict(re.findall(r"^([a-zA-Z ]+): (\S+)", finished.stdout, re.MULTILINE))
    assert "(equals net PnL)" in finished.stdout
    net = Decimal(said["realised PnL"]) - Decimal(said["fees"]) + Decimal(said["funding"])
    assert Decimal(said["net PnL"]) == net
    assert Decimal(said["wallet change"]) == net
    booked = place.rows("SELECT realized_pnl, fee FROM fills")
    funding = [Decimal(row[0]) for row in place.rows("SELECT amount FROM income WHERE income_type = 'FUNDING_FEE'")]
    ledger = sum((Decimal(row["realized_pnl"]) - Decimal(row["fee"]) for row in booked), sum(funding, Decimal(0)))
    assert Decimal(10_000) + ledger == Decimal(place.venue().wallet())


def test_first_run_every_exchange_fill_is_booked_exactly_once(first_run: FirstRun) -> None:
    place, _, _ = first_run
    at_venue = sorted((row["symbol"], row["trade_id"]) for row in place.venue().of("trade"))
    booked = sorted((row["symbol"], row["trade_id"]) for row in place.rows("SELECT symbol, trade_id FROM fills"))
    assert booked == at_venue


def test_first_run_answers_why_for_a_traded_symbol(first_run: FirstRun) -> None:
    place, _, _ = first_run
    answer = place.run("why", "BTCUSDT")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("BTCUSDT at 2026-01-")
    assert "vwap_reversion" in answer.stdout
