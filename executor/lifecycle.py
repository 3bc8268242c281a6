"""The life of a trade as one table: (state, event) -> state.

Each event is raised once per change of what is known; a repeated or late report changes nothing and raises none. A
pair that is not in the table is a bug or a venue surprise and raises `IllegalTransition`.
"""

from __future__ import annotations

from core.enums import Word
from core.errors import IllegalTransition
from core.records import TradeState


class TradeEvent(Word):
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    OUTCOME_UNKNOWN = "outcome_unknown"
    PROVED_ABSENT = "proved_absent"
    ENTRY_REFUSED = "entry_refused"
    PARTLY_FILLED = "partly_filled"
    ENTRY_COMPLETE = "entry_complete"
    STOP_CONFIRMED = "stop_confirmed"
    STOP_LOST = "stop_lost"
    EXIT_STARTED = "exit_started"
    FLAT_CONFIRMED = "flat_confirmed"


_S, _E = TradeState, TradeEvent

TRANSITIONS: dict[tuple[TradeState, TradeEvent], TradeState] = {
    (_S.INTENT, _E.SENT): _S.SUBMITTED,
    # The write that had to precede the order failed, so the order never left.
    (_S.INTENT, _E.ENTRY_REFUSED): _S.REFUSED,
    # After a restart nobody knows whether a recorded intent was sent.
    (_S.INTENT, _E.OUTCOME_UNKNOWN): _S.IN_DOUBT,
    (_S.SUBMITTED, _E.ACKNOWLEDGED): _S.ACCEPTED,
    (_S.SUBMITTED, _E.OUTCOME_UNKNOWN): _S.IN_DOUBT,
    # Also: a market order that found no counterparty ends EXPIRED (reason 9) without a fill.
    (_S.SUBMITTED, _E.ENTRY_REFUSED): _S.REFUSED,
    # The user stream is usually faster than the answer to the request itself.
    (_S.SUBMITTED, _E.PARTLY_FILLED): _S.PARTIALLY_FILLED,
    (_S.SUBMITTED, _E.ENTRY_COMPLETE): _S.FILLED,
    (_S.IN_DOUBT, _E.ACKNOWLEDGED): _S.ACCEPTED,
    (_S.IN_DOUBT, _E.PARTLY_FILLED): _S.PARTIALLY_FILLED,
    (_S.IN_DOUBT, _E.ENTRY_COMPLETE): _S.FILLED,
    # The order is found, and it had ended without a fill.
    (_S.IN_DOUBT, _E.ENTRY_REFUSED): _S.REFUSED,
    (_S.IN_DOUBT, _E.PROVED_ABSENT): _S.REFUSED,
    (_S.ACCEPTED, _E.PARTLY_FILLED): _S.PARTIALLY_FILLED,
    (_S.ACCEPTED, _E.ENTRY_COMPLETE): _S.FILLED,
    (_S.ACCEPTED, _E.ENTRY_REFUSED): _S.REFUSED,
    (_S.PARTIALLY_FILLED, _E.ENTRY_COMPLETE): _S.FILLED,
    (_S.PARTIALLY_FILLED, _E.STOP_CONFIRMED): _S.PROTECTED,
    (_S.PARTIALLY_FILLED, _E.EXIT_STARTED): _S.CLOSING,
    (_S.FILLED, _E.STOP_CONFIRMED): _S.PROTECTED,
    (_S.FILLED, _E.EXIT_STARTED): _S.CLOSING,
    # Later fills of the entry need no new stop: it closes whatever is open.
    (_S.PROTECTED, _E.ENTRY_COMPLETE): _S.PROTECTED,
    # The venue may cancel, expire or reject a live stop by itself; the trade is naked again.
    (_S.PROTECTED, _E.STOP_LOST): _S.FILLED,
    (_S.PROTECTED, _E.EXIT_STARTED): _S.CLOSING,
    # While closing, the entry may still complete and stops may come and go: the close loop runs until flat.
    (_S.CLOSING, _E.ENTRY_COMPLETE): _S.CLOSING,
    (_S.CLOSING, _E.STOP_CONFIRMED): _S.CLOSING,
    (_S.CLOSING, _E.STOP_LOST): _S.CLOSING,
    (_S.CLOSING, _E.EXIT_STARTED): _S.CLOSING,
    (_S.CLOSING, _E.FLAT_CONFIRMED): _S.CLOSED,
    # An order that was proved absent and fills nevertheless: a position that nobody guards is worse than an
    # unusual row, so the trade comes back to life and is protected.
    (_S.REFUSED, _E.PARTLY_FILLED): _S.PARTIALLY_FILLED,
    (_S.REFUSED, _E.ENTRY_COMPLETE): _S.FILLED,
}

TERMINAL = frozenset({TradeState.CLOSED, TradeState.REFUSED})


def next_state(state: TradeState, event: TradeEvent) -> TradeState:
    """Return the state that `event` leads to; raises IllegalTransition for a pair that is not in the table."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"a trade in state {state.value!r} cannot take event {event.value!r}") from None
