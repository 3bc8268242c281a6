"""The one place that knows which SDK is installed, what it may log, and what it reads JSON with."""

from __future__ import annotations

import json
import logging
from importlib.metadata import version
from types import ModuleType, SimpleNamespace

import binance_common.utils
import binance_common.websocket
import orjson

from core.errors import ConfigurationError

PROVED_VERSIONS = {
    "binance-sdk-derivatives-trading-usds-futures": "18.",
    "binance-common": "4.",
}
"""Version prefixes whose behaviour `tests/contract/test_venue_sdk.py` holds still."""


def prepare_sdk() -> None:
    """Make sure that the SDK is one that we know, silence it, and hurry it; safe to call twice. Raises
    ConfigurationError."""
    require_proved_sdk()
    quiet_sdk_loggers()
    hurry_sdk_json()


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


_QUICK_JSON = SimpleNamespace(loads=orjson.loads, dumps=json.dumps, JSONDecodeError=json.JSONDecodeError)
_READERS: tuple[ModuleType, ...] = (binance_common.websocket, binance_common.utils)


def hurry_sdk_json() -> None:
    """Have the SDK's modules read JSON with orjson; safe to call twice.

    The SDK reads every frame and every answer on its way to us. With the standard library that was a tenth of the
    loop's work while 263 candles close together. What orjson refuses (NaN, unpaired surrogates)
    no venue sends; it raises a JSONDecodeError as well.
    """
    for module in _READERS:
        vars(module)["json"] = _QUICK_JSON
