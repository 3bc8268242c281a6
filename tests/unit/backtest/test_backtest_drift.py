"""Each cause of a difference between a recorded day and its replay, and that the costs add up to the last digit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from backtest.drift import Difference, Drift, Evidence, Key, Trade, compare
from backtest.drift_causes import OPEN_MEANWHILE, Cause, cause_of_denial
from backtest.drift_report import headline, json_of, lines_of
from core.enums import Direction
from executor.denials import DenialCode

D = Decimal
T0 = 1_767_225_600_000
MINUTE = 60_000


def key(minute: int, symbol: str = "BTCUSDT") -> Key:
    return Key(T0 + minute * MINUTE, symbol, "vwap_reversion")


REPLAYED = Trade(
    key=key(5),
    direction=Direction.LONG,
    quantity=D(2),
    entry_price=D(100),
    exit_price=D(99),
    entered_ms=T0 + 5 * MINUTE,
    exited_ms=T0 + 9 * MINUTE,
    exit_reason="stop",
    pnl=D("-2.2"),
    stop_price=D(99),
    target_price=D(102),
)
LIVE = replace(REPLAYED, entered_ms=T0 + 5 * MINUTE + 120, exited_ms=T0 + 9 * MINUTE + 7_000)


def live_trade(**changes: object) -> Trade:
    """The replayed trade as live trading made it, with a net result that fits its prices (fees 0.2)."""
    trade = replace(LIVE, **changes)  # type: ignore[arg-type]
    assert trade.exit_price is not None
    move = (trade.exit_price - trade.entry_price) * trade.direction.sign
    return replace(trade, pnl=trade.quantity * move - D("0.2") + trade.funding)


def only(drift: Drift) -> Difference:
    (difference,) = drift.differences
    assert sum(drift.costs.values()) == drift.live_pnl - drift.replay_pnl == difference.cost
    return difference


def parts(difference: Difference) -> list[tuple[Cause, Decimal]]:
    return [(part.cause, part.cost) for part in difference.parts]


def test_compare_trades_with_the_same_outcome_agree() -> None:
    drift = compare([live_trade()], [REPLAYED], Evidence())

    assert (drift.agreed, drift.differences) == (1, ())
    assert headline(drift, "USDT") == "all 1 trades as in the replay"


def test_compare_entry_at_another_price_in_time_is_a_matter_of_the_fill() -> None:
    live = live_trade(entry_price=D("100.5"))

    difference = only(compare([live], [REPLAYED], Evidence()))

    assert difference.cause is Cause.FILL
    assert parts(difference) == [(Cause.FILL, D("-1.0"))]


def test_compare_late_entry_is_latency_and_takes_its_moved_stop_along() -> None:
    live = live_trade(
        entry_price=D("101"), exit_price=D("99.8"), stop_price=D(100), entered_ms=LIVE.key.decided_ms + 1_500
    )

    difference = only(compare([live], [REPLAYED], Evidence()))

    # Entered 1 worse, the stop 1 higher; it slipped by 0.2: that is the fill's.
    assert parts(difference) == [(Cause.LATENCY, D(-2)), (Cause.LATENCY, D(2)), (Cause.FILL, D("-0.4"))]


def test_compare_short_entry_below_the_replays_costs() -> None:
    replayed = replace(REPLAYED, direction=Direction.SHORT, exit_price=D(98), exit_reason="target", pnl=D("3.8"))
    live = live_trade(direction=Direction.SHORT, exit_price=D(98), exit_reason="target", entry_price=D("99.5"))

    assert parts(only(compare([live], [replayed], Evidence()))) == [(Cause.FILL, D("-1.0"))]


def test_compare_other_quantity_is_risk() -> None:
    live = live_trade(quantity=D(3))

    assert parts(only(compare([live], [REPLAYED], Evidence()))) == [(Cause.RISK, D(-1))]


def test_compare_closed_by_a_person_is_risk() -> None:
    live = live_trade(exit_price=D("100.4"), exit_reason="flatten")

    difference = only(compare([live], [REPLAYED], Evidence()))

    assert parts(difference) == [(Cause.RISK, D("2.8"))]


def test_compare_other_level_of_an_ambiguous_candle_is_the_fill_else_data() -> None:
    live = live_trade(exit_price=D(102), exit_reason="target")

    assert only(compare([live], [replace(REPLAYED, ambiguous=True)], Evidence())).cause is Cause.FILL
    assert only(compare([live], [REPLAYED], Evidence())).cause is Cause.DATA


def test_compare_timed_exit_in_a_later_minute_is_latency() -> None:
    replayed = replace(REPLAYED, exit_reason="max_holding")
    live = live_trade(exit_reason="max_holding", exit_price=D("98.5"), exited_ms=T0 + 10 * MINUTE)

    assert parts(only(compare([live], [replayed], Evidence()))) == [(Cause.LATENCY, D("-1.0"))]


def test_compare_funding_and_fees_have_parts_of_their_own() -> None:
    live = replace(live_trade(funding=D("-0.3")), pnl=D("-2.6"))

    assert parts(only(compare([live], [REPLAYED], Evidence()))) == [(Cause.DATA, D("-0.3")), (Cause.FILL, D("-0.1"))]


def test_compare_funding_on_another_size_is_risk() -> None:
    replayed = replace(REPLAYED, funding=D("-0.2"), pnl=D("-2.4"))
    live = live_trade(quantity=D(3), funding=D("-0.3"))

    assert parts(only(compare([live], [replayed], Evidence()))) == [(Cause.RISK, D(-1)), (Cause.RISK, D("-0.1"))]


def test_compare_funding_of_a_trade_that_lasted_longer_is_latency_or_what_ended_it() -> None:
    longer = live_trade(exited_ms=T0 + 10 * MINUTE, funding=D("-0.3"))
    assert parts(only(compare([longer], [REPLAYED], Evidence()))) == [(Cause.LATENCY, D("-0.3"))]

    kept = replace(REPLAYED, funding=D("-0.3"), pnl=D("-2.5"))
    flattened = live_trade(exited_ms=T0 + 7 * MINUTE, exit_reason="flatten")
    assert parts(only(compare([flattened], [kept], Evidence()))) == [(Cause.RISK, D(0)), (Cause.RISK, D("0.3"))]


def test_compare_funding_of_an_unknown_rate_is_data_and_of_a_known_one_none() -> None:
    live = live_trade(funding=D("-0.3"))
    difference = only(compare([live], [REPLAYED], Evidence()))
    assert parts(difference) == [(Cause.DATA, D("-0.3"))]
    assert "its rate was not stored" in difference.parts[0].text
    known = replace(REPLAYED, funding=D("-0.3"), pnl=D("-2.5"))
    assert compare([live], [known], Evidence()).agreed == 1


def test_compare_under_changed_parameters_blames_nothing_else() -> None:
    live = live_trade(quantity=D(3), entry_price=D("100.5"))

    difference = only(compare([live], [REPLAYED], Evidence(changed=frozenset({LIVE.key}))))

    assert parts(difference) == [(Cause.PARAMETERS, live.pnl - REPLAYED.pnl)]


def test_compare_open_trades_are_left_aside_on_both_sides() -> None:
    live = replace(LIVE, exit_price=None, exited_ms=None)

    drift = compare([live], [REPLAYED], Evidence())

    assert (drift.still_open, drift.differences, drift.live_pnl, drift.replay_pnl) == (1, (), D(0), D(0))


@pytest.mark.parametrize(
    ("evidence", "cause"),
    [
        (Evidence(), Cause.DATA),
        (Evidence(gates={REPLAYED.key: "late_candle"}), Cause.LATENCY),
        (Evidence(gates={REPLAYED.key: "inside_band"}), Cause.DATA),
        (Evidence(live={REPLAYED.key: DenialCode.NOTIONAL_TOO_SMALL}), Cause.FILTER),
        (Evidence(live={REPLAYED.key: "-4131 too far"}), Cause.FILTER),
        (Evidence(live={REPLAYED.key: DenialCode.DAILY_LOSS}), Cause.RISK),
        (Evidence(live={REPLAYED.key: DenialCode.STREAM_DOWN}), Cause.DATA),
        (Evidence(live={REPLAYED.key: DenialCode.SIGNAL_STALE}), Cause.LATENCY),
        (Evidence(live={REPLAYED.key: OPEN_MEANWHILE}), Cause.LATENCY),
        (Evidence(live={REPLAYED.key: ""}), Cause.FILL),
        (Evidence(changed=frozenset({REPLAYED.key})), Cause.PARAMETERS),
    ],
)
def test_compare_trade_of_the_replay_alone_costs_what_it_would_have_brought(evidence: Evidence, cause: Cause) -> None:
    difference = only(compare([], [REPLAYED], evidence))

    assert parts(difference) == [(cause, D("2.2"))]


@pytest.mark.parametrize(
    ("evidence", "cause"),
    [
        (Evidence(), Cause.DATA),
        (Evidence(denied={LIVE.key: DenialCode.MAX_OPEN_POSITIONS}), Cause.RISK),
        (Evidence(denied={LIVE.key: DenialCode.QUANTITY_TOO_SMALL}), Cause.FILTER),
        (Evidence(changed=frozenset({LIVE.key})), Cause.PARAMETERS),
    ],
)
def test_compare_trade_of_live_alone_costs_what_it_brought(evidence: Evidence, cause: Cause) -> None:
    difference = only(compare([live_trade()], [], evidence))

    assert parts(difference) == [(cause, D("-2.2"))]


def test_compare_signal_missed_for_an_earlier_trade_has_that_trades_cause() -> None:
    sized = live_trade(quantity=D(3), exited_ms=T0 + 20 * MINUTE)
    missed = replace(REPLAYED, key=key(12), entered_ms=T0 + 12 * MINUTE, exited_ms=T0 + 14 * MINUTE)

    drift = compare([sized], [REPLAYED, missed], Evidence(live={missed.key: OPEN_MEANWHILE}))

    assert [difference.cause for difference in drift.differences] == [Cause.RISK, Cause.RISK]
    assert sum(drift.costs.values()) == drift.live_pnl - drift.replay_pnl


def test_compare_trade_that_the_replay_could_not_make_for_an_earlier_one_has_that_ones_cause() -> None:
    lasting = replace(REPLAYED, exited_ms=T0 + 30 * MINUTE)
    sized = live_trade(quantity=D(3))
    again = live_trade(key=key(12), entered_ms=T0 + 12 * MINUTE + 50, exited_ms=T0 + 13 * MINUTE)

    drift = compare([sized, again], [lasting], Evidence())

    assert [difference.cause for difference in drift.differences] == [Cause.RISK, Cause.RISK]


def test_compare_trade_after_the_replays_exit_candle_is_no_consequence_of_it() -> None:
    again = live_trade(key=key(10), entered_ms=T0 + 10 * MINUTE + 50, exited_ms=T0 + 13 * MINUTE)

    drift = compare([live_trade(), again], [REPLAYED], Evidence())

    assert only(replace(drift)).cause is Cause.DATA


def test_cause_of_denial_knows_every_code() -> None:
    by_cause = {code: cause_of_denial(code) for code in DenialCode}

    assert by_cause[DenialCode.STALE_DATA] is Cause.DATA
    assert by_cause[DenialCode.PRICE_OUT_OF_BAND] is Cause.FILTER
    assert by_cause[DenialCode.MARGIN_INSUFFICIENT] is Cause.RISK
    assert by_cause[DenialCode.CLOCK_OFFSET] is Cause.LATENCY


def test_report_tells_totals_causes_and_each_trade() -> None:
    drift = compare([live_trade(entry_price=D("100.5"))], [REPLAYED], Evidence())

    text = "\n".join(lines_of(drift, "USDT"))
    written = json_of(drift, "USDT")

    assert "difference -1.00 USDT" in text
    assert "00:05:00 BTCUSDT vwap_reversion LONG (both): -1.00 fill: entry at 100.5 instead of 100" in text
    assert headline(drift, "USDT") == "1 of 1 trades differ, -1.00 USDT against the replay (fill -1.00)"
    assert written["causes"]["fill"] == {"cost": "-1.0", "trades": 1}
    assert written["differences"][0]["parts"][0]["cost"] == "-1.0"
