"""One environment decides both addresses, and a mix-up is refused before anything is sent."""

from __future__ import annotations

import pytest

from core.enums import Environment
from core.errors import ConfigurationError
from exchange.binance.settings import VenueSettings, urls_for

LOOPBACK = ("http://127.0.0.1:8080", "ws://127.0.0.1:8080")


def settings(
    rest: str = LOOPBACK[0], stream: str = LOOPBACK[1], environment: Environment = Environment.SIM, window: int = 5000
) -> VenueSettings:
    return VenueSettings(rest, stream, "key", "secret", recv_window_ms=window, environment=environment)


@pytest.mark.parametrize("environment", [Environment.TESTNET, Environment.MAINNET])
def test_urls_for_a_real_venue_make_valid_settings(environment: Environment) -> None:
    rest, stream = urls_for(environment)
    assert not settings(rest, stream, environment).is_loopback


@pytest.mark.parametrize("environment", [Environment.SIM, Environment.PAPER])
def test_urls_for_an_embedded_exchange_do_not_exist(environment: Environment) -> None:
    with pytest.raises(ConfigurationError, match="embedded exchange"):
        urls_for(environment)


def test_settings_of_this_machine_are_loopback() -> None:
    assert settings().is_loopback


def test_settings_never_print_credentials() -> None:
    shown = repr(VenueSettings(*LOOPBACK, "CANARY-KEY", "CANARY-SECRET"))
    assert "CANARY" not in shown


@pytest.mark.parametrize(
    ("rest", "stream", "environment", "window", "message"),
    [
        ("ftp://x", LOOPBACK[1], Environment.SIM, 5000, "REST address"),
        ("http://x/path", LOOPBACK[1], Environment.SIM, 5000, "without a path"),
        (LOOPBACK[0], "http://x", Environment.SIM, 5000, "stream address"),
        (LOOPBACK[0], "ws://streams.local:1", Environment.SIM, 5000, "begins with 'stream'"),
        (*LOOPBACK, Environment.SIM, 0, "RECV_WINDOW_MS"),
        (*LOOPBACK, Environment.SIM, 60_001, "RECV_WINDOW_MS"),
        ("https://fapi.binance.com", "wss://fstream.binance.com", Environment.TESTNET, 5000, "real money"),
        ("https://fapi.binance.com", LOOPBACK[1], Environment.SIM, 5000, "real money"),
        (*LOOPBACK, Environment.MAINNET, 5000, "mode mainnet must use"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(
    rest: str, stream: str, environment: Environment, window: int, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        settings(rest, stream, environment, window)
