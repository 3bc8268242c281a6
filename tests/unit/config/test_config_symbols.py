"""symbols.yaml: defaults, overrides, refusals; the shipped file and its schema."""

from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal
from pathlib import Path

import pytest

from config.models import LimitsEntry, SizingEntry, SymbolEntry, SymbolsFile
from config.schema import MODELS, schema_text, write_schemas
from config.settings import Settings
from config.symbols import load_trading_config
from core.enums import MarginType, PositionMode
from core.errors import ConfigurationError
from core.limits import RiskLimits, SizingPolicy, SymbolLimits, TradingConfig

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "config" / "symbols.yaml"
TEN = [f"{asset}USDT" for asset in ["BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "AVAX", "LINK", "LTC", "SUI"]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def write_and_load(text: str, symbols: list[str] | None = None, settings: Settings | None = None) -> TradingConfig:
        path = tmp_path / "symbols.yaml"
        path.write_text(text, encoding="utf-8")
        return load_trading_config(path, settings or Settings(), symbols)

    return write_and_load


def test_load_trading_config_smallest_file_takes_all_defaults(load) -> None:
    config = load("symbols:\n  BTCUSDT:\n")
    assert config == TradingConfig(
        PositionMode.ONEWAY, "USDT", SizingPolicy(), RiskLimits(), {"BTCUSDT": SymbolLimits("BTCUSDT")}
    )


def test_load_trading_config_symbol_overrides_defaults_key_by_key(load) -> None:
    config = load(
        "defaults: {leverage: 3, margin_type: CROSSED}\n"
        "symbols:\n  BTCUSDT: {leverage: 20}\n  ETHUSDT: {max_holding_ms: 3600000}\n"
    )
    assert config.symbols["BTCUSDT"].leverage == 20
    assert config.symbols["BTCUSDT"].margin_type is MarginType.CROSSED
    assert config.symbols["ETHUSDT"].leverage == 3
    assert config.symbols["ETHUSDT"].max_holding_ms == 3_600_000


def test_load_trading_config_chosen_symbols_need_not_be_listed(load) -> None:
    config = load("defaults: {leverage: 7}\nsymbols: {BTCUSDT: {leverage: 2}}", [" ethusdt", "BTCUSDT", "ETHUSDT"])
    assert {symbol: limits.leverage for symbol, limits in config.symbols.items()} == {"ETHUSDT": 7, "BTCUSDT": 2}


@pytest.mark.parametrize(
    ("yaml_sizing", "settings", "expected"),
    [
        ("{}", Settings(), (Decimal(10), None)),
        ("{risk_usd: 25}", Settings(), (Decimal(25), None)),
        ("{risk_percent: 0.5}", Settings(), (None, Decimal("0.5"))),
        ("{risk_usd: 25}", Settings(risk_percent=Decimal(1)), (None, Decimal(1))),
        ("{risk_percent: 0.5}", Settings(risk_usd=Decimal(3)), (Decimal(3), None)),
    ],
)
def test_load_trading_config_risk_of_settings_overrides_the_files(
    load, yaml_sizing: str, settings: Settings, expected: tuple[Decimal | None, Decimal | None]
) -> None:
    sizing = load(f"sizing: {yaml_sizing}\nsymbols: {{BTCUSDT: }}", settings=settings).sizing
    assert (sizing.risk_usd, sizing.risk_percent) == expected


def test_load_trading_config_empty_limit_switches_it_off(load) -> None:
    config = load("limits:\n  max_open_positions:\n  max_daily_loss: 0.1\nsymbols: {BTCUSDT: }")
    assert config.limits.max_open_positions is None
    assert config.limits.max_daily_loss == Decimal("0.1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "symbols:\n  BTCUSDT:\n    leverage: 200",
            "symbols.yaml:3: symbols.BTCUSDT.leverage: must be between 1 and 125 (got 200)",
        ),
        (
            "symbols:\n  BTCUSDT: {leverage: true}",
            "symbols.yaml:2: symbols.BTCUSDT.leverage: must not be true or false (got True)",
        ),
        (
            "symbols:\n  BTCUSDT: {max_leverage: 2}",
            "symbols.yaml:2: symbols.BTCUSDT.max_leverage: unknown key; did you mean 'leverage'?",
        ),
        (
            "defaults: {margin_type: ISOLATE}\nsymbols: {BTCUSDT: }",
            "symbols.yaml:1: defaults.margin_type: must be one of ISOLATED, CROSSED (got 'ISOLATE'); "
            "did you mean 'ISOLATED'?",
        ),
        ("limit: {}\nsymbols: {BTCUSDT: }", "symbols.yaml:1: limit: unknown key; did you mean 'limits'?"),
        ("quote_asset: USDT", "symbols.yaml:1: symbols: is missing (the symbols traded, with what differs)"),
        ("symbols: {}", "symbols.yaml:1: symbols: "),
        ("symbols: [BTCUSDT]", "symbols.yaml:1: symbols: must be a mapping of keys to values"),
        (
            "symbols:\n  ETHUSDT:\n  btcusdt:",
            "symbols.yaml:3: symbols.btcusdt: is not a symbol such as BTCUSDT; did you mean 'BTCUSDT'?",
        ),
        ("symbols:\n  ETHUSDC:", "symbols.yaml:2: symbols.ETHUSDC: is not quoted in USDT"),
        ("symbols: {BTCUSDT: }\nsizing: {risk_usd: 1, risk_percent: 1}", "cannot be combined with risk_usd"),
        ("symbols: {BTCUSDT: {leverage: .inf}}", "symbols.BTCUSDT.leverage: must be a finite number"),
        (
            "symbols: {BTCUSDT: {max_position_notional: .nan}}",
            "symbols.BTCUSDT.max_position_notional: must be a finite number",
        ),
        ("symbols: {BTCUSDT: }\nlimits: {max_drawdown_fraction: 20}", "must be above 0 and at most 1 (got 20)"),
        ("symbols:\n  BTCUSDT:\n  BTCUSDT:", "symbols.yaml:3:3: duplicate key 'BTCUSDT', first set in line"),
    ],
)
def test_load_trading_config_bad_file_names_line_key_value_and_what_is_allowed(load, text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(text)
    (line,) = str(caught.value).splitlines()
    assert expected in line


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        ([], "command line: --symbols: none given; write for example BTCUSDT,ETHUSDT"),
        (["BTC/USDT"], "command line: --symbols: 'BTC/USDT' is not a symbol such as BTCUSDT"),
        (["BTCEUR"], "command line: --symbols: 'BTCEUR' is not quoted in USDT"),
    ],
)
def test_load_trading_config_bad_choice_of_symbols_is_refused(load, symbols: list[str], expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("symbols: {BTCUSDT: }", symbols)
    assert str(caught.value) == expected


def test_shipped_file_trades_ten_symbols_within_sane_limits() -> None:
    config = load_trading_config(SHIPPED, Settings())
    assert list(config.symbols) == TEN
    for limits in config.symbols.values():
        assert limits.margin_type is MarginType.ISOLATED
        assert limits.leverage <= 10
        assert limits.max_exposure_fraction <= Decimal("0.5")
    # Ten dollars at risk with a stop of 0.3 % plus fees must fit under every cap of a 10,000 account.
    needed = Decimal(10) / Decimal("0.005")
    assert all(limits.max_position_notional >= needed for limits in config.symbols.values())
    assert all(limits.max_exposure_fraction * 10_000 >= needed for limits in config.symbols.values())


@pytest.mark.parametrize(
    ("model", "domain"),
    [(SymbolEntry(), SymbolLimits("X")), (LimitsEntry(), RiskLimits()), (SizingEntry(), SizingPolicy(risk_usd=None))],
)
def test_models_have_the_fields_and_defaults_of_the_domain_values(model, domain) -> None:
    not_in_yaml = {"symbol", "fixed_quantity"}  # the latter compares a backtest with other engines; no live run sets it
    expected = {field.name: getattr(domain, field.name) for field in fields(domain) if field.name not in not_in_yaml}
    assert dict(model) == expected


def test_committed_schemas_are_current() -> None:
    for name, model in MODELS.items():
        committed = (ROOT / "config" / "schema" / f"{name}.schema.json").read_text(encoding="utf-8")
        assert committed == schema_text(model), "run: uv run python -c 'from config.schema import *; write_schemas()'"


def test_shipped_file_points_editors_to_its_schema() -> None:
    first = SHIPPED.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=schema/symbols.schema.json"
    assert (SHIPPED.parent / "schema" / "symbols.schema.json").is_file()


def test_write_schemas_adds_those_of_others_and_closes_every_mapping(tmp_path: Path) -> None:
    files = write_schemas(tmp_path, {"vwap": SizingEntry})
    assert [path.name for path in files] == ["symbols.schema.json", "vwap.schema.json"]
    schema = json.loads(files[0].read_text(encoding="utf-8"))
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(SymbolsFile.model_fields)
    assert all(part.get("additionalProperties") is False for part in schema["$defs"].values() if "properties" in part)
