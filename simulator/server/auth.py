"""Who may call: API key, timestamp and signature, checked in this order over the raw received text."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum

from simulator.engine.errors import ApiError
from simulator.server.parameters import Parameters, bad_value
from simulator.server.wire import RawRequest

DEFAULT_RECV_WINDOW_MS = 5_000
MAX_RECV_WINDOW_MS = 60_000
MAX_AHEAD_MS = 1_000


class Security(Enum):
    """What an end point asks for."""

    NONE = "none"
    KEY = "key"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one account's key and HMAC secret."""

    api_key: str
    api_secret: str


def authorize(
    request: RawRequest, parameters: Parameters, security: Security, credentials: Credentials, now_ms: int
) -> None:
    """Raise `ApiError` unless the request may pass `security` at gateway time `now_ms`."""
    if security is Security.NONE:
        return
    check_key(request.api_key, credentials)
    if security is Security.SIGNED:
        check_time(parameters, now_ms)
        check_signature(request, credentials)


def check_key(api_key: str | None, credentials: Credentials) -> None:
    if not api_key:
        raise ApiError(-2014, "API-key format invalid.", 401)
    if not hmac.compare_digest(api_key.encode(), credentials.api_key.encode()):
        raise ApiError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def check_time(parameters: Parameters, now_ms: int) -> None:
    """Accept iff timestamp < now + 1000 ms and now - timestamp ≤ recvWindow; else -1021."""
    timestamp = parameters.required_integer("timestamp")
    window = parameters.integer("recvWindow")
    if window is None:
        window = DEFAULT_RECV_WINDOW_MS
    if not 0 < window <= MAX_RECV_WINDOW_MS:
        bad_value("recvWindow")
    if timestamp >= now_ms + MAX_AHEAD_MS:
        raise ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - timestamp > window:
        raise ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def check_signature(request: RawRequest, credentials: Credentials) -> None:
    """Compare the HMAC-SHA256 of query + body, without their `signature`, joined without separator."""
    query, from_query = _split_signature(request.query)
    body, from_body = _split_signature(request.body)
    given = from_query or from_body
    if not given:
        raise ApiError(-1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
    expected = hmac.new(credentials.api_secret.encode(), (query + body).encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), given.lower().encode()):
        raise ApiError(-1022, "Signature for this request is not valid.")


def _split_signature(text: str) -> tuple[str, str]:
    """Return the text without its `signature` pair, and that pair's value."""
    if "signature=" not in text:
        return text, ""
    kept: list[str] = []
    signature = ""
    for pair in text.split("&"):
        if pair.startswith("signature="):
            signature = pair[len("signature=") :]
        else:
            kept.append(pair)
    return "&".join(kept), signature
