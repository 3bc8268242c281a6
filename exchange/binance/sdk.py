"""The one place that knows which SDK is installed, and that keeps its log lines from telling secrets."""

from __future__ import annotations

import logging
from importlib.metadata import version

from core.errors import ConfigurationError

PROVED_VERSIONS = {
    "binance-sdk-derivatives-trading-usds-futures": "18.",
    "binance-common": "4.",
}
"""Version prefixes whose behaviour `tests/contract/test_venue_sdk.py` holds still."""


def require_proved_sdk() -> None:
    """Raise ConfigurationError when an SDK is installed whose behaviour was never proved with this adapter."""
    for name, prefix in PROVED_VERSIONS.items():
        found = version(name)
        if not found.startswith(prefix):
            raise ConfigurationError(
                f"{name} {found} is installed, but this adapter was proved with {prefix}x: "
                f"install it with `uv sync`, or run tests/contract/test_venue_sdk.py and extend PROVED_VERSIONS"
            )


class _SdkChatter(logging.Filter):
    """Drops the SDK's records below WARNING: it logs addresses, listen keys and payloads through the root logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or "binance_common" not in record.pathname


_CHATTER = _SdkChatter()
_TALKATIVE = ("urllib3", "requests", "aiohttp", "ConnectorLogger")


def quiet_sdk_loggers() -> None:
    """Raise every logger that would print secrets or addresses at DEBUG or INFO to WARNING; safe to call twice."""
    root = logging.getLogger()
    if _CHATTER not in root.filters:
        root.addFilter(_CHATTER)
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if logger.level < logging.WARNING:
            logger.setLevel(logging.WARNING)
