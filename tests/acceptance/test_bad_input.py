"""Bad input: one clear line that names what is wrong, where and what to do; 2 to configure, 1 otherwise; no loss.

All rows of the table run against one exchange and one trader that are up, several at a time; then each is judged.
"""

from __future__ import annotations

import re
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.acceptance.support import ROOT, Place, Running, wait_for

pytestmark = pytest.mark.slow
AT_A_TIME = 3
KEYS = {"BINANCE_API_KEY": "k" * 20, "BINANCE_API_SECRET": "s" * 20}


@dataclass(frozen=True)
class Row:
    """One bad input. `{...}` in texts is filled from the stage; `says` are patterns that the one line must match."""

    name: str
    code: int
    says: tuple[str, ...]
    arguments: tuple[str, ...] = ("--for", "2")
    environment: Mapping[str, str] = field(default_factory=dict)
    database: str = ""


def configured(name: str) -> dict[str, str]:
    return {"CONFIG_DIR": f"{{folder}}/{name}"}


ROWS = (
    Row("yaml-value", 2, (r"symbols\.yaml:{at}: defaults\.leverage: .*between 1 and 125 \(got 500\)",),
        environment=configured("value")),
    Row("yaml-unknown-key", 2, (r"symbols\.yaml:{at}: defaults\.leverge: unknown key; did you mean 'leverage'\?",),
        environment=configured("key")),
    Row("yaml-duplicate-key", 2,
        (r"symbols\.yaml:{below}:3: duplicate key 'leverage', first set in line {at}; remove one",),
        environment=configured("twice")),
    Row("yaml-unknown-symbol", 2, ("'BTXUSDT'", r"did you mean '?BTCUSDT'?\?"), environment=configured("symbol")),
    Row("option-unknown-symbol", 2, ("'BTCUSD'", r"did you mean '?BTCUSDT'?\?"), ("--symbols", "BTCUSD")),
    Row("option-value", 2, (r"command line: .*--mode.*'moon' is not one of .*'testnet'.*see --help",),
        ("--mode", "moon")),
    Row("option-means-nothing", 2, ("command line: --fresh", "modes sim and paper"),
        ("--fresh", "--mode", "testnet"), KEYS),
    Row("env-file-missing", 2, ("--env-file: there is no file .*absent",), ("--env-file", "{folder}/absent")),
    Row("env-value", 2, (r"value\.env:2: RECV_WINDOW_MS: .*whole number between 1 and 60000 \(got 'soon'\)",),
        ("--env-file", "{folder}/value.env")),
    Row("env-unknown-key", 2, (r"key\.env:1: LOGLEVEL: unknown setting; did you mean 'LOG_LEVEL'\?",),
        ("--env-file", "{folder}/key.env")),
    Row("testnet-without-keys", 2, ("BINANCE_API_KEY and BINANCE_API_SECRET", "set in .env or the environment"),
        ("--mode", "testnet")),
    Row("dead-man-timer-that-may-take-stops", 2,
        ("COUNTDOWN_CANCEL_SEC cannot be used in mode testnet", "leave it empty"),
        ("--mode", "testnet"), KEYS | {"COUNTDOWN_CANCEL_SEC": "30"}),
    Row("mainnet-not-allowed", 2, ("mainnet needs ALLOW_MAINNET=yes",), ("--mode", "mainnet"), KEYS),
    Row("log-folder", 2, ("LOG_DIR: nothing can be written in .*; name another folder",),
        environment={"LOG_DIR": "{folder}/value.env/logs"}),
    Row("strategy-yaml", 2, (r"default\.yaml:12: adx_max: must be a number above 0 .*\(got 'hello'\)",),
        environment={"STRATEGIES_DIR": "{folder}/strategies"}),
    Row("data-folder-missing", 2, ("nowhere: no such directory",), ("--data", "{folder}/nowhere")),
    Row("data-corrupt", 2, (r"BTCUSDT-1m\.csv, line 3: .*'x1'",), ("--data", "{folder}/corrupt")),
    Row("exchange-url", 2, (r"--exchange: 'localhost' is no address; write http://",), ("--exchange", "localhost")),
    Row("exchange-silent", 1, (r"http://127\.0\.0\.1:9: .*no connection.*check the network and the address",),
        ("--exchange", "http://127.0.0.1:9")),
    Row("wrong-key", 1, ("-2015", "check BINANCE_API_KEY and BINANCE_API_SECRET"),
        ("--exchange", "{url}"), {"EXCHANGE_API_KEY": "x" * 64}),
    Row("port-in-use", 1, (r"cannot listen on 127\.0\.0\.1:{port}", "choose another with --port"),
        ("exchange", "--port", "{port}")),
    Row("database-locked", 1, (r"locked\.db is locked by another program; close it, or name another",),
        database="locked"),
    Row("database-newer", 2, (r"newer\.db has schema 9999_future, newer than .*; update the program",),
        database="newer"),
    Row("database-damaged", 1, (r"damaged\.db is damaged .*; restore a copy .*or start over with --fresh",),
        database="damaged"),
    Row("database-of-another-environment", 2, (r"other\.db belongs to sim, not testnet; name another",),
        ("--mode", "testnet"), KEYS, database="other"),
    Row("two-traders", 1, (r"trader\.db is in use by sim trader \(process \d+\): stop that one first",)),
)  # fmt: skip


