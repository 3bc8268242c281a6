"""Answers are read when the requests that are about to leave have left."""

from __future__ import annotations

import threading

import pytest

from exchange.binance.departures import Departures

WAIT_S = 5.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.binance.departures.PATIENCE_S", 60.0)


def reader(departures: Departures) -> tuple[threading.Thread, threading.Event]:
    """A thread that wants to read an answer, and what says that it may."""
    has_begun, may_read = threading.Event(), threading.Event()

    def read() -> None:
        has_begun.set()
        departures.let_go_first()
        may_read.set()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert has_begun.wait(WAIT_S)
    return thread, may_read


def test_departures_without_anything_under_way_let_an_answer_be_read_at_once() -> None:
    departures = Departures()
    departures.expect()
    departures.left()
    departures.let_go_first()


def test_departures_hold_an_answer_until_the_last_request_has_left() -> None:
    departures = Departures()
    departures.expect()
    departures.expect()
    departures.left()
    thread, may_read = reader(departures)
    assert not may_read.is_set()
    departures.left()
    assert may_read.wait(WAIT_S)
    thread.join(WAIT_S)


def test_departures_lose_patience_with_a_request_that_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exchange.binance.departures.PATIENCE_S", 0.0)
    departures = Departures()
    departures.expect()
    departures.let_go_first()
