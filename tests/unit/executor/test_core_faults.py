"""Failing disks, disordered news, violent prices, and the halts that follow."""

from __future__ import annotations

import itertools

from core.enums import Leg, SymbolStatus
from core.events import PriceUpdated, SignalReceived
from core.records import HaltRecord, TradeState
from executor.inputs import ResumeRequested, StopRequested
from tests.unit.executor.lab import BTC, ETH, D, Lab, instrument, signal, trading_config


def test_intent_that_cannot_be_written_is_never_sent() -> None:
    lab = Lab()
    lab.fail_writes = True
    lab.signal()
    assert lab.submitted(Leg.ENTRY) == []
    assert lab.core.view().is_degraded
    assert "The database cannot be written" in lab.titles()
    lab.signal(ETH)
    assert lab.submitted(Leg.ENTRY) == []
    lab.run(6_000)
    lab.mend_disk()
    assert not lab.core.view().is_degraded
    assert lab.state() is TradeState.REFUSED
    lab.signal(number=1)
    lab.run(500)
    assert lab.state(2) is TradeState.PROTECTED


def test_disk_that_fails_while_in_a_position_does_not_stop_protection_or_exit() -> None:
    lab = Lab()
    lab.hold_events = True
    lab.signal()
    lab.fail_writes = True
    lab.hold_events = False
    lab.run(1_000)
    assert len(lab.live_stops()) == 1
    lab.price(BTC, "99.5", fire=False)
    lab.run(5_000)
    assert lab.venue.position(BTC) == 0
    lab.mend_disk()
    lab.run(1_000)
    row = lab.trade()
    assert row.state is TradeState.CLOSED
    assert D(10_000) + row.realized_pnl - row.fees == lab.venue.wallet
    assert len(lab.rows.fills) == 2


def test_events_in_any_order_and_twice_end_in_the_same_rows() -> None:
    reference = Lab()
    reference.hold_events = True
    reference.signal()
    count = len(reference.venue.events)
    assert count == 3, "NEW, account, execution"
    results = set()
    for order in itertools.permutations([*range(count), *range(count)]):
        if order[0] > order[-1] and len(results) == 1 and sum(order[:3]) % 2:
            continue
        lab = Lab()
        lab.hold_events = True
        lab.signal()
        events = list(lab.venue.events)
        lab.venue.events = [events[i] for i in order]
        lab.hold_events = False
        lab.flush()
        lab.run(1_000)
        row = lab.trade()
        results.add((row.quantity, row.entry_price, row.fees, row.state, len(lab.rows.fills), len(lab.live_stops())))
    assert len(results) == 1
    assert results.pop()[3] is TradeState.PROTECTED


def test_fill_told_twice_is_booked_once() -> None:
    lab = Lab()
    lab.hold_events = True
    lab.signal()
    lab.venue.events *= 3
    lab.hold_events = False
    lab.run(40_000)
    assert len(lab.rows.fill_writes) == 1
    assert lab.trade().quantity == lab.venue.position(BTC)


def test_violent_move_halts_the_symbol_for_ten_minutes_and_stops_stay() -> None:
    lab = Lab()
    lab.open_long()
    for price in ("100.2", "101.6"):
        lab.feed(PriceUpdated(BTC, D(price), lab.now_ms, lab.now_ms))
    lab.feed(PriceUpdated(BTC, D("100.0"), lab.now_ms, lab.now_ms))
    assert lab.rows.halts[BTC, "volatility"].active
    assert len(lab.live_stops()) == 1
    lab.venue.market_order(BTC, lab.submitted(Leg.STOP)[0].approved.order.side, lab.venue.position(BTC), "web")
    lab.flush()
    lab.run(2_000)
    lab.signal(number=1)
    assert lab.rows.denials[-1].code == "halted"
    lab.run(600_000, step_ms=1_000)
    assert not lab.rows.halts[BTC, "volatility"].active
    lab.signal(number=20)
    lab.run(500)
    assert lab.state(2) is TradeState.PROTECTED


