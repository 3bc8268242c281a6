"""The fault desk: makes the parts of an exchange that ask one injector, and moves all its faults with `tick`.

The embedded exchange uses all of it; a simulation without sockets uses the parts that it has.
"""

from __future__ import annotations

from collections.abc import Callable

from core.clock import Clock
from simulator.engine.config import ExchangeConfig
from simulator.faults.actions import AccountActions
from simulator.faults.engine import FaultyExchange
from simulator.faults.http import FaultyHttpServer
from simulator.faults.injector import FaultInjector
from simulator.faults.kinds import FaultKind
from simulator.faults.market import FaultyMarket
from simulator.faults.rest import FaultyRest
from simulator.faults.schedule import Fault
from simulator.faults.streams import FaultyStreamHub, StreamFaults
from simulator.server.formats import Precision
from simulator.server.limits import ConnectionRules
from simulator.server.listen_keys import ListenKeys
from simulator.server.ports import MarketFeed
from simulator.server.streams import StreamHub
from simulator.server.wire import RawRequest, RawResponse

K = FaultKind


class FaultDesk:
    """`now` is the gateway's true time. `market`, then `exchange`, come first; the other parts are optional."""

    def __init__(self, injector: FaultInjector, now: Callable[[], int]) -> None:
        self.injector = injector
        self.streams = StreamFaults(injector, now)
        self._now = now
        self._market: FaultyMarket | None = None
        self._exchange: FaultyExchange | None = None
        self._actions: AccountActions | None = None
        self._rest: FaultyRest | None = None
        self._hub: FaultyStreamHub | None = None
        self._keys: ListenKeys | None = None

    # -- the parts --------------------------------------------------------------------------------------------------

    def market(self, market: MarketFeed) -> FaultyMarket:
        self._market = FaultyMarket(market, self.injector)
        return self._market

    def exchange(self, market: MarketFeed, config: ExchangeConfig | None = None) -> FaultyExchange:
        self._exchange = FaultyExchange(market, config, self.injector, self._now)
        self._actions = AccountActions(self._exchange)
        return self._exchange

    def hub(self, market: MarketFeed, precisions: dict[str, Precision], keys: ListenKeys) -> FaultyStreamHub:
        self._hub, self._keys = FaultyStreamHub(market, precisions, keys), keys
        return self._hub

    def rest(self, respond: Callable[[RawRequest], RawResponse]) -> FaultyRest:
        assert self._exchange is not None, "exchange() comes first"
        exchange = self._exchange
        self._rest = FaultyRest(respond, self.injector, self._now, lambda: exchange.now_ms)
        return self._rest

    def server(
        self, respond: Callable[[RawRequest], RawResponse], hub: StreamHub, clock: Clock, rules: ConnectionRules
    ) -> FaultyHttpServer:
        return FaultyHttpServer(self.rest(respond), self.streams, hub, clock, rules)

    def clock(self, clock: Clock) -> GatewayClock:
        return GatewayClock(clock, self.injector)

    # -- time -------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Let happen what is due now. The events that it causes wait in the exchange for `drain_events`."""
        now_ms = self._now()
        if self._market is not None and self._market.refresh(now_ms) and self._exchange is not None:
            self._exchange.recheck()
        for fault in self.injector.due(now_ms):
            subject = self._happen(fault, now_ms)
            if subject:
                self.injector.note_done(fault, now_ms, subject)
        if self._exchange is not None:
            self._exchange.release_stuck()
        if self._rest is not None:
            self._rest.tick()
        self.streams.tick()

    def _happen(self, fault: Fault, now_ms: int) -> str:
        """Carry out an instant fault; returns what it hit, "" if there was nothing."""
        if fault.kind is K.STREAM_CLOSE:
            return _count(self.streams.close(fault.target, int(fault.value("1006"))))
        if fault.kind is K.STREAM_HALF_OPEN:
            return _count(self.streams.half_open(fault.target))
        if fault.kind is K.LISTEN_KEY_EXPIRE:
            if self._hub is None or self._keys is None:
                return ""
            gateway_ms = now_ms + self.injector.clock_offset_ms(now_ms)
            self._hub.expire_listen_key(self._keys, gateway_ms, is_silent=fault.detail == "silent")
            return "listen key"
        return self._actions.run(fault) if self._actions is not None else ""


class GatewayClock:
    """A clock whose wall time is bent by the schedule; its steady time is not."""

    def __init__(self, clock: Clock, injector: FaultInjector) -> None:
        self._clock = clock
        self._injector = injector

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def wall_ms(self) -> int:
        wall_ms = self._clock.wall_ms()
        return wall_ms + self._injector.clock_offset_ms(wall_ms)

    def monotonic_ns(self) -> int:
        return self._clock.monotonic_ns()


def _count(number: int) -> str:
    return f"{number} connections" if number else ""
