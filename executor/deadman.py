"""The dead-man timer: a countdown at the venue that cancels our resting entries when we fall silent. Off by default.

It is kept running on a symbol while we are healthy and an entry of ours rests there, and stopped when none does. A
trader that is not healthy lets it run out: that is what it is for. A symbol with somebody else's order is left without
one, since the countdown would take that order too. Stops and targets are conditional orders; a venue whose countdown
takes these, or may take them, is refused before the first order (`refusal_of_venue`).
"""

from __future__ import annotations

from dataclasses import dataclass

from core.commands import Accepted, SetCountdownCancel, VenueReply
from core.enums import CountdownEffect, Environment, OrderService, Severity
from executor.desk import Countdown, Desk

SETTING = "COUNTDOWN_CANCEL_SEC"


@dataclass(frozen=True, slots=True)
class VenueCountdown:
    """What is known of the countdown-cancel of the venue at `where`."""

    where: Environment
    effect: CountdownEffect


def refusal_of_venue(venue: VenueCountdown) -> str | None:
    """Return why the timer must not be used at this venue, or None where it can never take a protective order."""
    if venue.effect is CountdownEffect.PLAIN:
        return None
    if venue.effect is CountdownEffect.ALL:
        why = "the countdown of this exchange cancels conditional orders too, so it could remove a protective stop"
    else:
        why = "it is not documented whether the countdown there also removes protective stops"
    return f"{SETTING} cannot be used in mode {venue.where.value}: {why}; leave it empty"


def tick(desk: Desk) -> None:
    """Start, renew and stop countdowns. Called with every tick of the core."""
    length_ms = desk.policy.countdown_ms
    if length_ms is None or not _is_healthy(desk):
        return
    pause_ms = length_ms // desk.policy.countdown_renewals
    guarded = _symbols_to_guard(desk)
    for symbol in sorted(guarded | desk.countdowns.keys()):
        timer = desk.countdowns.setdefault(symbol, Countdown())
        if symbol not in guarded and (timer.runs_until_ms is None or timer.runs_until_ms <= desk.now_ms):
            del desk.countdowns[symbol]  # it never ran, was stopped, or is over
        elif timer.asked_ms is None or desk.now_ms - timer.asked_ms >= pause_ms:
            _ask(desk, symbol, timer, length_ms if symbol in guarded else 0)
        elif symbol not in guarded and not timer.is_stopping:
            _ask(desk, symbol, timer, 0)


def on_reply(desk: Desk, reply: VenueReply) -> None:
    """Note what became of a request; a renewal that failed is told once until one succeeds."""
    command = reply.command
    assert isinstance(command, SetCountdownCancel)
    timer = desk.countdowns.get(command.symbol)
    if timer is None:
        return
    if isinstance(reply.outcome, Accepted):
        timer.has_failed = False
        if not command.countdown_ms and timer.is_stopping:
            timer.runs_until_ms = None
        return
    if timer.has_failed:
        return
    timer.has_failed = True
    what = "renewed" if command.countdown_ms else "stopped"
    desk.alert(
        f"countdown:{desk.epoch}:{command.symbol}:{desk.now_ms}",
        Severity.WARNING,
        f"{command.symbol}: the countdown at the venue could not be {what}",
        f"{reply.outcome}. It is tried again; unless that succeeds the venue cancels the symbol's resting entries "
        f"within {(desk.policy.countdown_ms or 0) / 1000:g} s. Stops are not touched."[:500],
        symbol=command.symbol,
    )


def _ask(desk: Desk, symbol: str, timer: Countdown, countdown_ms: int) -> None:
    """Send a request. Until a stop is confirmed the countdown counts as running: the request may not arrive."""
    timer.asked_ms, timer.is_stopping = desk.now_ms, not countdown_ms
    if countdown_ms:
        # The venue starts it when the request arrives, which is later than now by at most the life of a write.
        timer.runs_until_ms = desk.now_ms + desk.policy.write_life_ms + countdown_ms
    desk.send(symbol, SetCountdownCancel(symbol, countdown_ms))


def _is_healthy(desk: Desk) -> bool:
    link = desk.link
    return link.user_ready and link.market_ready and not (link.degraded or link.stopping or link.lease_lost)


def _symbols_to_guard(desk: Desk) -> set[str]:
    """Symbols on which an entry of ours rests, and no plain order that the countdown must not take."""
    resting: set[str] = set()
    barred: set[str] = set(desk.foreign_orders)
    for trade in desk.book.active.values():
        for order in trade.orders.values():
            if order.has_ended or order.service is not OrderService.PLAIN:
                continue
            if order is not trade.entry:
                barred.add(order.symbol)
            elif desk.now_ms - order.sent_ms >= desk.policy.countdown_after_ms:
                resting.add(order.symbol)
    return resting - barred
