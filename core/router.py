"""Where decoded events go: closed candles to the feed, everything else to the executor."""

from __future__ import annotations

from collections.abc import Callable

from core.events import CandleClosed, Event, MarkPriceUpdated, StreamChanged, StreamKind, StreamState
from core.ports import EventSink


class EventRouter:
    """An `EventSink` for streams and gateway. Events before `connect` have no hearer and are dropped.

    `on_stream` hears of lost and recovered streams first; `catch_up` is called when market data is back, because what
    was missed must be read again. `marks` hears mark prices too.
    """

    def __init__(self, on_stream: Callable[[StreamChanged], None]) -> None:
        self._on_stream = on_stream
        self._candles: Callable[[CandleClosed], None] | None = None
        self._events: EventSink | None = None
        self._catch_up: Callable[[], None] | None = None
        self._marks: Callable[[MarkPriceUpdated], None] | None = None

    def connect(
        self,
        *,
        candles: Callable[[CandleClosed], None],
        catch_up: Callable[[], None],
        events: EventSink,
        marks: Callable[[MarkPriceUpdated], None] | None = None,
    ) -> None:
        self._candles, self._catch_up, self._events, self._marks = candles, catch_up, events, marks

    def __call__(self, event: Event) -> None:
        if self._events is None or self._candles is None or self._catch_up is None:
            return
        if isinstance(event, CandleClosed):
            self._candles(event)
            return
        if self._marks is not None and type(event) is MarkPriceUpdated:
            self._marks(event)
        elif isinstance(event, StreamChanged):
            self._on_stream(event)
            if event.kind is StreamKind.MARKET and event.state is StreamState.READY:
                self._catch_up()
        self._events(event)
