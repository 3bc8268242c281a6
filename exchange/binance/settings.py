"""Where the venue is and how we sign: one environment decides both addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from core.enums import Environment
from core.errors import ConfigurationError

_URLS: dict[Environment, tuple[str, str]] = {
    Environment.TESTNET: ("https://demo-fapi.binance.com", "wss://fstream.binancefuture.com"),
    Environment.MAINNET: ("https://fapi.binance.com", "wss://fstream.binance.com"),
}
_MAINNET_HOSTS = frozenset({"fapi.binance.com", "fstream.binance.com"})
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
RECV_WINDOW_MS_MAX = 60_000


def urls_for(environment: Environment) -> tuple[str, str]:
    """Return (REST base, stream base) of a real venue; raises ConfigurationError for sim and paper, which have none."""
    if environment not in _URLS:
        raise ConfigurationError(
            f"mode {environment.value} trades on an embedded exchange: it has no fixed address; "
            "start one and take the addresses that it prints"
        )
    return _URLS[environment]


@dataclass(frozen=True, slots=True)
class VenueSettings:
    """Addresses, credentials and time limits of one venue account.

    `rest_url` and `stream_url` are bases without path ("https://host", "wss://host"). `recv_window_ms` is sent with
    every signed request. `ws_max_backoff_s` caps the pause between two connection attempts of a stream.
    Raises ConfigurationError when the addresses are malformed or do not belong to `environment`.
    """

    rest_url: str
    stream_url: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    recv_window_ms: int = 5000
    ws_max_backoff_s: float = 60.0
    environment: Environment = Environment.SIM

    def __post_init__(self) -> None:
        _check_url("REST address", self.rest_url, ("http", "https"))
        stream_host = _check_url("stream address", self.stream_url, ("ws", "wss"))
        if stream_host.startswith("stream"):
            # The SDK inserts the category by replacing "/stream" in the whole address, which would hit the host.
            raise ConfigurationError(
                f"stream address {self.stream_url}: the SDK cannot reach a host whose name begins with "
                "'stream'; use another name or the IP address"
            )
        if not 1 <= self.recv_window_ms <= RECV_WINDOW_MS_MAX:
            raise ConfigurationError(
                f"RECV_WINDOW_MS must be between 1 and {RECV_WINDOW_MS_MAX} (got {self.recv_window_ms})"
            )
        self._check_environment()

    @property
    def is_loopback(self) -> bool:
        """True when REST goes to this machine: no proxy may then stand in between."""
        return urlsplit(self.rest_url).hostname in _LOOPBACK_HOSTS

    def _check_environment(self) -> None:
        hosts = {urlsplit(url).hostname for url in (self.rest_url, self.stream_url)}
        real = hosts & _MAINNET_HOSTS
        if self.environment is Environment.MAINNET and real != _MAINNET_HOSTS:
            raise ConfigurationError(
                f"mode mainnet must use {' and '.join(_URLS[Environment.MAINNET])}, "
                f"not {self.rest_url} and {self.stream_url}"
            )
        if self.environment is not Environment.MAINNET and real:
            raise ConfigurationError(
                f"{sorted(str(host) for host in real)[0]} trades real money, but the mode is "
                f"{self.environment.value}: use mode mainnet or another address"
            )


def _check_url(name: str, url: str, schemes: tuple[str, ...]) -> str:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname or parts.path not in ("", "/"):
        raise ConfigurationError(f"{name} {url!r} must look like {schemes[-1]}://host[:port] without a path")
    return parts.hostname
