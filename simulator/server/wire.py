"""What travels between the HTTP server and the gateway: raw requests in, raw responses out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from simulator.engine.errors import ApiError


@dataclass(frozen=True, slots=True)
class RawRequest:
    """One request exactly as received: `query` and `body` are the unparsed texts that the client signed."""

    method: str
    path: str
    query: str = ""
    body: str = ""
    api_key: str | None = None
    ip: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class RawResponse:
    """One answer: HTTP status, JSON body and the headers beyond Content-Type."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(error: ApiError, headers: Mapping[str, str] | None = None) -> RawResponse:
    """Return the venue's error form `{"code", "msg"}` with the error's own HTTP status."""
    body = orjson.dumps({"code": error.code, "msg": error.message})
    return RawResponse(error.http_status, body, headers or {})
