"""The command line itself: help, complaints in one line, options that contradict one another, exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from commands.common import kind_errors, writable_folder
from commands.options import RunOptions, refuse_contradictions
from commands.root import RunByDefault
from config.settings import Settings
from core.enums import Environment
from core.errors import ConfigurationError, RuntimeFailure

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = ("", "run", "exchange", "check", "dashboard", "why")
HEAVY = ("pandas", "numpy", "sqlalchemy", "ta", "streamlit", "binance_common", "slack_sdk", "onepassword", "aiohttp")
OPTION = re.compile(r"^[│ ]+--", re.MULTILINE)


def options(exchange_url: str | None = None, *, fresh: bool = False) -> RunOptions:
    return RunOptions(None, None, exchange_url, fresh, keep_database=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_every_option_without_heavy_imports(command: str) -> None:
    code = (
        "import sys; sys.argv = ['main.py', *sys.argv[1:]]\n"
        "import main\n"
        "try:\n    main.app()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    arguments = [*([command] if command else []), "--help"]
    finished = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert "Usage: main.py" in finished.stdout
    assert "HEAVY []" in finished.stdout
    assert OPTION.search(finished.stdout)


@pytest.mark.parametrize(
    ("mode", "given", "data", "speed", "said"),
    [
        (Environment.PAPER, options(), True, False, "--data plays recorded candles .* means nothing in mode paper"),
        (Environment.PAPER, options(), False, True, "--speed .* means nothing in mode paper"),
        (Environment.PAPER, options("http://h:1"), False, False, "--exchange is for mode sim"),
        (Environment.SIM, options("http://h:1", fresh=True), False, False, "--fresh .* mode sim with --exchange"),
        (Environment.SIM, options("http://h:1"), False, True, "--speed .* mode sim with --exchange"),
        (Environment.SIM, options("h:1"), False, False, "--exchange: 'h:1' is no address; write http://"),
        (Environment.SIM, options("http://h:1/path"), False, False, "is no address"),
    ],
)
def test_options_that_a_mode_could_only_ignore_are_refused(
    mode: Environment, given: RunOptions, data: bool, speed: bool, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"command line: .*{said}"):
        refuse_contradictions(Settings(mode=mode), given, data=data, speed=speed)


def test_options_that_fit_their_mode_pass() -> None:
    refuse_contradictions(Settings(), options(fresh=True), data=True, speed=True)
    refuse_contradictions(Settings(), options("http://127.0.0.1:8800/"), data=False, speed=False)
    refuse_contradictions(Settings(mode=Environment.PAPER), options(fresh=True), data=False, speed=False)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigurationError("a.yaml:3: wrong"), 2, "a.yaml:3: wrong\n"),
        (RuntimeFailure("locked; close it"), 1, "locked; close it\n"),
        (PermissionError(13, "Permission denied", "x.db"), 1, "x.db: Permission denied; check that it may be written"),
        (ValueError("surprise"), 1, "unexpected ValueError: surprise; a fault of the program"),
        (typer.Exit(0), 0, ""),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @kind_errors
    def command() -> None:
        raise error

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == code
    printed = capsys.readouterr().err
    assert printed.startswith(said)
    assert printed.count("\n") <= 1


def test_writable_folder_makes_the_folder_or_names_the_setting(tmp_path: Path) -> None:
    writable_folder("LOG_DIR", tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"LOG_DIR: nothing can be written in .*file.*; name another folder"):
        writable_folder("LOG_DIR", tmp_path / "file" / "logs")


def test_ctrl_c_before_a_command_has_anything_ends_with_a_word_and_130(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer(cls=RunByDefault)

    @app.command()
    @kind_errors
    def run() -> None:
        raise KeyboardInterrupt

    @app.command()
    def other() -> None:
        """A second command makes it a group."""

    with pytest.raises(SystemExit) as end:
        app(["run"])
    assert end.value.code == 130
    assert capsys.readouterr().err.strip().startswith("stopped as asked")
