"""Secrets planted in the environment, a run in which everything fails, and a search through all that is left behind."""

from __future__ import annotations

import json
import sqlite3
import threading
import urllib.error
import urllib.request
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.support import Place

pytestmark = pytest.mark.slow
KEY = "cAnArYkEy" + "7Qz" * 18 + "A"
SECRET = "cAnArYsEcReT" + "9Xw" * 17 + "B"
TOKEN = "ops_cAnArYtOkEn4Vb7Nm2Kp8Lr"
WEBHOOK_PATH = "/services/T0CANARY0/B0CANARY0/cAnArYhOoK5Td8Fg"
PASSWORD = "cAnArYpAsSwOrD31"
NEEDLES = (KEY, SECRET, TOKEN, WEBHOOK_PATH.rpartition("/")[2], PASSWORD)
assert len(KEY) == len(SECRET) == 64


class FailingVenue(BaseHTTPRequestHandler):
    """Passes requests on to the exchange; every third one is dropped, every fifth answered with an echo of itself."""

    upstream = ""
    count = 0
    lock = threading.Lock()

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with FailingVenue.lock:
            FailingVenue.count += 1
            number = FailingVenue.count
        if self.path.startswith(WEBHOOK_PATH):
            self.answer(500, f"no hook at {self.path}".encode())
        elif number > 12 and number % 3 == 0:
            self.connection.close()
        elif number > 12 and number % 5 == 0:
            said = {"code": -1000, "msg": f"{self.path} {self.headers.get('X-MBX-APIKEY')} {body.decode()}"}
            self.answer(503, json.dumps(said).encode())
        else:
            self.pass_on(body)

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def pass_on(self, body: bytes) -> None:
        names = ("X-MBX-APIKEY", "Content-Type")
        headers = {name: value for name in names if (value := self.headers.get(name))}
        request = urllib.request.Request(self.upstream + self.path, body or None, headers, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                self.answer(reply.status, reply.read())
        except urllib.error.HTTPError as refusal:
            self.answer(refusal.code, refusal.read())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the test's own output free of the paths that it looks for."""


def text_of(file: Path) -> str:
    """Return a file as text; of a database every row of every table, so that no page layout can hide one."""
    raw = file.read_bytes()
    text = raw.decode("latin-1")
    if raw.startswith(b"SQLite format 3"):
        with closing(sqlite3.connect(file)) as database:
            text += "\n".join(database.iterdump())
    return text


def test_planted_secrets_are_found_nowhere(tmp_path: Path) -> None:
    place, exchange_place = Place(tmp_path / "trader"), Place(tmp_path / "exchange")
    for folder in (place.folder, exchange_place.folder):
        folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), FailingVenue)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy = f"http://127.0.0.1:{server.server_address[1]}"
    planted = {
        "LOG_LEVEL": "DEBUG",
        "EXCHANGE_API_KEY": KEY,
        "EXCHANGE_API_SECRET": SECRET,
        "BINANCE_API_KEY": KEY,
        "BINANCE_API_SECRET": SECRET,
        "OP_SERVICE_ACCOUNT_TOKEN": TOKEN,
        "SLACK_WEBHOOK_URL": proxy + WEBHOOK_PATH,
    }
    said: list[str] = []
    keys = {"EXCHANGE_API_KEY": KEY, "EXCHANGE_API_SECRET": SECRET}
    with exchange_place.running("exchange", "--port", "0", "--speed", "600", **keys) as exchange:
        address = exchange.wait_for(r"REST +(http://\S+)")[1]
        FailingVenue.upstream = address
        # Half of all requests fail, and the streams cannot be had at all: this address answers no WebSocket.
        with place.running("--exchange", proxy, **planted) as trader:
            trader.wait_for("stream market .*attempt 4 failed")
            trader.stop(timeout_s=90)
            said.append(trader.output)
        for arguments, more in (
            # The right exchange, another secret: every signature is refused.
            (("--exchange", address, "--for", "5"), {"EXCHANGE_API_SECRET": SECRET[::-1]}),
            # A healthy run with everything planted, so that the database has rows to search.
            (("--exchange", address, "--for", "6"), {}),
            (("--db", f"postgresql://trader:{PASSWORD}@127.0.0.1:9/x", "--for", "2"), {}),
            (("--for", "2"), {"BINANCE_API_KEY": "op://vault/cAnArYkEy/field"}),
            (("check", "--no-connect"), {}),
        ):
            finished = place.run(*arguments, timeout_s=150, **{**planted, **more})
            said.append(finished.stdout + finished.stderr)
            assert "Traceback" not in said[-1], said[-1][-3_000:]
    server.shutdown()

    assert "stream market" in said[0]
    found = {str(file): text_of(file) for file in tmp_path.rglob("*") if file.is_file()}
    assert any(name.endswith("trader.jsonl") for name in found)
    assert any(name.endswith("trader.db") for name in found)
    assert FailingVenue.count > 20
    found |= {f"output {number}": text for number, text in enumerate(said)}
    needles = (*NEEDLES, SECRET[::-1], "op://vault/cAnArYkEy")
    leaks = [(name, needle[:12]) for name, text in found.items() for needle in needles if needle in text]
    assert leaks == []


def test_search_would_find_a_leak(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as database:
        database.execute("CREATE TABLE notes (text TEXT)")
        database.execute("INSERT INTO notes VALUES (?)", (f"key={KEY}",))
        database.commit()
    assert urlsplit(f"http://h{WEBHOOK_PATH}").path == WEBHOOK_PATH
    assert KEY in text_of(tmp_path / "x.db")
