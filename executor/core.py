"""The trading core: every event in, the effects that follow out. Synchronous, deterministic, without I/O or clock.

This module only routes: what happens to a trade is decided by `steering`, orders of unknown outcome by `doubt`, the
account as a whole by `reconcile` and `audit`; venue answers are routed by `replies`. Times come with the events; timers
run on `Tick`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from core.commands import (
    SubmitOrder,
    VenueCommand,
    VenueReply,
)
from core.effects import Effect
from core.enums import Severity
from core.events import (
    AccountConfigChanged,
    AccountUpdated,
    AlgoOrderUpdated,
    CandleClosed,
    ClockJumped,
    InstrumentsRefreshed,
    MarginCalled,
    MarkPriceUpdated,
    OrderUpdated,
    PriceUpdated,
    QuoteUpdated,
    SignalReceived,
    StreamChanged,
    StreamKind,
    StreamState,
    Tick,
    UnknownVenueMessage,
)
from core.limits import SymbolLimits, TradingConfig
from core.ports import InstrumentSource
from core.restore import RestoredState
from executor import audit, deadman, entry, fencing, kill, ledger, valuation
from executor.account import Account
from executor.book import Book
from executor.days import DayLedger
from executor.desk import Desk
from executor.fills import fill_report
from executor.halts import Halts
from executor.income import IncomeBook
from executor.inputs import (
    FlattenRequested,
    Input,
    KillRequested,
    LeaseLost,
    PersistenceFailed,
    PersistenceRecovered,
    ReconcileRequested,
    ResumeRequested,
    StopRequested,
)
from executor.marks import Market
from executor.outbox import Outbox
from executor.policy import ExecutionPolicy
from executor.pulse import Pulse
from executor.reconcile import Reconciler
from executor.replies import Replies
from executor.restoring import restore_trades
from executor.setup import SetupReport
from executor.steering import steer, steer_all, steer_put_off
from executor.tracked import Phase
from executor.user_stream import UserStream
from executor.view import CoreView, view_of


class TradingCore:
    """Decides everything about trades; `handle` takes one event and returns what the shell must do, in order.

    `epoch` numbers this process among those of its database, `next_intent` is the first free intent id, `restored` is
    what the database knows of unfinished business, `setup` what the venue holds for each symbol.
    """

    def __init__(
        self,
        config: TradingConfig,
        instruments: InstrumentSource,
        *,
        epoch: int,
        next_intent: int,
        restored: RestoredState,
        setup: SetupReport | None = None,
        policy: ExecutionPolicy | None = None,
    ) -> None:
        self._restored = restored
        policy = policy or ExecutionPolicy()
        self._desk = Desk(
            config=config,
            instruments=instruments,
            policy=policy,
            out=Outbox(writes_steps=policy.writes_steps, writes_orders=policy.writes_orders),
            epoch=epoch,
            next_intent=max(next_intent, restored.next_intent),
            book=Book(policy.recent_trades_max),
            account=Account(config.quote_asset, restored.peak_equity, restored.day_start_equity),
            days=DayLedger(restored.recent_performance, restored.consecutive_losses),
            halts=Halts(restored.halts),
            market=Market({symbol: limits.volatility_window_ms for symbol, limits in config.symbols.items()}),
            setup=dict(setup.symbols) if setup is not None else {},
        )
        self._income = IncomeBook(restored.last_income_time_ms, restored.booked_incomes)
        self._reconciler = Reconciler(self._income)
        self._is_valued = False
        self.pulse = Pulse(self._desk, self._reconciler)
        """Valuations, and which ticks may be left out."""
        self._replies = Replies(self._desk, self._income, self._reconciler)
        self._handlers = self._event_handlers()

    def handle(self, event: Input) -> list[Effect]:
        """Take one event and return the effects it causes, in the order in which they must happen."""
        self._take(event)
        desk = self._desk
        return desk.out.drain(desk.venue_ms) if desk.out.batches else []

    def handle_together(self, events: Sequence[Input]) -> list[Effect]:
        """Take events of one instant and return their effects: all is noted first, then each trade is looked at once.

        Ends in the same state as one by one; steps that only last from one event to the next are neither taken nor
        written.
        """
        desk = self._desk
        desk.put_off = {}
        for event in events:
            self._take(event)
        steer_put_off(desk)
        return desk.out.drain(desk.venue_ms)

    def _take(self, event: Input) -> None:
        kind = type(event)
        if kind is not PriceUpdated and kind is not MarkPriceUpdated:
            pulse = self.pulse
            pulse.is_nothing_open = False
            if kind is not Tick:
                pulse.known = None
        if kind is not SignalReceived:
            self._is_valued = False
        desk, now_ms, venue_ms = self._desk, event.received_time_ms, getattr(event, "event_time_ms", 0)
        if now_ms > desk.now_ms:  # noqa: PLR1730 - every event comes through here, and a call costs three comparisons
            desk.now_ms = now_ms
        if venue_ms > desk.venue_ms:  # noqa: PLR1730
            desk.venue_ms = venue_ms
        if desk.history_start_ms == 0 and desk.venue_ms > 0:
            self._start()
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(event)

    def is_trading(self, symbol: str) -> bool:
        """Return whether anything of ours is open on a symbol, or under way."""
        return bool(self._desk.book.of_symbol(symbol))

    def view(self) -> CoreView:
        """Return a read-only picture for heartbeat, summary and tests."""
        return view_of(self._desk, self._reconciler.last_success_ms)

    def entries_possible(self) -> int | None:
        """Return how many more positions the limit on their number leaves room for; None without such a limit."""
        limit = self._desk.config.limits.max_open_positions
        return None if limit is None else max(0, limit - entry.open_positions(self._desk))

    def refusal_of(self, command: VenueCommand, now_ms: int) -> str | None:
        """Return why a request must not leave any more, decided at the last moment before it does, or None."""
        return fencing.refusal_of(self._desk, command, now_ms)

    def set_clock_offset(self, offset_ms: int | None) -> None:
        """Tell the measured offset between our clock and the venue's; None while it is unknown."""
        self._desk.link.clock_offset_ms = offset_ms

    def set_limits(self, symbols: dict[str, SymbolLimits]) -> None:
        """Obey edited limits from the next event on. The volatility window keeps its length until a restart."""
        self._desk.config = replace(self._desk.config, symbols=symbols)

    # --- time ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """The first event gives the time at which the past is taken over."""
        desk = self._desk
        is_restart = bool(self._restored.last_trade_ids)
        overlap_ms = desk.policy.restart_overlap_ms if is_restart else desk.policy.fills_overlap_ms
        desk.start_ms, desk.history_start_ms = desk.venue_ms, desk.venue_ms - overlap_ms
        # Without a trade the books begin with the first valuation: an older deposit is part of it.
        books_ms = self._restored.first_valued_time_ms or desk.venue_ms
        self._income.start(desk.history_start_ms if is_restart else books_ms)
        desk.days.roll(desk.venue_ms)
        for trade in restore_trades(self._restored, desk.config.quote_asset, desk.now_ms):
            desk.book.add(trade)
            if trade.signal_id is not None:
                desk.remember_signal(trade.signal_id)
        for symbol, trade_id in sorted(self._restored.booked_trades):
            desk.book.mark_seen(symbol, trade_id)
        for row in self._restored.foreign_fills:
            desk.strangers.note(fill_report(row))
        kill.restore(desk)
        self._restored = RestoredState()

    def _on_tick(self, _event: Tick) -> None:
        desk, pulse = self._desk, self.pulse
        if desk.reads:
            desk.forget_reads()
        if not pulse.is_calm():
            pulse.known = None
            self._look_at_timers()
        pulse.value()

    def _look_at_timers(self) -> None:
        """Do what is due by time; while it is known to be calm none of it is."""
        desk = self._desk
        if desk.days.roll(desk.venue_ms):
            valuation.revalue(desk)
            desk.account.start_day()
        for halt in desk.halts.expire(desk.venue_ms):
            desk.write("" if halt.scope == "*" else halt.scope, halt)
        if desk.held or desk.suspects:
            steer_all(desk, [*ledger.settle_held(desk), *audit.audit(desk)])
        if desk.unwinding:
            kill.tick(desk)
        if desk.book.active:
            steer_all(desk, list(desk.book.active.values()))
        self._reconciler.tick(desk)
        if desk.policy.countdown_ms is not None:
            deadman.tick(desk)

    # --- market -------------------------------------------------------------------------------------------------

    def _on_price(self, event: PriceUpdated) -> None:
        desk = self._desk
        move_pct = desk.market.of(event.symbol).on_price(event)
        limits = desk.config.symbols.get(event.symbol)
        if limits is None or move_pct <= limits.volatility_halt_pct:
            return
        detail = f"{move_pct:.2f} % within {limits.volatility_window_ms} ms"
        if desk.halt(event.symbol, "volatility", detail, limits.volatility_rest_ms) is not None:
            desk.alert(
                f"volatility:{event.symbol}:{event.event_time_ms}",
                Severity.WARNING,
                f"{event.symbol}: volatility halt",
                f"The price moved {detail}. No entries for {limits.volatility_rest_ms // 1000} s; stops stay.",
                symbol=event.symbol,
            )

    def _on_mark(self, event: MarkPriceUpdated) -> None:
        self._desk.market.of(event.symbol).on_mark(event)

    def _on_instruments(self, _event: InstrumentsRefreshed) -> None:
        """Remember the filters of what is open: a contract that is listed no more must still be left."""
        for trade in self._desk.book.active.values():
            self._desk.instrument_for_exit(trade.symbol)

    def _on_signal(self, event: SignalReceived) -> None:
        desk = self._desk
        if not self._is_valued:  # the signals of one candle close share a valuation
            valuation.revalue(desk)
            self._is_valued = True
        intent = desk.next_intent
        entry.on_signal(desk, event.signal)
        entered = desk.book.by_intent(intent)
        if entered is not None:
            valuation.count_entry(desk, entered)

    # --- control ------------------------------------------------------------------------------------------------

    def _on_stream(self, event: StreamChanged) -> None:
        """Lost streams stop entries; back again they demand a reconciliation first: what was missed is unknown."""
        link, is_ready = self._desk.link, event.state is StreamState.READY
        if event.kind is StreamKind.USER:
            link.user_ready = is_ready
        else:
            link.market_ready = is_ready
        if event.kind is StreamKind.USER or not is_ready:
            self._desk.demand_reconcile(f"{event.kind.value} stream {event.state.value}")

    def _on_clock_jump(self, event: ClockJumped) -> None:
        self._desk.demand_reconcile(f"clock jumped by {event.jump_ms} ms")

    def _on_stop(self, _event: StopRequested) -> None:
        self._desk.link.stopping = True

    def _on_kill(self, event: KillRequested) -> None:
        kill.kill(self._desk, event.detail)

    def _on_flatten(self, event: FlattenRequested) -> None:
        kill.flatten(self._desk, event.symbol, event.detail)
        steer_all(self._desk, self._desk.book.of_symbol(event.symbol))

    def _on_resume(self, _event: ResumeRequested) -> None:
        kill.resume(self._desk)

    def _on_lease_lost(self, event: LeaseLost) -> None:
        fencing.on_lease_lost(self._desk, event.detail)

    def _on_reconcile_requested(self, event: ReconcileRequested) -> None:
        self._desk.demand_reconcile(event.reason)

    def _on_persistence_failed(self, event: PersistenceFailed) -> None:
        for command in event.commands:
            self._desk.inflight.pop(command, None)
            if isinstance(command, SubmitOrder):
                self._never_sent(command, event.detail)
        if event.is_outage:
            self._set_degraded(event.detail)

    def _set_degraded(self, detail: str) -> None:
        """Without a working database entries stop; exits and protection go on in memory."""
        desk = self._desk
        if not desk.link.degraded:
            desk.link.degraded = True
            desk.alert(
                f"database:{desk.epoch}:{desk.now_ms}",
                Severity.CRITICAL,
                "The database cannot be written",
                f"{detail[:200]}. No entries; stops and exits go on. Check disk space and the database file.",
            )

    def _never_sent(self, command: SubmitOrder, detail: str) -> None:
        owner = self._desk.book.by_client_id(command.approved.order.client_order_id)
        if owner is not None:
            trade, order = owner
            order.end(Phase.REFUSED, f"never sent: {detail}"[:200])
            steer(self._desk, trade)

    def _on_persistence_recovered(self, _event: PersistenceRecovered) -> None:
        desk = self._desk
        if desk.link.degraded:
            desk.link.degraded = False
            desk.alert(
                f"database-back:{desk.epoch}:{desk.now_ms}",
                Severity.INFO,
                "The database can be written again",
                "Everything that happened meanwhile has been written.",
            )

    # --- routing ------------------------------------------------------------------------------------------------

    def _event_handlers(self) -> dict[type, Callable[[Any], None]]:
        def ignore(_event: object) -> None:
            """Candles and quotes are the strategies' business."""

        stream = UserStream(self._desk, self._income)
        return {
            Tick: self._on_tick,
            PriceUpdated: self._on_price,
            MarkPriceUpdated: self._on_mark,
            CandleClosed: ignore,
            QuoteUpdated: ignore,
            InstrumentsRefreshed: self._on_instruments,
            SignalReceived: self._on_signal,
            OrderUpdated: stream.on_order,
            AlgoOrderUpdated: stream.on_algo,
            AccountUpdated: stream.on_account,
            AccountConfigChanged: stream.on_account_config,
            MarginCalled: stream.on_margin_call,
            UnknownVenueMessage: stream.on_unknown,
            StreamChanged: self._on_stream,
            ClockJumped: self._on_clock_jump,
            VenueReply: self._replies.take,
            PersistenceFailed: self._on_persistence_failed,
            PersistenceRecovered: self._on_persistence_recovered,
            StopRequested: self._on_stop,
            ReconcileRequested: self._on_reconcile_requested,
            KillRequested: self._on_kill,
            FlattenRequested: self._on_flatten,
            ResumeRequested: self._on_resume,
            LeaseLost: self._on_lease_lost,
        }
