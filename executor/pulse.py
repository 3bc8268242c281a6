"""The core's own time: what a tick values and writes, and which ticks would do nothing.

A live process ticks four times a second and most of its ticks find nothing due. A caller with a virtual clock can ask,
and leave those out: with them and without, the effects are the same.
"""

from __future__ import annotations

from executor import kill, valuation
from executor.calm import AT_ONCE, NEVER, Calm, calm_of
from executor.desk import Desk
from executor.reconcile import Reconciler


class Pulse:
    """Valuations on their timers, and until when nothing but them is due."""

    __slots__ = ("_desk", "_mark_at_ms", "_reconciler", "_stat_ms", "_stat_venue_ms", "is_nothing_open", "known")

    def __init__(self, desk: Desk, reconciler: Reconciler) -> None:
        self._desk = desk
        self._reconciler = reconciler
        self._stat_ms: int | None = None
        self._stat_venue_ms = 0
        self._mark_at_ms = 0
        self.known: Calm | None = None
        """How long ticks do no more than value; worked out when asked, unknown after any event but prices and ticks."""
        self.is_nothing_open = False
        """The last event but prices was a tick that valued an account without trades: its value stays what it is."""

    # --- ticks left out -----------------------------------------------------------------------------------------

    def let_pass(self, now_ms: int, venue_ms: int) -> bool:
        """Let time pass without a tick at `now_ms` (our clock) and `venue_ms`, and return True, where the tick would
        change nothing else; False when it may be due, in doubt too: then it has to be sent."""
        desk = self._desk
        if desk.history_start_ms == 0:
            return False
        if now_ms > desk.now_ms:  # noqa: PLR1730 - as in the core: a call costs three comparisons
            desk.now_ms = now_ms
        if venue_ms > desk.venue_ms:  # noqa: PLR1730
            desk.venue_ms = venue_ms
        now_ms, venue_ms = desk.now_ms, desk.venue_ms
        is_mark_time = now_ms >= self._mark_at_ms
        if (is_mark_time and not self.is_nothing_open) or self._is_stat_time():
            return False
        if not (self.known or self._look()).lasts(now_ms, venue_ms):
            return False
        if is_mark_time:
            self._mark_at_ms = now_ms + desk.policy.mark_every_ms
        return True

    def due_ms(self) -> int:
        """Return before which moment `let_pass` lets every tick pass that tells one time as ours and the venue's,
        unless an event comes first; 0 where a tick may be due at once.

        Who knows it need not ask about those ticks, but about the last of them before an event is told: the core has to
        know how late it is. After the event, a price too, another moment may hold.
        """
        desk = self._desk
        if desk.history_start_ms == 0 or desk.stat_due:
            return 0
        calm = self.known or self._look()
        if calm.is_passed():
            return 0
        return min(calm.until_ms, calm.until_venue_ms, self._mark_at_ms, self._stat_at_ms())

    def is_passed(self) -> bool:
        """Return whether a price has passed a stop of which the calm that is known depends."""
        return self.known is not None and self.known.is_passed()

    def calm(self) -> Calm:
        """Return for how long nothing is due but to value, at which prices: `AT_ONCE` while any business is open."""
        desk = self._desk
        return AT_ONCE if desk.history_start_ms == 0 else calm_of(desk, self._reconciler.due_ms(desk))

    def _look(self) -> Calm:
        calm = self.known = calm_of(self._desk, self._reconciler.due_ms(self._desk))
        return calm

    # --- ticks that come ----------------------------------------------------------------------------------------

    def is_calm(self) -> bool:
        """Return whether a tick at this moment has nothing to do but to value."""
        desk, calm = self._desk, self.known
        return calm is not None and calm.lasts(desk.now_ms, desk.venue_ms)

    def value(self) -> None:
        """Write what everything is worth where it is time to, and watch the limits of the account."""
        desk = self._desk
        is_marked = desk.now_ms >= self._mark_at_ms
        if is_marked:
            self._mark_at_ms = desk.now_ms + desk.policy.mark_every_ms
            valuation.write_marks(desk, valuation.revalue(desk))
            kill.watch_limits(desk)
            self.is_nothing_open = not desk.book.active
        if self._is_stat_time():
            desk.stat_due = False
            self._stat_ms, self._stat_venue_ms = desk.now_ms, desk.venue_ms
            if not is_marked:
                valuation.revalue(desk)
            valuation.write_account_stat(desk)
        if desk.unwinding:  # a limit was reached
            self.known = None

    def _is_stat_time(self) -> bool:
        """Every few seconds of ours; sooner where the market's minutes pass faster than that."""
        desk, policy = self._desk, self._desk.policy
        if desk.stat_due:
            return True
        if self._stat_ms is None:
            return desk.account.equity is not None
        waited_ms = desk.now_ms - self._stat_ms
        if waited_ms >= policy.account_stat_every_ms:
            return True
        return (
            waited_ms >= policy.account_stat_gap_ms
            and desk.venue_ms - self._stat_venue_ms >= policy.account_stat_venue_ms
        )

    def _stat_at_ms(self) -> int:
        """Return the moment from which `_is_stat_time` holds on one clock, if nobody asks for a valuation before."""
        policy = self._desk.policy
        if self._stat_ms is None:
            return NEVER if self._desk.account.equity is None else 0
        gap_ms = self._stat_ms + policy.account_stat_gap_ms
        minute_ms = self._stat_venue_ms + policy.account_stat_venue_ms
        return min(self._stat_ms + policy.account_stat_every_ms, max(gap_ms, minute_ms))
