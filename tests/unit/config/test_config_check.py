"""The check report: findings, the effective configuration, secrets masked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from config.check import (
    Finding,
    check_file_mode,
    effective_settings,
    effective_trading,
    examine,
    mask_url,
    report,
)
from config.load import load_settings, load_settings_with_origins
from config.settings import Settings
from config.symbols import load_trading_config
from core.errors import ConfigurationError

SHIPPED = Path(__file__).resolve().parents[3] / "config" / "symbols.yaml"
Write = Callable[[str], Path]


def test_effective_settings_names_value_and_origin_and_masks_secrets(env_file: Write) -> None:
    path = env_file(
        "BINANCE_API_KEY=walrus-key-01\nSLACK_WEBHOOK_URL=https://h/walrus\nDB_URL=postgresql://u:walrus@h/d\n"
        "MODE=paper\n"
    )
    rows = {row.name: row for row in effective_settings(load_settings_with_origins(path))}
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    assert (rows["MODE"].value, rows["MODE"].origin) == ("paper", ".env:4")
    assert (rows["RECV_WINDOW_MS"].value, rows["RECV_WINDOW_MS"].origin) == ("5000", "default")
    assert rows["BINANCE_API_KEY"].value == "****"
    assert rows["BINANCE_API_SECRET"].value == ""
    assert rows["DB_URL"].value == "postgresql://u:****@h/d"
    assert "walrus" not in "\n".join(report([], rows.values()).lines())


def test_effective_trading_shows_limits_of_every_symbol() -> None:
    config = load_trading_config(SHIPPED, Settings())
    rows = {row.name: row.value for row in effective_trading(config, SHIPPED)}
    assert rows["sizing.risk_usd"] == "10"
    assert rows["limits.max_daily_loss"] == ""
    assert rows["symbols.SUIUSDT"].startswith("leverage=3 margin_type=ISOLATED max_position_notional=3000")
    assert sum(name.startswith("symbols.") for name in rows) == 10


def test_examine_turns_each_line_of_a_refusal_into_a_finding() -> None:
    def fails() -> str:
        raise ConfigurationError("a.yaml:1: x: bad signature=abc123\na.yaml:2: y: bad")

    assert examine("symbols", lambda: "10 symbols") == [Finding(True, "symbols", "10 symbols")]
    assert examine("symbols", fails) == [
        Finding(False, "symbols", "a.yaml:1: x: bad signature=****"),
        Finding(False, "symbols", "a.yaml:2: y: bad"),
    ]


def test_report_is_ok_only_without_errors_and_shows_them_last() -> None:
    good, bad = Finding(True, "database", "opens"), Finding(False, ".env", "MODE is wrong")
    assert report([good], []).ok
    mixed = report([bad, good], [])
    assert not mixed.ok
    assert mixed.lines()[-2:] == ["ok    database: opens", "ERROR .env: MODE is wrong"]


def test_check_file_mode_complains_about_secrets_that_others_can_read(env_file: Write) -> None:
    path = env_file("BINANCE_API_KEY=walrus-key-01\n")
    settings = load_settings(path)
    path.chmod(0o644)
    (finding,) = check_file_mode(path, settings)
    assert not finding.ok
    assert finding.text == ".env: other users can read it (mode 644); run: chmod 600 .env"
    path.chmod(0o600)
    assert [finding.ok for finding in check_file_mode(path, settings)] == [True]


def test_check_file_mode_without_secrets_or_file_has_nothing_to_say(env_file: Write, tmp_path: Path) -> None:
    path = env_file("MODE=sim\n")
    path.chmod(0o644)
    assert check_file_mode(path, load_settings(path)) == []
    assert check_file_mode(tmp_path / "absent", Settings(binance_api_key="walrus-key-01")) == []


def test_mask_url_keeps_everything_but_the_password() -> None:
    assert mask_url("sqlite:///./a.db") == "sqlite:///./a.db"
    assert mask_url("postgresql://u:p%40w@h:5432/d?x=1") == "postgresql://u:****@h:5432/d?x=1"
