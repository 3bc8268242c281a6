"""The session behind the SDK: what it sends, what it leaves out, and that it never sends a request twice."""

from __future__ import annotations

import asyncio
import gc
import gzip
import weakref
from collections.abc import AsyncIterator

import pytest
import requests
from aiohttp import web
from requests.exceptions import TooManyRedirects

from exchange.binance.session import VenueSession
from exchange.binance.settings import VenueSettings
from tests.contract.venue_double import VenueDouble, raw, venue_double

PATH = "/fapi/v1/order"


@pytest.fixture
async def venue() -> AsyncIterator[VenueDouble]:
    async with venue_double() as double:
        yield double


class Heard:
    """What `on_answer` was told."""

    def __init__(self) -> None:
        self.answers: list[requests.Response] = []

    def __call__(self, response: requests.Response) -> None:
        self.answers.append(response)


def session_for(venue: VenueDouble, heard: Heard | None = None) -> VenueSession:
    return VenueSession(venue.settings, 2, heard or Heard())


def url(venue: VenueDouble) -> str:
    return venue.settings.rest_url + PATH


async def test_session_request_without_body_sends_the_encoded_query_as_it_is(venue: VenueDouble) -> None:
    venue.answers["POST", PATH] = {"orderId": 1}
    query = "symbol=AAAUSDT&newClientOrderId=a%2Fb"
    answer = await asyncio.to_thread(
        session_for(venue).request, "POST", url(venue), query, None, {"X-MBX-APIKEY": "k"}, 2.0
    )
    (hit,) = venue.hits
    assert answer.json() == {"orderId": 1}
    assert hit.raw_query == query
    assert hit.body == b""
    assert hit.headers["Content-Length"] == "0"
    assert hit.headers["X-MBX-APIKEY"] == "k"
    assert hit.headers["Connection"] == "keep-alive"


async def test_session_request_with_body_declares_it_as_a_form(venue: VenueDouble) -> None:
    venue.answers["POST", PATH] = {}
    await asyncio.to_thread(session_for(venue).request, "POST", url(venue), "a=1", "b=2&c=3", {}, 2.0)
    (hit,) = venue.hits
    assert hit.body == b"b=2&c=3"
    assert hit.headers["Content-Type"] == "application/x-www-form-urlencoded"


async def test_session_sends_the_same_as_requests_does(venue: VenueDouble) -> None:
    venue.answers["GET", PATH] = {}
    venue.answers["DELETE", PATH] = {}
    ours, theirs = session_for(venue), requests.Session()
    theirs.trust_env = False
    headers = {"X-MBX-APIKEY": "k", "User-Agent": "sdk", "Accept": "application/json"}
    for method in ("GET", "DELETE"):
        for session in (ours, theirs):
            await asyncio.to_thread(
                lambda method=method, session=session: session.request(
                    method=method, url=url(venue), params="a=1&b=x%20y", headers=headers, timeout=2.0
                )
            )
        first, second = venue.hits[-2:]
        assert first.raw_query == second.raw_query
        assert first.headers == second.headers
        assert first.body == second.body


async def test_session_uses_one_connection_for_requests_that_follow_one_another(venue: VenueDouble) -> None:
    ports: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.json_response({})

    venue.answers["GET", PATH] = answer
    session = session_for(venue)
    for _ in range(3):
        await asyncio.to_thread(session.request, "GET", url(venue), "", None, {}, 2.0)
    assert len(ports) == 3
    assert len(set(ports)) == 1


async def test_session_that_nobody_holds_any_more_goes_with_its_connections(venue: VenueDouble) -> None:
    venue.answers["POST", PATH] = {}
    written: list[int] = []

    def use_and_drop() -> weakref.ref[VenueSession]:
        held: list[VenueSession] = []  # the callback knows the session, as that of the client does
        session = VenueSession(venue.settings, 2, Heard(), lambda: written.append(len(held)))
        held.append(session)
        session.request("POST", url(venue), "symbol=A", None, {}, 2.0)
        return weakref.ref(session)

    gone = await asyncio.to_thread(use_and_drop)
    assert written == [1]
    gc.collect()
    assert gone() is None


async def test_session_keeps_no_cookies(venue: VenueDouble) -> None:
    venue.answers["GET", PATH] = raw(200, "{}", Set_Cookie="id=1; Path=/")
    session = session_for(venue)
    for _ in range(2):
        await asyncio.to_thread(session.request, "GET", url(venue), "", None, {}, 2.0)
    assert [hit for hit in venue.hits if "Cookie" in hit.headers] == []


async def test_session_redirect_raises_and_is_not_followed(venue: VenueDouble) -> None:
    heard = Heard()
    venue.answers["POST", PATH] = raw(307, "", Location=PATH)
    with pytest.raises(TooManyRedirects):
        await asyncio.to_thread(session_for(venue, heard).request, "POST", url(venue), "a=1", None, {}, 2.0)
    assert len(venue.hits) == 1
    assert [answer.status_code for answer in heard.answers] == [307]


async def test_session_reads_a_compressed_answer(venue: VenueDouble) -> None:
    async def answer(_: web.Request) -> web.Response:
        body = gzip.compress(b'{"a": 1}')
        return web.Response(body=body, content_type="application/json", headers={"Content-Encoding": "gzip"})

    venue.answers["GET", PATH] = answer
    got = await asyncio.to_thread(session_for(venue).request, "GET", url(venue), "", None, {}, 2.0)
    assert got.json() == {"a": 1}


async def test_session_hears_an_answer_whose_body_breaks_off(venue: VenueDouble) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"orderId"')
        assert request.transport is not None
        request.transport.close()
        return response

    heard = Heard()
    venue.answers["POST", PATH] = answer
    with pytest.raises(requests.RequestException):
        await asyncio.to_thread(session_for(venue, heard).request, "POST", url(venue), "a=1", None, {}, 2.0)
    assert [one.status_code for one in heard.answers] == [200]


def test_session_to_this_machine_uses_no_proxy_and_one_elsewhere_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    here = VenueSettings("http://127.0.0.1:1", "ws://127.0.0.1:1", "k", "s")
    elsewhere = VenueSettings("https://venue.example", "wss://venue.example", "k", "s")
    assert VenueSession(here, 1, Heard()).proxies == {}
    assert VenueSession(elsewhere, 1, Heard()).proxies["https"] == "http://proxy.example:3128"


def test_session_takes_the_certificates_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = VenueSettings("https://venue.example", "wss://venue.example", "k", "s")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "company.pem")
    assert VenueSession(settings, 1, Heard())._authorities == "company.pem"
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    assert VenueSession(settings, 1, Heard())._authorities is True
