"""The dead-man timer before a run: where it is taken over into the policy, and where it is refused."""

from __future__ import annotations

import pytest

from commands.check import check_countdown
from commands.venue import Venue, execution_policy
from config.settings import Settings
from core.enums import CountdownEffect, Environment
from core.errors import ConfigurationError
from exchange.binance.settings import VenueSettings
from executor.policy import ExecutionPolicy

LOOPBACK = VenueSettings("http://127.0.0.1:1", "ws://127.0.0.1:1", "k", "s")


def _settings(mode: Environment, seconds: int | None = 30) -> Settings:
    keys = {"binance_api_key": "k", "binance_api_secret": "s", "allow_mainnet": "yes"}
    return Settings(mode=mode, countdown_cancel_sec=seconds, **keys)  # type: ignore[arg-type]


def test_policy_without_the_setting_uses_no_countdown_anywhere() -> None:
    venue = Venue(LOOPBACK, None, countdown=CountdownEffect.ALL)
    assert execution_policy(_settings(Environment.SIM, None), venue) == ExecutionPolicy()


def test_policy_takes_the_countdown_over_where_it_spares_stops() -> None:
    venue = Venue(LOOPBACK, None, countdown=CountdownEffect.PLAIN)
    assert execution_policy(_settings(Environment.SIM), venue).countdown_ms == 30_000


@pytest.mark.parametrize(
    ("mode", "effect", "why"),
    [
        (Environment.SIM, CountdownEffect.ALL, "could remove a protective stop"),
        (Environment.SIM, CountdownEffect.UNKNOWN, "not documented"),
        (Environment.TESTNET, CountdownEffect.UNKNOWN, "not documented"),
        (Environment.MAINNET, CountdownEffect.UNKNOWN, "not documented"),
    ],
)
def test_policy_refuses_a_countdown_that_may_take_stops(mode: Environment, effect: CountdownEffect, why: str) -> None:
    with pytest.raises(ConfigurationError, match=f"COUNTDOWN_CANCEL_SEC .*{mode.value}.*{why}"):
        execution_policy(_settings(mode), Venue(LOOPBACK, None, countdown=effect))


def test_check_tells_of_the_timer_before_a_run() -> None:
    assert "30 s after the trader fell silent" in check_countdown(_settings(Environment.PAPER))
    with pytest.raises(ConfigurationError, match="leave it empty"):
        check_countdown(_settings(Environment.TESTNET))
