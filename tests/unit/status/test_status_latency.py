"""The stages of the live path: what is counted, and how exact the percentiles are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from core.clock import VirtualClock
from core.commands import CancelOrder, SubmitOrder
from core.enums import Direction, Leg, OrderService, OrderType, PositionSide, Priority, Side
from core.orders import Approved, OrderRequest
from core.signal import ExitPlan, Signal
from status.latency import BINS_A_DECADE, LatencyBook, OrderLatency

MS = 1_000_000
BIN_WIDTH = 10 ** (1 / BINS_A_DECADE) - 1


def _signal(symbol: str = "BTCUSDT", received_ns: int = 5 * MS) -> Signal:
    return Signal("id", "s", symbol, "1m", Direction.LONG, 0, Decimal(1), ExitPlan(), 0, 0, received_ns=received_ns)


def _entry(symbol: str = "BTCUSDT", priority: Priority = Priority.ENTRY) -> SubmitOrder:
    order = OrderRequest(symbol, Side.BUY, PositionSide.BOTH, OrderType.MARKET, Decimal(1), "ft-1-1-E1", Leg.ENTRY)
    return SubmitOrder(Approved(order), priority)


def test_percentiles_of_known_durations_are_within_one_bin() -> None:
    book = LatencyBook(VirtualClock(0))
    for milliseconds in range(1, 1001):
        book.record("stage", milliseconds * MS)
    found = book.snapshot()["stage"]
    assert found["count"] == 1000
    assert found["max"] == 1000.0
    assert found["p50"] == pytest.approx(500, rel=BIN_WIDTH)
    assert found["p99"] == pytest.approx(990, rel=BIN_WIDTH)


def test_percentiles_of_extremes_stay_within_what_was_measured() -> None:
    book = LatencyBook(VirtualClock(0))
    for duration_ns in (0, 1, 90_000 * MS):
        book.record("stage", duration_ns)
    assert book.snapshot()["stage"] == {
        "p50": 0.001,
        "p99": pytest.approx(10_000, rel=0.01),
        "max": 90_000.0,
        "count": 3,
    }


def test_snapshot_after_two_windows_forgets_the_first() -> None:
    clock = VirtualClock(0)
    book = LatencyBook(clock, window_ms=1_000)
    book.record("stage", MS)
    clock.advance_to(1_000)
    assert book.snapshot()["stage"]["count"] == 1
    book.record("stage", 2 * MS)
    assert book.snapshot()["stage"]["count"] == 2
    clock.advance_to(2_000)
    book.snapshot()
    assert book.snapshot()["stage"] == {"p50": 2.0, "p99": 2.0, "max": 2.0, "count": 1}


def test_reset_forgets_the_start() -> None:
    book = LatencyBook(VirtualClock(0))
    book.record("stage", MS)
    book.reset()
    assert book.snapshot() == {}


def test_an_entry_is_timed_from_the_frame_that_decided_it() -> None:
    clock = VirtualClock(7)
    book = LatencyBook(clock)
    orders = OrderLatency(book, clock)
    offered: list[Signal] = []

    def offer(signals: Sequence[Signal]) -> Sequence[Signal]:
        offered.extend(signals)
        return signals

    signal = _signal()
    assert orders.noting(offer)([signal]) == [signal]
    clock.advance_to(9)
    orders.on_recorded(_entry())
    orders.on_wire(_entry(), 10 * MS)
    assert offered == [signal]
    stages = {stage: found["max"] for stage, found in book.snapshot().items()}
    assert stages == {"frame_to_signal": 2.0, "frame_to_recorded": 4.0, "frame_to_order": 5.0}


def test_an_order_of_a_frame_from_before_the_reset_is_not_timed() -> None:
    clock = VirtualClock(7)
    book = LatencyBook(clock)
    orders = OrderLatency(book, clock)
    note = orders.noting(lambda signals: signals)
    note([_signal()])
    clock.advance_to(8)
    book.reset()
    orders.on_recorded(_entry())
    orders.on_wire(_entry(), 700 * MS)
    note([_signal("ETHUSDT")])  # its symbol's history was being read when the frame came
    assert book.snapshot() == {}
    note([_signal(received_ns=8 * MS)])
    orders.on_wire(_entry(), 10 * MS)
    assert {stage: found["max"] for stage, found in book.snapshot().items()} == {
        "frame_to_signal": 0.0,
        "frame_to_order": 2.0,
    }


def test_what_is_not_an_entry_after_a_frame_is_not_timed() -> None:
    clock = VirtualClock(7)
    book = LatencyBook(clock)
    orders = OrderLatency(book, clock)

    def offer(signals: Sequence[Signal]) -> Sequence[Signal]:
        return signals[len(signals) :]

    orders.noting(offer)([replace(_signal(), received_ns=0)])  # a candle read by REST has no frame
    orders.on_wire(_entry(), 10 * MS)
    orders.noting(offer)([_signal("ETHUSDT")])
    orders.on_wire(_entry("ETHUSDT", Priority.EXIT), 10 * MS)
    orders.on_recorded(CancelOrder("ETHUSDT", "ft-1-1-S1", OrderService.ALGO))
    assert book.snapshot().keys() == {"frame_to_signal"}
