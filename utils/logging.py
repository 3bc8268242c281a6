"""Sets logging up: JSON lines with rotation into a file, short lines on the console, secrets in neither.

Every record of every library passes here: redacted when it is created (so that handlers which others attach see no
secret either) and once more when it is written (which covers extra fields). Libraries speak from WARNING on.
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import sys
import threading
import traceback
from collections.abc import Iterable
from decimal import Decimal
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, ProcessorReturnValue, WrappedLogger

from utils.redaction import redact, register_secret

__all__ = ["close_logging", "get_logger", "install_asyncio_hook", "is_ours", "register_secret", "setup_logging"]

LOG_FILE = "trader.jsonl"
FILE_BYTES_MAX = 20 * 1024 * 1024
FILES_KEPT = 10

_OURS = frozenset(
    {
        *("__main__", "main", "alerts", "backtest", "benchmarks", "commands", "config", "control", "core", "dashboard"),
        *("database", "exchange", "executor", "learning", "simulator", "status", "strategies", "tests", "utils"),
    }
)
_CHATTY = (
    *("aiohttp", "asyncio", "alembic", "binance_common", "binance_sdk_derivatives_trading_usds_futures"),
    *("onepassword", "requests", "slack_sdk", "sqlalchemy", "urllib3", "watchfiles", "websockets"),
)
"""Libraries whose DEBUG lines quote URLs and payloads; capped at the source, the handlers cap every other one."""

_installed: list[logging.Handler] = []


def is_ours(logger: str) -> bool:
    """True for the loggers of this project's own modules."""
    return logger.partition(".")[0] in _OURS


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module: `log = get_logger(__name__)`, then `log.info("entry filled", symbol=...)`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def setup_logging(
    level: str, log_dir: Path, console: bool, secrets: Iterable[str], *, file_name: str = LOG_FILE
) -> Path:
    """Route all logging of the process to `log_dir/file_name` and, when `console`, to stderr; return the file.

    `secrets` are masked from the first line on. Uncaught exceptions of the main thread and of other threads are
    logged, redacted, instead of printed. Calling it again replaces the earlier set-up. Raises OSError when the
    folder cannot be written.
    """
    register_secret(*secrets)
    log_dir.mkdir(parents=True, exist_ok=True)
    path = log_dir / file_name
    handlers: list[logging.Handler] = [_json_file(path)]
    if console:
        handlers.append(_console())
    _configure_structlog()
    close_logging()
    _replace_root_handlers(handlers, level.upper())
    logging.setLogRecordFactory(_redacted_record)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    return path


def close_logging() -> None:
    """Flush and detach our handlers, so that the folder can be removed or another set-up can follow."""
    root = logging.getLogger()
    while _installed:
        handler = _installed.pop()
        root.removeHandler(handler)
        handler.close()


def install_asyncio_hook(loop: asyncio.AbstractEventLoop) -> None:
    """Log what no task awaited: one redacted ERROR line with its traceback."""

    def report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        info = (type(error), error, error.__traceback__) if error is not None else None
        logging.getLogger("main").error("event loop: %s", context.get("message", "unhandled error"), exc_info=info)

    loop.set_exception_handler(report)


class RedactingFilter(logging.Filter):
    """Masks secrets in message, arguments, exception and stack of a record; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        _redact_record(record)
        return True


class OursOrLoud(logging.Filter):
    """Lets our own records pass, and those of libraries (and of the bare root logger) from WARNING on."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or is_ours(record.name)


class _RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        # The base class would append the traceback below the line; it becomes a field of the line instead.
        copied = copy.copy(record)
        copied.traceback_text, copied.exc_text = record.exc_text, None
        return redact(super().format(copied))


class _QuietFailure:
    """Mixin: a line that cannot be written (full disk) is dropped with one short notice, never with its content."""

    _failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._failed and sys.__stderr__ is not None:
            self._failed = True
            kind = sys.exc_info()[0]
            sys.__stderr__.write(f"logging failed ({kind.__name__ if kind else 'unknown'}); lines are being lost\n")


