"""How patient the executor is. Milliseconds of our steady clock unless said otherwise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExecutionPolicy:
    """Time-outs and retry counts of orders, protection and reconciliation.

    The bound on a position without a live stop is 5 s seen from the venue. `naked_ms_max` is shorter, so that the
    market close that follows still arrives within it; the stop's tries are spread inside `naked_ms_max`.
    """

    entry_fill_grace_ms: int = 200
    """A partly filled entry waits so long for its remaining fills before the stop is priced."""
    naked_ms_max: int = 4_000
    stop_tries: int = 5
    stop_retry_ms: int = 700
    stop_losses_max: int = 3
    """A stop that was removed or died so often is not placed again: the position is closed."""
    target_tries: int = 5
    target_retry_ms: int = 5_000
    lost_leg_grace_ms: int = 250
    """A stop that ended on its own waits so long for the news that it closed the position."""

    protect_probe_ms: int = 1_500
    """A protective request without an answer is asked about after this time, in parallel."""
    write_probe_ms: int = 6_000
    query_retry_ms: int = 1_000
    query_retry_ms_max: int = 5_000
    not_found_min: int = 3
    settle_ms: int = 2_000
    """Absence counts only so long after the signed request can no longer be accepted."""
    write_life_ms: int = 10_000
    """Longest life of a signed write whose expiry the venue adapter did not tell."""
    held_fill_ms: int = 3_000
    """A fill of an unknown order waits so long for the order that owns it."""

    close_progress_ms: int = 250
    """A close that filled in part (thin book) is followed by the next one after this time."""
    close_retry_ms: int = 1_000
    close_retry_ms_max: int = 5_000
    close_tries_alert: int = 5
    cancel_retry_ms: int = 2_000
    firing_ms_max: int = 3_000
    beyond_ms_max: int = 3_000
    """A stop whose price has been passed for so long with the position still open does not work."""

    confirm_after_ms: int = 250
    audit_after_ms: int = 1_000
    audit_retry_ms: int = 5_000
    audit_confirmations: int = 2
    reconcile_every_ms: int = 30_000
    reconcile_retry_ms: int = 2_000
    reconcile_retry_ms_max: int = 5_000
    """Tries that fail come further apart: a whole reading costs about 120 of the 1,680 that queries have a minute, and
    one every two seconds would leave nothing for the reads of a position that has to be understood."""
    reconcile_again_ms: int = 500
    """The second that is demanded within a while begins at least so long after the first, the third after twice that,
    and so on, to the same most."""
    reconcile_ms_max: int = 60_000
    reconcile_failures_max: int = 3
    """So many failed periodic reconciliations in a row stop entries."""
    fills_overlap_ms: int = 60_000
    """Venue time by which a fetch of missed fills reaches back before the trade's own start."""
    fills_reread_ms: int = 21_600_000
    """Venue time by which a fetch of fills without a trade reaches back before the last complete one: lists lag."""
    restart_overlap_ms: int = 3_600_000
    """Venue time before a restart whose ledger rows and fills are read again."""

    countdown_ms: int | None = None
    """After so long without us the venue cancels our resting entries; None: no countdown is used."""
    countdown_after_ms: int = 1_000
    """An entry rests once it is so old: a market order never needs a countdown."""
    countdown_renewals: int = 3
    """So often a countdown is renewed in its own length."""

    writes_steps: bool = True
    """False: a trade is written once, when nothing of it is left, for a run that nothing has to survive."""
    writes_orders: bool = True
    """False, with `writes_steps` off: of a trade only the position is written, and what was refused."""
    recent_trades_max: int = 500
    """So many finished trades are remembered, for reports that come late."""
    account_stat_every_ms: int = 10_000
    account_stat_gap_ms: int = 1_000
    account_stat_venue_ms: int = 60_000
    """A market minute asks for a valuation too, but not within the gap."""
    mark_every_ms: int = 1_000
    stop_failed_rest_ms: int = 86_400_000
    """Venue time for which a symbol rests after its stop could not be placed or it was liquidated."""
    authentication_rest_ms: int = 600_000
    """Venue time without entries after the venue refused our key."""
    live_query_ms: int = 2_000
    """A market order that the venue took but that tells nothing is asked about after this time."""
    fills_retry_ms: int = 1_000