def line_of(file: Path, text: str) -> int:
    """Return the 1-based line in which `text` stands first."""
    return next(number for number, line in enumerate(file.read_text().splitlines(), 1) if text in line)


@dataclass
class Stage:
    """What the rows need: broken files, an exchange that is up, a trader that is up, and its database in copies."""

    place: Place
    url: str
    trader: Running
    before: dict[str, bytes] = field(default_factory=dict)

    @property
    def strategies(self) -> Path:
        """The folder that the running trader reads its strategies from."""
        return self.place.folder / "running"

    def fill(self, text: str) -> str:
        leverage = line_of(ROOT / "config" / "symbols.yaml", "leverage: 5 ")
        filled = {"{folder}": str(self.place.folder), "{url}": self.url, "{port}": self.port}
        filled |= {"{at}": str(leverage), "{below}": str(leverage + 1)}
        for name, value in filled.items():
            text = text.replace(name, value)
        return text

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    def database(self, name: str) -> Path:
        return self.place.folder / f"{name}.db"


def spoil(folder: Path, source: str, old: str, new: str) -> None:
    """Copy `config` and change one text in its `symbols.yaml`."""
    shutil.copytree(ROOT / "config", folder, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    text = (folder / source).read_text()
    assert old in text
    (folder / source).write_text(text.replace(old, new, 1))


def prepare_files(folder: Path) -> None:
    spoil(folder / "value", "symbols.yaml", "leverage: 5 ", "leverage: 500 ")
    spoil(folder / "key", "symbols.yaml", "leverage: 5 ", "leverge: 5 ")
    spoil(folder / "twice", "symbols.yaml", "  margin_type:", "  leverage: 3\n  margin_type:")
    spoil(folder / "symbol", "symbols.yaml", "  BTCUSDT:", "  BTXUSDT:")
    for name in ("strategies", "running"):
        shutil.copytree(ROOT / "strategies", folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    edit_strategy(folder / "strategies", "adx_max: 20", "adx_max: hello")
    (folder / "value.env").write_text("LOG_LEVEL=INFO\nRECV_WINDOW_MS=soon\n")
    (folder / "key.env").write_text("LOGLEVEL=INFO\n")
    (folder / "corrupt").mkdir()
    lines = ["1746057600000,1,2,1,2,5", "1746057660000,2,3,2,3,5", "1746057720000,x1,3,2,3,5"]
    (folder / "corrupt" / "BTCUSDT-1m.csv").write_text("\n".join(lines) + "\n")


def edit_strategy(folder: Path, old: str, new: str) -> None:
    file = folder / "vwap_reversion" / "default.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def prepare_databases(stage: Stage) -> None:
    """Copy the running trader's database, and spoil the copies."""
    with closing(sqlite3.connect(stage.place.database)) as running:
        for name in ("locked", "newer", "other"):
            with closing(sqlite3.connect(stage.database(name))) as copy:
                running.backup(copy)
                copy.execute("UPDATE lease SET released = 1")
                if name == "newer":
                    copy.execute("UPDATE alembic_version SET version_num = '9999_future'")
                copy.commit()
    stage.database("damaged").write_bytes(b"SQLite format 3\0" + b"no pages of a database" * 1_000)
    stage.before = {name: stage.database(name).read_bytes() for name in ("locked", "newer", "other", "damaged")}


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    place = Place(tmp_path_factory.mktemp("bad"))
    prepare_files(place.folder)
    with place.running("exchange", "--port", "0", "--speed", "60", "--start", "2026-01-03T04:00") as exchange:
        address = re.compile(r"REST +(http://\S+)")
        wait_for(lambda: address.search(exchange.output), 60, "the exchange printed its address")
        found = address.search(exchange.output)
        assert found is not None
        options = ("--exchange", found[1], "--for", "600")
        with place.running(*options, STRATEGIES_DIR=str(place.folder / "running")) as trader:
            wait_for(lambda: "Trader started" in trader.output, 60, "the trader is up")
            stage = Stage(place, found[1], trader)
            prepare_databases(stage)
            yield stage


@pytest.fixture(scope="module")
def results(stage: Stage) -> Iterator[dict[str, subprocess.CompletedProcess[str]]]:
    """Run every row, a few at a time, while a stranger keeps one database locked."""

    def run(row: Row) -> subprocess.CompletedProcess[str]:
        environment = {name: stage.fill(text) for name, text in row.environment.items()}
        if row.database:
            environment["DB_URL"] = f"sqlite:///{stage.database(row.database)}"
        elif row.name not in ("two-traders", "port-in-use"):
            # A database of its own: the row must be refused for its own fault alone.
            environment["DB_URL"] = f"sqlite:///{stage.place.folder}/{row.name}.db"
        environment.setdefault("LOG_DIR", str(stage.place.folder / "logs" / row.name))
        return stage.place.run(*(stage.fill(text) for text in row.arguments), timeout_s=120, **environment)

    with closing(sqlite3.connect(stage.database("locked"), isolation_level=None)) as stranger:
        stranger.execute("BEGIN EXCLUSIVE")
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            yield dict(zip((row.name for row in ROWS), pool.map(run, ROWS), strict=True))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_input_gives_one_clear_line_and_the_right_exit_code(
    stage: Stage, results: dict[str, subprocess.CompletedProcess[str]], row: Row
) -> None:
    finished = results[row.name]
    said = [line for line in finished.stderr.splitlines() if line.strip()]
    assert finished.returncode == row.code, finished.stdout + finished.stderr
    assert len(said) == 1, finished.stderr
    for pattern in row.says:
        assert re.search(stage.fill(pattern), said[0]), said[0]
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr
    for log in (stage.place.folder / "logs" / row.name).glob("*.jsonl"):
        assert "Traceback" not in log.read_text()


def test_refused_databases_are_left_as_they_were(
    stage: Stage, results: dict[str, subprocess.CompletedProcess[str]]
) -> None:
    assert len(results) == len(ROWS)
    for name, content in stage.before.items():
        assert stage.database(name).read_bytes() == content, name
    assert not (stage.place.folder / "backups").exists()


def test_broken_strategy_edit_is_refused_while_trading_goes_on(
    stage: Stage, results: dict[str, subprocess.CompletedProcess[str]]
) -> None:
    def decisions() -> int:
        return stage.place.number("SELECT count(*) FROM decisions")

    edit_strategy(stage.strategies, "k: 2.0 ", "k: wide ")
    refused = re.compile(r"default\.yaml:10: k: must be a number .*\(got 'wide'\)")
    wait_for(lambda: refused.search(stage.trader.output), 30, "the broken edit was refused")
    line = next(text for text in stage.trader.output.splitlines() if refused.search(text))
    assert "stay" in line or "keep" in line, line
    before = decisions()
    wait_for(lambda: decisions() > before, 30, "decisions go on")

    edit_strategy(stage.strategies, "k: wide ", "k: 2.5 ")
    taken = re.compile(r"vwap_reversion/default\.yaml.*(taken|applied|counts)")
    wait_for(lambda: taken.search(stage.trader.output), 30, "the mended edit was taken over")
    assert "Traceback" not in stage.trader.output
    assert stage.trader.process.poll() is None


def test_port_of_a_bad_row_was_really_taken(stage: Stage) -> None:
    with socket.create_connection(("127.0.0.1", int(stage.port)), timeout=5):
        pass
