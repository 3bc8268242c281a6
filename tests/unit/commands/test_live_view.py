"""What the terminal shows: the run's own counts and gain, and every position at its mark price."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from commands.venue import Venue
from commands.watch import Session, has_ended, live_view, market_end
from config.settings import Settings
from core.enums import Direction
from status.console import RecentEvents

D = Decimal
WALLET = D("9995.5")


def view_of(opening_wallet: Decimal | None, wallet: Decimal | None = WALLET) -> Any:
    trade = SimpleNamespace(
        symbol="BTCUSDT", strategy="s", direction=Direction.LONG, quantity=D("0.01"), entry_price=D(60_000),
        mark_price=D("60100.5"), stop_price=D(59_800), target_price=D(60_400), unrealized_pnl=D("1.005"),
    )  # fmt: skip
    core = SimpleNamespace(
        open_positions=(trade,), wallet=wallet, equity=D(9_996), entries_filled=7, trades_closed=6, trades_won=2,
        day_net_pnl=D(-400),
    )  # fmt: skip
    session = Session(Settings(), Venue(None, 600.0), ("BTCUSDT",), 1_000, 2_000)  # type: ignore[arg-type]
    executor: Any = SimpleNamespace(view=lambda: core)
    board: Any = SimpleNamespace(wedged=list)
    clock: Any = SimpleNamespace(now_ms=lambda: 61_000)
    return live_view(session, executor, board, clock, gateway_at(5_000), RecentEvents(), opening_wallet)


def gateway_at(venue_time_ms: int) -> Any:
    return SimpleNamespace(venue_time_ms=lambda: venue_time_ms)


def test_live_view_shows_the_runs_gain_and_wins_not_the_days() -> None:
    view = view_of(D(10_000))
    assert (view.net_pnl, view.wins, view.entries, view.closed_trades) == (D("-4.5"), 2, 7, 6)
    assert view.positions[0].mark_price == D("60100.5")


@pytest.mark.parametrize(("opening", "wallet"), [(None, D(1)), (D(1), None)])
def test_live_view_claims_no_gain_while_a_wallet_is_unknown(opening: Decimal | None, wallet: Decimal | None) -> None:
    assert view_of(opening, wallet).net_pnl == 0


def test_recorded_market_has_ended_at_its_last_instant_and_others_never() -> None:
    recorded = Venue(None, 1.0, market_end_ms=10_000)  # type: ignore[arg-type]
    assert not has_ended(recorded, gateway_at(9_998))
    assert has_ended(recorded, gateway_at(9_999))
    assert not has_ended(Venue(None, 1.0), gateway_at(10**15))  # type: ignore[arg-type]


async def test_market_end_returns_once_the_market_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([9_000, 9_500, 9_999])
    monkeypatch.setattr("commands.watch.MARKET_END_POLL_S", 0)
    monkeypatch.setattr("commands.watch.MARKET_END_GRACE_S", 0)
    gateway: Any = SimpleNamespace(venue_time_ms=lambda: next(times))
    await market_end(Venue(None, 1.0, market_end_ms=10_000), gateway)  # type: ignore[arg-type]
    assert next(times, None) is None
