"""The REST gateway: one synchronous function from a raw request to a raw response.

Faults win in this order: ban and weight, key, time, signature, parameters, then the engine's own checks.
"""

from __future__ import annotations

import orjson

from simulator.engine.errors import ApiError
from simulator.server import routes_account, routes_market, routes_orders
from simulator.server.auth import Credentials, authorize
from simulator.server.limits import Throttled
from simulator.server.parameters import Parameters
from simulator.server.routing import Call, Route, Venue, table
from simulator.server.wire import RawRequest, RawResponse, refusal
from utils.logging import get_logger

ROUTES = table([*routes_market.ROUTES, *routes_orders.ROUTES, *routes_account.ROUTES])
log = get_logger(__name__)


class Gateway:
    """Answers requests over one `Venue`. Does no I/O; the caller journals and publishes what a request caused."""

    def __init__(self, venue: Venue, credentials: Credentials) -> None:
        self.venue = venue
        self._credentials = credentials

    def handle(self, request: RawRequest, gateway_now_ms: int) -> RawResponse:
        """Answer one request that arrived at wall time `gateway_now_ms`."""
        limiter = self.venue.limiter
        route = ROUTES.get((request.method, request.path))
        headers: dict[str, str] = {}
        try:
            if route is None:
                raise ApiError(-5000, f"Path {request.path}, Method {request.method} is invalid", 404)
            body = self._answer(route, request, gateway_now_ms)
        except ApiError as error:
            if isinstance(error, Throttled):
                headers["Retry-After"] = str(error.retry_after_s)
            headers |= limiter.weight_headers(request.ip, gateway_now_ms)
            return refusal(error, headers)
        except Exception:
            log.exception("request failed inside the exchange", method=request.method, path=request.path)
            unknown = ApiError(-1000, "An unknown error occurred while processing the request.", 500)
            return refusal(unknown, headers)
        headers = limiter.weight_headers(request.ip, gateway_now_ms)
        if route.counts_order:
            headers |= limiter.order_headers(gateway_now_ms)
        return RawResponse(200, body, headers)

    def _answer(self, route: Route, request: RawRequest, now_ms: int) -> bytes:
        parameters = Parameters(request.query, request.body)
        self.venue.limiter.charge(request.ip, route.cost(parameters), now_ms)
        authorize(request, parameters, route.security, self._credentials, now_ms)
        if route.counts_order:
            self.venue.limiter.count_order(now_ms)
        return orjson.dumps(route.handler(Call(self.venue, parameters, now_ms)))