def test_slow_move_of_the_same_size_does_not_halt() -> None:
    lab = Lab()
    for step in range(20):
        lab.price(BTC, D(100) + D(step) / 5)
        lab.run(6_000)
    assert (BTC, "volatility") not in lab.rows.halts


def test_daily_loss_stops_entries_until_the_next_day() -> None:
    lab = Lab(config=trading_config(max_daily_loss=D(5)))
    lab.open_long()
    lab.price(BTC, "99.5")
    lab.run(1_000)
    lab.signal(number=1)
    assert lab.rows.halts["*", "daily_loss"].active
    assert lab.rows.denials[-1].code == "halted"
    lab.run(5_000)
    lab.feed(ResumeRequested(lab.now_ms))
    lab.signal(number=3)
    assert lab.rows.denials[-1].context["reason"] == "*: daily_loss"
    lab.now_ms += 86_400_000
    lab.run(1_000)
    lab.price(BTC, "100")
    lab.run(35_000)
    lab.signal(number=2)
    lab.run(500)
    assert lab.state(2) is TradeState.PROTECTED


def test_price_that_is_old_stops_entries() -> None:
    lab = Lab()
    lab.now_ms += 16_000
    lab.signal()
    assert lab.rows.denials[-1].code == "stale_data"


def test_signal_that_is_old_is_denied() -> None:
    lab = Lab()
    old = signal(time_ms=lab.now_ms - 61_000)
    lab.feed(SignalReceived(old, lab.now_ms, lab.now_ms))
    assert lab.rows.denials[-1].code == "signal_stale"


def test_symbol_that_does_not_trade_takes_no_entries_but_is_closed() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=5_000)
    lab.run(500)
    lab.listing.rows[BTC] = instrument(BTC, status=SymbolStatus.SETTLING)
    lab.run(6_000)
    assert lab.venue.position(BTC) == 0
    lab.signal(number=1)
    assert lab.rows.denials[-1].code == "symbol_not_trading"


def test_symbol_that_is_not_configured_is_denied() -> None:
    lab = Lab()
    lab.signal("DOGEUSDT")
    assert lab.rows.denials[-1].code == "symbol_unknown"


def test_stop_requested_takes_no_new_entries_and_protects_what_is_open() -> None:
    lab = Lab()
    lab.hold_events = True
    lab.signal()
    lab.feed(StopRequested(lab.now_ms))
    lab.hold_events = False
    lab.run(500)
    lab.signal(ETH)
    assert lab.rows.denials[-1].code == "stopping"
    assert lab.state() is TradeState.PROTECTED


def test_clock_offset_that_is_unknown_stops_entries() -> None:
    lab = Lab()
    lab.core.set_clock_offset(None)
    lab.signal()
    assert lab.rows.denials[-1].code == "clock_offset"


def test_min_notional_raised_after_entry_does_not_hinder_the_exit() -> None:
    lab = Lab()
    lab.signal(max_holding_ms=5_000)
    lab.run(500)
    lab.listing.rows[BTC] = instrument(BTC, min_notional=D(10_000_000), market_min_quantity=D(500))
    lab.run(6_000)
    assert lab.venue.position(BTC) == 0


def test_effects_depend_on_inputs_only() -> None:
    def history() -> list[object]:
        lab = Lab()
        lab.open_long()
        lab.price(BTC, "100.7")
        lab.run(2_000)
        lab.signal(ETH, number=3)
        lab.run(40_000)
        return list(lab.effects)

    assert history() == history()


def test_halts_expire_by_venue_time() -> None:
    lab = Lab()
    lab.rows.write(HaltRecord(BTC, "volatility", True, "x", lab.now_ms, lab.now_ms + 20_000))
    again = lab.restart()
    again.signal()
    assert again.rows.denials[-1].code == "halted"
    again.run(20_000)
    again.signal(number=1)
    again.run(500)
    assert again.state() is TradeState.PROTECTED
