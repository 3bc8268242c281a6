"""Settings: sources and their order, refusals with file and line, what each mode needs, no secret in any message."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from config.load import load_settings, load_settings_with_origins
from config.settings import Settings
from core.enums import Environment, PositionMode
from core.errors import ConfigurationError
from utils.redaction import redact

Write = Callable[[str], Path]
KEYS = "BINANCE_API_KEY=my-canary-key\nBINANCE_API_SECRET=my-canary-secret\n"


def refusal(path: Path, **overrides: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path, overrides)
    return str(caught.value).splitlines()


def test_load_settings_without_any_source_gives_keyless_sim(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "absent.env")
    assert settings.mode is Environment.SIM
    assert settings.db_url == "sqlite:///./database/trader.db"
    assert settings.position_mode is PositionMode.ONEWAY
    assert settings.secret_values() == []
    assert settings == Settings()


def test_load_settings_later_source_wins_and_origin_is_known(env_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = env_file("LOG_LEVEL=debug\n\n# why\nRECV_WINDOW_MS=1000\nSIM_SEED=2\nDB_URL=\n")
    monkeypatch.setenv("RECV_WINDOW_MS", "2000")
    monkeypatch.setenv("SIM_SEED", "3")
    monkeypatch.setenv("RISK_USD", "")
    monkeypatch.setenv("UNRELATED_VARIABLE", "x")
    loaded = load_settings_with_origins(path, {"sim_seed": 4, "mode": None})
    assert loaded.settings.log_level == "DEBUG"
    assert loaded.settings.recv_window_ms == 2000
    assert loaded.settings.sim_seed == 4
    assert loaded.settings.risk_usd is None
    origins = {name: loaded.origins[name] for name in ("log_level", "recv_window_ms", "sim_seed", "mode", "db_url")}
    assert origins == {
        "log_level": ".env:1",
        "recv_window_ms": "environment",
        "sim_seed": "command line",
        "mode": "default",
        "db_url": "default",
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n\nMODE=sim\nRECV_WINDOW_MS=99999", ".env:4: RECV_WINDOW_MS: must be between 1 and 60000 (got 99999)"),
        ("RECV_WINDOW_MS=soon", ".env:1: RECV_WINDOW_MS: must be a whole number between 1 and 60000 (got 'soon')"),
        ("MODE=papr", "MODE: must be one of sim, paper, testnet, mainnet (got 'papr'); did you mean 'paper'?"),
        ("POSITION_MODE=hege", "must be one of ONEWAY, HEDGE (got 'HEGE'); did you mean 'HEDGE'?"),
        ("LOG_LEVEL=LOUD", ".env:1: LOG_LEVEL: must be one of DEBUG, INFO, WARNING, ERROR (got 'LOUD')"),
        ("RISK_USD=-1", ".env:1: RISK_USD: must be above 0 (got -1)"),
        ("RISK_USD=nan", ".env:1: RISK_USD: must be a finite number"),
        ("RISK_USD=1\nRISK_PERCENT=1", ".env:2: RISK_PERCENT: cannot be combined with RISK_USD; keep one of the two"),
        ("ALLOW_MAINNET=true", ".env:1: ALLOW_MAINNET: must be one of yes, no (got 'true')"),
        ("STREAMLIT_PORT=70000", ".env:1: STREAMLIT_PORT: must be between 1 and 65535 (got 70000)"),
        ("DB_URL=mysql://u:my-canary-pw@h/d", ".env:1: DB_URL: must begin with sqlite:/// or postgresql://"),
        ("SLACK_WEBHOOK_URL=my-canary", ".env:1: SLACK_WEBHOOK_URL: must be a web address that begins with https://"),
        ("BINANCE_APIKEY=my-canary", ".env:1: BINANCE_APIKEY: unknown setting; did you mean 'BINANCE_API_KEY'?"),
        ("COLOUR=red", ".env:1: COLOUR: unknown setting; the valid ones are listed in .env.example"),
        ("MODE=sim\nMODE=paper", ".env:2: MODE: set twice, first in line 1"),
        ("MODE=sim\n\nmy canary", ".env:3: not an assignment; write NAME=value, or # before a comment"),
        ("MODE", ".env:1: not an assignment; write NAME=value, or # before a comment"),
        ("BINANCE_API_KEY=a${HOME}b", ".env:1: BINANCE_API_KEY: ${...} is not expanded here; write the value out"),
    ],
)
def test_load_settings_bad_env_line_is_refused_in_one_clear_line(env_file: Write, text: str, expected: str) -> None:
    (line,) = refusal(env_file(text))
    assert expected in line
    assert "canary" not in line


def test_load_settings_several_problems_are_one_line_each(env_file: Write) -> None:
    lines = refusal(env_file("RECV_WINDOW_MS=0\nRISK_USD=x\nLOG_LEVEL=INFO"))
    assert [line.split(": ")[1] for line in lines] == ["RECV_WINDOW_MS", "RISK_USD"]


def test_load_settings_bad_environment_or_option_names_its_origin(
    env_file: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECV_WINDOW_MS", "0")
    path = env_file("RECV_WINDOW_MS=5000")
    assert refusal(path) == ["environment: RECV_WINDOW_MS: must be between 1 and 60000 (got 0)"]
    monkeypatch.delenv("RECV_WINDOW_MS")
    (line,) = refusal(path, mode="live")
    assert line == "command line: MODE: must be one of sim, paper, testnet, mainnet (got 'live')"


def test_read_env_file_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b"MODE=\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read as UTF-8 text"):
        load_settings(path)


@pytest.mark.parametrize(
    ("mode", "rest", "missing"),
    [
        ("sim", "", None),
        ("paper", "", None),
        ("testnet", "", "BINANCE_API_KEY and BINANCE_API_SECRET"),
        ("testnet", "BINANCE_API_KEY=my-canary\n", "BINANCE_API_SECRET"),
        ("testnet", KEYS, None),
        ("mainnet", KEYS, "ALLOW_MAINNET=yes"),
        ("mainnet", KEYS + "ALLOW_MAINNET=no\n", "ALLOW_MAINNET=yes"),
        ("mainnet", "ALLOW_MAINNET=yes\n", "BINANCE_API_KEY and BINANCE_API_SECRET"),
        ("mainnet", KEYS + "ALLOW_MAINNET=yes\n", None),
    ],
)
def test_load_settings_each_mode_demands_exactly_what_it_needs(
    env_file: Write, mode: str, rest: str, missing: str | None
) -> None:
    path = env_file(f"# where\nMODE={mode}\n{rest}")
    if missing is None:
        assert load_settings(path).mode == mode
        return
    (line,) = refusal(path)
    assert line == f".env:2: MODE: {mode} needs {missing}: set in .env or the environment, or use mode sim"


def test_settings_built_directly_cannot_be_mainnet_without_consent() -> None:
    with pytest.raises(ValueError, match="mainnet needs") as caught:
        Settings(mode=Environment.MAINNET, binance_api_key="my-canary-key", binance_api_secret="my-canary-secret")
    assert "canary" not in str(caught.value)


def test_load_settings_secrets_are_registered_for_redaction_and_hidden_in_repr(env_file: Write) -> None:
    path = env_file(
        "BINANCE_API_KEY=zebra-key-0001\nBINANCE_API_SECRET=zebra-secret-0002\n"
        "DB_URL=postgresql://u:zebra-password@h/d\nSLACK_WEBHOOK_URL=https://example.org/zebra-hook"
    )
    settings = load_settings(path)
    assert set(settings.secret_values()) == {
        "zebra-key-0001",
        "zebra-secret-0002",
        "zebra-password",
        "https://example.org/zebra-hook",
        "zebra-hook",
    }
    assert "zebra-key" not in repr(settings) and "zebra-hook" not in repr(settings)
    assert "zebra" not in redact("zebra-key-0001 zebra-secret-0002 zebra-password https://example.org/zebra-hook")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().mode = Environment.MAINNET


def test_load_settings_decimal_is_exactly_what_was_written(env_file: Write) -> None:
    assert load_settings(env_file("RISK_USD=0.10000000000000000001")).risk_usd == Decimal("0.10000000000000000001")


def test_env_example_lists_every_setting_and_is_valid() -> None:
    example = Path(__file__).resolve().parents[3] / ".env.example"
    assert load_settings(example) == Settings()
    named = {line.split("=")[0] for line in example.read_text().splitlines() if "=" in line and line[0] != "#"}
    assert named == {name.upper() for name in Settings.model_fields}
