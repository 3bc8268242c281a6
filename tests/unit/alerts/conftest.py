"""A webhook server on loopback that answers as told, and an outbox in memory that keeps the port's contract."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from core.enums import Severity
from core.ports import Outbox, OutboxItem

Answer = tuple[int, dict[str, str], str]
OK: Answer = (200, {}, "ok")


class WebhookServer:
    """Answers requests with the queued answers in turn (then 200), keeps what was posted, or hangs until released."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.posted: list[dict[str, Any]] = []
        self.hang = False
        self.trickle = False
        self.released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if server.hang:
                    server.released.wait(20)
                    return
                server.posted.append(json.loads(body))
                if server.trickle:
                    self._trickle()
                    return
                status, headers, text = server.answers.pop(0) if server.answers else OK
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def _trickle(self) -> None:
                """One byte at a time, each well within any socket time-out."""
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                while not server.released.wait(0.02):
                    self.wfile.write(b".")
                    self.wfile.flush()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/T0/B0/canary-webhook-token"

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    webhook = WebhookServer()
    yield webhook
    webhook.close()


@dataclass
class MemoryOutbox(Outbox):
    """The outbox port over a dict: what is not sent is due at its retry time."""

    items: dict[int, OutboxItem] = field(default_factory=dict)
    retry_at: dict[int, int] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    errors: list[tuple[int, str, int]] = field(default_factory=list)
    broken: bool = False

    def add(self, severity: Severity = Severity.INFO, title: str = "title", text: str = "text") -> OutboxItem:
        number = len(self.items) + 1
        self.items[number] = OutboxItem(number, severity, title, text, {"mode": "sim"}, 1_000 + number, 0)
        return self.items[number]

    def due(self, now_ms: int, limit: int) -> list[OutboxItem]:
        if self.broken:
            raise OSError("disk I/O error")
        waiting = (item for number, item in self.items.items() if number not in self.sent)
        return [item for item in waiting if self.retry_at.get(item.id, 0) <= now_ms][:limit]

    def mark_sent(self, alert_id: int, now_ms: int) -> None:
        assert alert_id not in self.sent
        self.sent[alert_id] = now_ms

    def mark_failed(self, alert_id: int, error: str, retry_at_ms: int) -> None:
        self.errors.append((alert_id, error, retry_at_ms))
        self.retry_at[alert_id] = retry_at_ms
        self.items[alert_id] = replace(self.items[alert_id], attempts=self.items[alert_id].attempts + 1)


@pytest.fixture
def outbox() -> MemoryOutbox:
    return MemoryOutbox()


Advance = Callable[[float], None]
