"""The HTTP session that the SDK sends through: that of `requests`, less what it finds out anew at every request.

A trader asks one host with the same headers, proxies and certificates all day, and the interpreter that prepares a
request is the one that trades: half of the cost of an order was preparing. So the connection pool, the check of the
certificates and the headers are made once, cookies (the venue has none) are left out, and the address is taken as the
SDK wrote it. Pooling, TLS, time-outs and the exceptions are those of `requests` and urllib3.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import TooManyRedirects
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers, get_environ_proxies

from exchange.binance.settings import VenueSettings


class VenueSession(Session):
    """One host, `connections` kept alive; `on_written` is called when a request has been written, in its thread,
    `on_answer` hears every response before the SDK looks at it.

    Redirects are never followed: a 307 would send a POST again. They raise TooManyRedirects.
    """

    def __init__(
        self,
        settings: VenueSettings,
        connections: int,
        on_answer: Callable[[Response], None],
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._on_answer = on_answer
        self._fixed_headers: dict[str, str] = {name: str(value) for name, value in self.headers.items()}
        # With `trust_env` requests would look for proxies and a netrc file at every request, and would send loopback
        # traffic through a proxy; the proxies are therefore taken over here, and none for this machine.
        self.trust_env = False
        self.proxies = {} if settings.is_loopback else get_environ_proxies(settings.rest_url)
        self._authorities: str | bool = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        self._adapter = _OneHostAdapter(connections, on_written, has_proxy=bool(self.proxies))
        self.mount("https://", self._adapter)
        self.mount("http://", self._adapter)

    def request(  # type: ignore[override]  # noqa: PLR0917 - what the SDK passes, and nothing else
        self,
        method: str,
        url: str,
        params: str | None = None,
        data: str | None = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
        proxies: dict[str, str] | None = None,
    ) -> Response:
        """Send one request and return its answer, read to the end. `params` and `data` are encoded already.

        Raises what `requests` raises: ConnectTimeout, ReadTimeout, ConnectionError, SSLError, ChunkedEncodingError, ...
        """
        request = PreparedRequest()
        request.method = method
        request.url = f"{url}?{params}" if params else url
        request.headers = CaseInsensitiveDict(self._fixed_headers | (headers or {}))
        request.body = data
        if data is not None:
            request.headers["Content-Length"] = str(len(data))
            request.headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif method != "GET":
            request.headers["Content-Length"] = "0"
        response = self._adapter.send(
            request, timeout=timeout, verify=self._authorities, proxies=proxies or dict(self.proxies)
        )
        self._on_answer(response)
        _ = response.content  # reading it may raise, and gives the connection back
        if response.is_redirect:
            raise TooManyRedirects("Exceeded 0 redirects.", response=response)
        return response


class _OneHostAdapter(HTTPAdapter):
    """All requests go to one host with one set of certificates and proxies: its pool is looked up once."""

    def __init__(self, connections: int, on_written: Callable[[], None], *, has_proxy: bool) -> None:
        super().__init__(pool_connections=1, pool_maxsize=connections, max_retries=0)
        self.on_written = on_written
        self._has_proxy = has_proxy
        self._pool: Any = None

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        if self._pool is None:
            pool: Any = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
            super().cert_verify(pool, request.url or "", verify, cert)  # type: ignore[no-untyped-call]
            pool.ConnectionCls = _telling(pool.ConnectionCls, weakref.ref(self))
            self._pool = pool  # last: who finds it there uses it
        return self._pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: done when the pool was made (it would look for the file on the disk at every request)."""

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        if self._has_proxy or request.url is None:
            return super().request_url(request, proxies)
        return request.url[request.url.index("/", 8) :]  # behind the slashes of https://

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """Return the answer as `requests` does, without cookies."""
        response = Response()
        response.status_code = resp.status
        response.headers = CaseInsensitiveDict(resp.headers)
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw, response.reason = resp, resp.reason
        response.url, response.request = req.url or "", req
        return response


def _telling(kind: type[Any], adapter: weakref.ref[_OneHostAdapter]) -> type[Any]:
    """Return a class of connections that tell between writing a request and reading its answer.

    They know the adapter weakly: urllib3 keeps the connections of a pool until the pool is gone, so that a pool which
    its connections keep would never go, nor the sockets.
    """

    class Connection(kind):  # type: ignore[misc]
        def getresponse(self) -> Any:
            if (owner := adapter()) is not None:
                owner.on_written()
            return super().getresponse()

    return Connection
