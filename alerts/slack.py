"""Slack incoming webhook through slack-sdk, in a thread and with a deadline of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from alerts.channel import Delivered, Delivery, Failed, Message
from core.enums import Severity
from utils.redaction import redact, register_secret

TIMEOUT_S = 5.0
RETRY_AFTER_S = 30.0
"""Pause after a 429 that names none."""

_COLOURS = {Severity.INFO: "#2eb67d", Severity.WARNING: "#ecb22e", Severity.CRITICAL: "#e01e5a"}
_TEXT_MAX = 3_000  # Slack's limit for the text of a section block
_FIELDS_MAX = 10  # and for its fields


class SlackChannel:
    """Posts to one webhook. The library's own retries are off: the outbox retries, and survives a restart."""

    name = "slack"

    def __init__(self, webhook_url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        from slack_sdk.webhook import WebhookClient  # noqa: PLC0415 - only runs with a webhook need it

        register_secret(webhook_url)
        self._timeout_s = timeout_s
        self._client = WebhookClient(webhook_url, timeout=max(1, round(timeout_s)), retry_handlers=[])

    async def send(self, message: Message) -> Delivery:
        """Post one message. The deadline also covers an answer that trickles in, which socket time-outs do not."""
        payload = payload_of(message)
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await _in_daemon_thread(lambda: self._client.send(**payload))
        except TimeoutError:
            return Failed(f"no answer within {self._timeout_s:g} s")
        except Exception as error:  # DNS, refused connection, TLS: whatever the transport raises
            return Failed(redact(f"{type(error).__name__}: {error}"))
        return _read(response)


async def _in_daemon_thread(call: Callable[[], Any]) -> Any:
    """Run a blocking call in a thread that neither a hanging server nor the next message nor our exit waits for."""
    outcome: Future[Any] = Future()
    outcome.set_running_or_notify_cancel()  # from here on giving up waiting leaves the thread's future alone

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=work, name="slack", daemon=True).start()
    return await asyncio.wrap_future(outcome)


def payload_of(message: Message) -> dict[str, Any]:
    """Return the webhook's arguments: a plain text for notifications, blocks with a coloured bar for reading."""
    body = f"*{_escape(message.title)}*" + (f"\n{_escape(message.text)}" if message.text else "")
    blocks: list[dict[str, Any]] = [{"type": "section", "text": {"type": "mrkdwn", "text": body[:_TEXT_MAX]}}]
    pairs = list(message.fields.items())[:_FIELDS_MAX]
    if pairs:
        cells = [{"type": "mrkdwn", "text": f"*{_escape(name)}*\n{_escape(value)}"[:2_000]} for name, value in pairs]
        blocks.append({"type": "section", "fields": cells})
    return {
        "text": f"[{message.severity.value}] {_escape(message.title)}",
        "attachments": [{"color": _COLOURS[message.severity], "blocks": blocks}],
    }


def _escape(text: str) -> str:
    """Escape Slack's three control characters, so that no text can mention or link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _read(response: Any) -> Delivery:
    status = int(response.status_code)
    if status == 200:
        return Delivered()
    error = redact(f"HTTP {status}: {str(response.body)[:200]}")
    if status == 429:
        return Failed(error, retry_after_s=_retry_after(response.headers))
    return Failed(error, permanent=400 <= status < 500)


def _retry_after(headers: Any) -> float:
    text = next((value for name, value in dict(headers).items() if name.lower() == "retry-after"), "")
    text = text[0] if isinstance(text, list) and text else text
    try:
        return max(0.0, float(str(text)))
    except ValueError:
        return RETRY_AFTER_S