class _JsonFile(_QuietFailure, RotatingFileHandler):
    pass


class _Console(_QuietFailure, logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is now: a live display replaces it for a while."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """The base class sets it once; the current stderr counts."""


def _json_file(path: Path) -> logging.Handler:
    handler = _JsonFile(path, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT, encoding="utf-8", delay=False)
    handler.setFormatter(_formatter(structlog.processors.JSONRenderer(serializer=_to_json)))
    return handler


def _console() -> logging.Handler:
    handler = _Console()
    handler.setFormatter(_formatter(_short_line))
    return handler


def _formatter(renderer: structlog.typing.Processor) -> logging.Formatter:
    return _RedactingFormatter(
        processors=[_add_exception_text, structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        foreign_pre_chain=_shared_processors(),
        keep_exc_info=False,
    )


def _shared_processors() -> list[structlog.typing.Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]


def _configure_structlog() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared_processors(),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # loggers made at import time must follow a later set-up
    )


def _replace_root_handlers(handlers: list[logging.Handler], level: str) -> None:
    root = logging.getLogger()
    root.setLevel(level)
    if not any(isinstance(known, RedactingFilter) for known in root.filters):
        root.addFilter(RedactingFilter())
    for handler in handlers:
        handler.addFilter(OursOrLoud())
        handler.addFilter(RedactingFilter())
        root.addHandler(handler)
        _installed.append(handler)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    if record.name is not None:  # `makeLogRecord` begins its copies with an empty one
        _redact_record(record)
    return record


def _redact_record(record: logging.LogRecord) -> None:
    """Replace what a formatter would render by redacted text; structlog's events are dicts, masked value by value.

    Done once a record, however many filters it passes.
    """
    if getattr(record, "is_redacted", False):
        return
    record.is_redacted = True
    if isinstance(record.msg, dict) and not record.args:
        record.msg = _masked(record.msg)
    else:
        record.msg = redact(_message_of(record))
        record.args = ()
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip())
        record.exc_info = None
    if record.stack_info:
        record.stack_info = redact(record.stack_info)


def _masked(value: Any) -> Any:
    """Return a copy of an event's value with every text in it redacted; numbers stay numbers."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: _masked(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float | Decimal) else redact(str(value))


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a library's broken format string must not break its caller, nor print its arguments
        return str(record.msg)


def _add_exception_text(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    text = getattr(record, "traceback_text", None)
    if text:
        event.setdefault("exception", text)
    return event


def _to_json(event: Any, **_: Any) -> str:
    return json.dumps(event, default=str, ensure_ascii=False)


def _short_line(_: WrappedLogger, __: str, event: EventDict) -> ProcessorReturnValue:
    """Render `14:03:22 INFO    executor: entry filled symbol=BTCUSDT`; of exceptions the last line."""
    clock = str(event.pop("time", ""))[11:19]
    level = str(event.pop("level", "info")).upper()
    room = str(event.pop("logger", "") or "root").partition(".")[0]
    text = str(event.pop("event", ""))
    exception = event.pop("exception", None)
    fields = "".join(f" {name}={value}" for name, value in event.items() if not name.startswith("_") and value != "")
    ending = f" ({str(exception).rstrip().splitlines()[-1]}; traceback in the log file)" if exception else ""
    return f"{clock} {level:<9}{room}: {text}{fields}{ending}".replace("\n", "; ")


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("main").critical("uncaught %s", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(details: threading.ExceptHookArgs) -> None:
    if details.exc_type is SystemExit or details.exc_value is None:
        return
    name = details.thread.name if details.thread else "unknown"
    info = (details.exc_type, details.exc_value, details.exc_traceback)
    logging.getLogger("main").critical("uncaught %s in thread %s", details.exc_type.__name__, name, exc_info=info)
