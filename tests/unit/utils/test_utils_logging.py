"""Logging: canary secrets, planted plain and encoded at DEBUG on many paths, appear in no output."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from utils.logging import close_logging, get_logger, install_asyncio_hook, register_secret, setup_logging

CANARY = "kAn4ry/s3cret+value=="
LATE_CANARY = "late canary & more"
SHAPES = {
    "signature": "9f86d081884c7d659a2feaa0",
    "listen_key": "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1",
    "webhook": "https://hooks.slack.com/services/T0001/B0001/abcdefghijkl",
    "reference": "op://trading/binance/secret-item",
    "database": "postgresql://trader:hunter2hunter@db/x",
}
NEEDLES = [
    *{CANARY, quote(CANARY, safe=""), quote_plus(CANARY), quote(CANARY, safe="").lower()},
    *{LATE_CANARY, quote(LATE_CANARY), quote_plus(LATE_CANARY)},
    *(SHAPES["signature"], SHAPES["listen_key"], "T0001", "abcdefghijkl", "secret-item", "hunter2hunter"),
]


class Outputs:
    """The log file and what went to the console so far."""

    def __init__(self, file: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.file = file
        self._capture = capture
        self._console = ""

    @property
    def console(self) -> str:
        self._console += self._capture.readouterr().err
        return self._console

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]

    @property
    def everything(self) -> str:
        return self.console + self.file.read_text(encoding="utf-8")


@pytest.fixture
def outputs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Outputs]:
    """Logging set up at DEBUG with console and file, everything restored afterwards."""
    root = logging.getLogger()
    before = (root.level, root.filters[:], logging.getLogRecordFactory(), sys.excepthook, threading.excepthook)
    levels = {name: logging.getLogger(name).level for name in ("urllib3", "slack_sdk", "aiohttp")}
    path = setup_logging("DEBUG", tmp_path / "logs", console=True, secrets=[CANARY, "", "abc"])
    yield Outputs(path, capsys)
    close_logging()
    root.setLevel(before[0])
    root.filters[:] = before[1]
    logging.setLogRecordFactory(before[2])
    sys.excepthook, threading.excepthook = before[3], before[4]
    logging.captureWarnings(False)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def plant(secret: str) -> None:
    """Log `secret` in every way that product code and libraries might."""
    ours, stdlib, library = (
        get_logger("executor.core"),
        logging.getLogger("exchange"),
        logging.getLogger("urllib3.pool"),
    )
    for form in (secret, quote(secret, safe=""), quote_plus(secret), quote(secret, safe="").lower()):
        ours.debug(f"event {form}", field=form, nested={"list": [form, (form,)]}, error=ValueError(form))
        stdlib.debug("message %s %r", form, {"key": form})
        stdlib.info("named %(value)s", {"value": form})
        stdlib.debug("extra", extra={"detail": form})
        library.warning("GET https://fapi/x?a=%s", form)
        logging.getLogger("SomeLibrary").error("bytes %s", form.encode())
        logging.warning("root %s", form)
        stdlib.warning("broken format %d", form)
        warnings.warn(f"warned {form}", stacklevel=1)
        try:
            try:
                raise KeyError(form)
            except KeyError as error:
                raise RuntimeError(f"caused by {form}") from error
        except RuntimeError:
            ours.exception("structlog exception")
            stdlib.exception("stdlib exception %s", form)
            sys.excepthook(*sys.exc_info())
        stdlib.error("stack", stack_info=True)


def test_setup_logging_registered_secrets_appear_in_no_output(outputs: Outputs) -> None:
    plant(CANARY)
    register_secret(LATE_CANARY)
    plant(LATE_CANARY)
    text = outputs.everything
    assert not [needle for needle in NEEDLES if needle in text]
    assert outputs.console.count("event ****") == 8
    # The lines themselves are there, masked: an empty log would satisfy the assertion above.
    events = [line["event"] for line in outputs.lines]
    assert events.count("event ****") == 8
    assert sum("****" in json.dumps(line) for line in outputs.lines) >= 70


def test_setup_logging_unregistered_secret_shapes_are_masked(outputs: Outputs) -> None:
    log = get_logger("exchange.binance")
    log.debug(f"POST /fapi/v1/order?symbol=X&signature={SHAPES['signature']}&recvWindow=1")
    log.debug(f"connect wss://host/ws/{SHAPES['listen_key']}")
    log.debug(f"connect wss://host/ws?listenKey={SHAPES['signature']}")
    log.debug(json.dumps({"apiKey": SHAPES["signature"], "apiSecret": SHAPES["signature"]}))
    log.debug(str({"X-MBX-APIKEY": SHAPES["signature"]}), headers=[("X-MBX-APIKEY", SHAPES["signature"])])
    log.debug(f"nested url%3Fsignature%3D{SHAPES['signature']}%26x")
    for name in ("webhook", "reference", "database"):
        log.debug(f"value {SHAPES[name]} end")
    text = outputs.everything
    assert not [needle for needle in NEEDLES if needle in text]
    assert "symbol=X&signature=****&recvWindow=1" in text
    assert len(outputs.lines) == 9


def test_foreign_handler_sees_no_secret(outputs: Outputs) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = logging.getLogger("SomeLibrary")
    logger.addHandler(handler)
    try:
        logger.warning("token %s", CANARY)
        try:
            raise ValueError(CANARY)
        except ValueError:
            logger.exception("failed")
    finally:
        logger.removeHandler(handler)
    assert "ValueError: ****" in stream.getvalue()
    assert CANARY not in stream.getvalue()


def test_thread_and_event_loop_errors_are_logged_redacted(outputs: Outputs) -> None:
    def fail() -> None:
        raise ValueError(f"thread {CANARY}")

    thread = threading.Thread(target=fail, name="worker")
    thread.start()
    thread.join()

    async def loop_error() -> None:
        loop = asyncio.get_running_loop()
        install_asyncio_hook(loop)
        loop.call_exception_handler({"message": f"loop {CANARY}", "exception": ValueError(CANARY)})

    asyncio.run(loop_error())
    events = {str(line["event"]): str(line.get("exception")) for line in outputs.lines}
    assert "ValueError: thread ****" in events["uncaught ValueError in thread worker"]
    assert "ValueError: ****" in events["event loop: loop ****"]
    assert CANARY not in outputs.everything


def test_library_records_below_warning_are_dropped_and_ours_kept(outputs: Outputs) -> None:
    for name in ("urllib3.connectionpool", "aiohttp.client", "slack_sdk.webhook", "unheard_of_library"):
        logger = logging.getLogger(name)
        logger.debug("chatter")
        logger.info("chatter")
        logger.warning("heard %s", name)
    logging.info("root chatter")
    get_logger("executor").debug("ours")
    assert [line["event"] for line in outputs.lines] == [
        "heard urllib3.connectionpool",
        "heard aiohttp.client",
        "heard slack_sdk.webhook",
        "heard unheard_of_library",
        "ours",
    ]


def test_json_line_carries_level_logger_time_and_fields(outputs: Outputs) -> None:
    get_logger("executor.core").info("entry filled", symbol="BTCUSDT", quantity=Decimal("0.010"), attempts=2)
    (line,) = outputs.lines
    assert str(line.pop("time")).endswith("Z")
    assert line == {
        "event": "entry filled",
        "level": "info",
        "logger": "executor.core",
        "symbol": "BTCUSDT",
        "quantity": "0.010",
        "attempts": 2,
    }


def test_console_line_is_short(outputs: Outputs) -> None:
    get_logger("executor.core").warning("stop refused", symbol="BTCUSDT")
    assert outputs.console[8:] == " WARNING  executor: stop refused symbol=BTCUSDT\n"


def test_setup_logging_again_replaces_the_former_one(outputs: Outputs, tmp_path: Path) -> None:
    second = setup_logging("INFO", tmp_path / "other", console=False, secrets=[], file_name="exchange.jsonl")
    get_logger("main").info("once")
    get_logger("main").debug("hidden")
    assert second == tmp_path / "other" / "exchange.jsonl"
    assert [json.loads(line)["event"] for line in second.read_text(encoding="utf-8").splitlines()] == ["once"]
    assert outputs.everything == ""


def test_log_file_rotates_at_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outputs: Outputs) -> None:
    monkeypatch.setattr("utils.logging.FILE_BYTES_MAX", 2_000)
    path = setup_logging("INFO", tmp_path / "small", console=False, secrets=[])
    for number in range(60):
        get_logger("main").info("line", number=number)
    files = sorted(path.parent.glob("trader.jsonl*"))
    assert len(files) > 1
    numbers = {json.loads(line)["number"] for file in files for line in file.read_text().splitlines()}
    assert numbers == set(range(60))


def test_unwritable_line_is_dropped_without_its_content(outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
    notices = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", notices)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("utils.logging._JsonFile.shouldRollover", full)
    get_logger("main").info("lost content")
    get_logger("main").info("lost content")
    assert notices.getvalue() == "logging failed (OSError); lines are being lost\n"
