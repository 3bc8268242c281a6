"""Lock-step play: which prices are traded in which order, and when an order that is sent at a close arrives."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from core.clock import VirtualClock
from core.enums import OrderType, Side
from core.errors import ConfigurationError
from simulator.engine.config import ExchangeConfig
from simulator.engine.events import ExchangeEvent, OrderEvent
from simulator.engine.exchange import Exchange
from simulator.engine.requests import PlaceAlgo, PlaceOrder
from simulator.market.candle_play import CandlePlay
from simulator.market.model import KlineClosed
from simulator.market.recorded import load_directory
from simulator.options import ExchangeOptions
from simulator.server.lockstep import LockstepDriver
from simulator.source import open_source

D = Decimal
START_MS = 1_746_000_000_000
SYMBOL = "TESTUSDT"
HISTORY = 5


class Play:
    """A lock-step market of one symbol behind an account; `heard` is all that was published."""

    def __init__(self, folder: Path, candles: list[tuple[str, str, str, str]]) -> None:
        quiet = [("100.0", "100.1", "99.9", "100.0")] * HISTORY
        rows = [
            f"{START_MS + number * 60_000},{','.join(prices)},50.001"
            for number, prices in enumerate([*quiet, *candles])
        ]
        (folder / f"{SYMBOL}-1m.csv").write_text("open_time,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
        self.market = CandlePlay(load_directory(folder), seed=1, start_ms=START_MS + HISTORY * 60_000)
        self.exchange = Exchange(self.market, ExchangeConfig(deposit=D(10_000)))
        self.heard: list[ExchangeEvent] = []
        self.driver = LockstepDriver(self.exchange, self.market, self.heard.extend, lambda: None)

    def order(self, side: Side = Side.BUY) -> None:
        """Send a market order as the server does."""
        request = PlaceOrder(symbol=SYMBOL, side=side, type=OrderType.MARKET, quantity=D(1))
        if self.driver.holds_orders:
            self.driver.park(SYMBOL, lambda: self._place(request), lambda: self.heard.clear())
        else:
            self._place(request)

    def protect(self, stop: str, target: str, side: Side = Side.SELL) -> None:
        for kind, price in ((OrderType.TAKE_PROFIT_MARKET, target), (OrderType.STOP_MARKET, stop)):
            self.exchange.place_algo(
                PlaceAlgo(symbol=SYMBOL, side=side, type=kind, trigger_price=D(price), close_position=True)
            )

    @property
    def fills(self) -> list[tuple[Decimal, int]]:
        """Price of each fill, and its time within the played candles."""
        fills = [event.fill for event in self.heard if isinstance(event, OrderEvent) and event.fill is not None]
        return [(fill.price, fill.time_ms - self.market.start_ms) for fill in fills]

    def _place(self, request: PlaceOrder) -> None:
        self.exchange.place_order(request)
        self.heard.extend(self.exchange.drain_events())


FLAT = ("100.0", "100.1", "99.9", "100.0")


def test_lockstep_order_sent_at_a_close_fills_at_the_next_open(tmp_path: Path) -> None:
    play = Play(tmp_path, [FLAT, ("103.0", "103.1", "102.9", "103.0")])

    assert play.driver.step()  # the close of the first candle
    play.order()
    assert (play.fills, play.driver.parked) == ([], 1)
    assert play.driver.step()

    assert (play.fills, play.driver.parked) == ([(D("103.0"), 60_000)], 0)


def test_lockstep_candle_that_touches_both_levels_takes_the_stop_at_its_price(tmp_path: Path) -> None:
    play = Play(tmp_path, [FLAT, FLAT, ("100.0", "105.0", "95.0", "101.0")])
    play.driver.step()
    play.order()
    play.driver.step()
    play.protect("98.5", "101.5")

    while play.driver.step():
        pass

    assert play.fills == [(D("100.0"), 60_000), (D("98.5"), 120_000 + 30_000)]


def test_lockstep_open_beyond_the_stop_fills_at_the_open(tmp_path: Path) -> None:
    play = Play(tmp_path, [FLAT, FLAT, ("97.0", "97.1", "96.9", "97.0")])
    play.driver.step()
    play.order()
    play.driver.step()
    play.protect("98.5", "101.5")

    while play.driver.step():
        pass

    assert play.fills[-1] == (D("97.0"), 120_000)


def test_lockstep_end_of_recording_refuses_what_waits_and_stands_still(tmp_path: Path) -> None:
    play = Play(tmp_path, [FLAT])
    play.driver.step()
    assert [event.kline.close for event in play.heard if isinstance(event, KlineClosed)] == [D("100.0")]
    play.order()

    assert not play.driver.step()

    assert play.driver.parked == 0
    assert play.heard == []  # refused, as this test says it
    assert play.market.now_ms == play.market.end_ms - 1 if play.market.end_ms else False


@pytest.mark.parametrize("also", [{}, {"journal": Path("x")}, {"faults": Path("x")}])
async def test_lockstep_without_recording_or_with_what_cannot_go_with_it_is_refused(
    tmp_path: Path, also: dict[str, Path]
) -> None:
    options = ExchangeOptions(lockstep=True, data_dir=tmp_path if also else None, **also)  # type: ignore[arg-type]

    with pytest.raises(ConfigurationError, match="lockstep"):
        await open_source(options, None, VirtualClock(START_MS))
