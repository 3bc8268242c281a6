"""Slack through the real slack-sdk against a local server: 200, 429, 500, 404, hang, trickle, nobody there."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from alerts.channel import Delivered, Failed, Message
from alerts.slack import RETRY_AFTER_S, SlackChannel, payload_of
from core.enums import Severity
from tests.unit.alerts.conftest import WebhookServer

MESSAGE = Message(
    Severity.CRITICAL, "BTCUSDT: stop refused", "<@channel> price & more", {"limit": "loss", "value": "5"}
)


async def test_send_answered_200_is_delivered_with_title_text_and_fields(server: WebhookServer) -> None:
    assert await SlackChannel(server.url).send(MESSAGE) == Delivered()
    (posted,) = server.posted
    assert posted["text"] == "[critical] BTCUSDT: stop refused"
    (attachment,) = posted["attachments"]
    assert attachment["color"] == "#e01e5a"
    heading, fields = attachment["blocks"]
    assert heading["text"]["text"] == "*BTCUSDT: stop refused*\n&lt;@channel&gt; price &amp; more"
    assert [cell["text"] for cell in fields["fields"]] == ["*limit*\nloss", "*value*\n5"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((429, {"Retry-After": "17"}, "slow"), Failed("HTTP 429: slow", retry_after_s=17.0)),
        ((429, {}, "slow"), Failed("HTTP 429: slow", retry_after_s=RETRY_AFTER_S)),
        ((429, {"Retry-After": "soon"}, "slow"), Failed("HTTP 429: slow", retry_after_s=RETRY_AFTER_S)),
        ((500, {}, "oops"), Failed("HTTP 500: oops")),
        ((503, {}, "<html>busy</html>"), Failed("HTTP 503: <html>busy</html>")),
        ((404, {}, "no_service"), Failed("HTTP 404: no_service", permanent=True)),
        ((400, {}, "invalid_payload"), Failed("HTTP 400: invalid_payload", permanent=True)),
    ],
)
async def test_send_refused_says_why_and_when_to_try_again(
    server: WebhookServer, answer: tuple[int, dict[str, str], str], expected: Failed
) -> None:
    server.answers.append(answer)
    assert await SlackChannel(server.url).send(MESSAGE) == expected
    assert len(server.posted) == 1  # the library does not retry behind our back


@pytest.mark.parametrize("how", ["hang", "trickle"])
async def test_send_to_a_hanging_server_gives_up_in_time_and_blocks_nothing(server: WebhookServer, how: str) -> None:
    setattr(server, how, True)
    channel = SlackChannel(server.url, timeout_s=0.15)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    beside = asyncio.create_task(tick())
    started = time.monotonic()
    outcome = await channel.send(MESSAGE)
    elapsed = time.monotonic() - started
    beside.cancel()
    assert outcome == Failed("no answer within 0.15 s")
    assert elapsed < 2
    assert ticks >= 5
    # The next message does not wait behind the hanging one.
    setattr(server, how, False)
    assert await channel.send(MESSAGE) == Delivered()


async def test_send_to_nobody_fails_without_the_webhook_in_the_error(server: WebhookServer) -> None:
    url = server.url
    server.close()
    outcome = await SlackChannel(url).send(MESSAGE)
    assert isinstance(outcome, Failed) and not outcome.permanent
    assert "canary-webhook-token" not in outcome.error


async def test_send_error_text_echoing_the_webhook_is_masked(server: WebhookServer) -> None:
    server.answers.append((500, {}, f"cannot route {server.url}"))
    outcome = await SlackChannel(server.url).send(MESSAGE)
    assert outcome == Failed("HTTP 500: cannot route ****")


def test_payload_of_long_or_wide_message_stays_within_slacks_limits() -> None:
    wide = Message(Severity.INFO, "t" * 5_000, "x" * 5_000, {f"name{number}": "v" * 3_000 for number in range(30)})
    heading, fields = payload_of(wide)["attachments"][0]["blocks"]
    assert len(heading["text"]["text"]) == 3_000
    assert len(fields["fields"]) == 10
    assert all(len(cell["text"]) <= 2_000 for cell in fields["fields"])
    json.dumps(payload_of(wide))


def test_payload_of_message_without_fields_has_no_empty_block() -> None:
    assert len(payload_of(Message(Severity.INFO, "t", ""))["attachments"][0]["blocks"]) == 1
