"""`main.py check` on files that are wrong: each is named once, and what hangs on another is not called right."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from main import app

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the shipped configuration and strategies, in which the check runs."""
    for name in ("config", "strategies"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODE", raising=False)
    monkeypatch.delenv("DB_URL", raising=False)
    return tmp_path


def check() -> tuple[int, list[str]]:
    """Return exit code and findings, without the effective configuration above them."""
    result = CliRunner().invoke(app, ["check", "--no-connect"])
    return result.exit_code, result.output.rstrip().rpartition("\n\n")[2].splitlines()


def misspell(path: Path, key: str) -> None:
    path.write_text(path.read_text().replace(f"{key}:", f"{key}x:", 1))


def test_check_of_what_is_shipped_counts_strategies_and_symbols(project: Path) -> None:
    code, findings = check()
    assert code == 0
    assert "ok    strategies: 1 strategy on 10 symbols" in findings


def test_check_of_wrong_symbols_names_the_file_once_and_does_not_count_strategies(project: Path) -> None:
    misspell(project / "config/symbols.yaml", "leverage")
    code, findings = check()
    assert code == 2
    (error,) = [text for text in findings if text.startswith("ERROR")]
    assert error.count("symbols.yaml") == 1
    assert error.endswith("unknown key; did you mean 'leverage'?")
    (strategies,) = [text for text in findings if text.startswith("ok    strategies")]
    assert strategies == (
        "ok    strategies: every file can be read; which symbols are traded is not known until "
        "config/symbols.yaml is right"
    )


def test_check_of_wrong_symbols_still_finds_what_is_wrong_in_a_strategy(project: Path) -> None:
    misspell(project / "config/symbols.yaml", "leverage")
    own = project / "strategies/vwap_reversion/SUIUSDT.yaml"
    own.write_text(own.read_text() + "\nnonsense: 1\n")
    code, findings = check()
    assert code == 2
    assert [text for text in findings if "SUIUSDT.yaml" in text and "nonsense" in text and text.startswith("ERROR")]
