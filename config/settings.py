"""Settings from `.env`, the process environment and the command line; frozen, closed, and wrong in one clear line.

The later wins: default, `.env`, environment, command line. Owns names, types, ranges and what a mode needs; symbols
and limits are in `config/symbols.py`.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from core.enums import Environment, PositionMode

KEYED_MODES = (Environment.TESTNET, Environment.MAINNET)
"""Modes that trade at the real venue and therefore need its keys."""


class Settings(BaseSettings):
    """Everything that is not about one symbol. Made by `config.load.load_settings`; building it directly reads nothing
    but its arguments."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=False, case_sensitive=False
    )

    mode: Environment = Field(default=Environment.SIM, description="where to trade: sim, paper, testnet or mainnet")
    allow_mainnet: Literal["yes", "no"] = Field(
        default="no", description="must be yes before mode mainnet starts: real money"
    )

    binance_api_key: SecretStr | None = Field(default=None, description="API key; needed by testnet and mainnet")
    binance_api_secret: SecretStr | None = Field(default=None, description="API secret; needed by testnet and mainnet")
    recv_window_ms: int = Field(
        default=5_000, ge=1, le=60_000, description="how long the venue accepts a signed request, ms"
    )
    ws_max_backoff_sec: float = Field(
        default=60, gt=0, le=600, description="longest wait between stream reconnects, seconds"
    )
    position_mode: PositionMode = Field(
        default=PositionMode.ONEWAY, description="ONEWAY: one net position a symbol; HEDGE: a long and a short leg"
    )

    countdown_cancel_sec: int | None = Field(
        default=None,
        ge=10,
        le=600,
        description="dead-man timer: the venue cancels our resting entries so many seconds after we fell silent; "
        "empty: off. Only where that can never take a protective stop: modes sim and paper",
    )

    risk_usd: Decimal | None = Field(
        default=None, gt=0, description="fixed risk a trade in USDT; overrides symbols.yaml"
    )
    risk_percent: Decimal | None = Field(
        default=None, gt=0, le=100, description="risk a trade in percent of equity; overrides symbols.yaml"
    )

    db_url: str = Field(
        default="sqlite:///./database/trader.db",
        description="database: sqlite:///... or postgresql://...",
        json_schema_extra={"writeOnly": True},  # may hold a password: never quoted in errors
    )
    retention_days: int | None = Field(
        default=None, ge=1, description="days that rows are kept; empty keeps everything"
    )
    decision_retention_days: int = Field(default=30, ge=1, description="days that strategy verdicts are kept")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="least severe line to log"
    )
    log_dir: Path = Field(default=Path("logs"), description="folder of the log files")
    status_dir: Path = Field(default=Path("status"), description="folder of heartbeat.json and of the KILL file")
    config_dir: Path = Field(default=Path("config"), description="folder of symbols.yaml")
    strategies_dir: Path = Field(
        default=Path("strategies"), description="folder of the strategies and their YAML files"
    )

    slack_webhook_url: SecretStr | None = Field(
        default=None, description="Slack incoming webhook for alerts; empty: log only"
    )
    streamlit_port: int = Field(
        default=8501, ge=1, le=65_535, description="port of the dashboard, on this machine only"
    )
    op_service_account_token: SecretStr | None = Field(
        default=None,
        description="1Password service account token; needed when a value is an op://vault/item/field reference",
    )

    sim_deposit: Decimal = Field(
        default=Decimal(10_000), gt=0, description="first deposit at the embedded exchange, USDT"
    )
    sim_seed: int = Field(
        default=7, ge=0, description="seed of the generated market; the same seed gives the same market"
    )
    sim_speed: float | None = Field(
        default=None, gt=0, le=100_000, description="market time per wall time in sim mode; empty: chosen by the run"
    )
    paper_rest_url: str = Field(
        default="https://fapi.binance.com", description="venue whose public market the paper mode takes: REST base"
    )
    paper_stream_url: str = Field(
        default="wss://fstream.binance.com", description="venue whose public market the paper mode takes: stream base"
    )
    sim_data_dir: Path | None = Field(
        default=None, description="folder of recorded candles to play; empty: a generated market"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take arguments only: `load_settings` gathers the sources itself, to resolve references and name lines."""
        return (init_settings,)

    @field_validator("mode", "allow_mainnet", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("position_mode", "log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.strip().upper() if isinstance(value, str) else value

    @field_validator("risk_percent")
    @classmethod
    def _one_kind_of_risk(cls, value: Decimal | None, info: ValidationInfo) -> Decimal | None:
        if value is not None and info.data.get("risk_usd") is not None:
            raise ValueError("cannot be combined with RISK_USD; keep one of the two")
        return value

    @field_validator("db_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("must begin with sqlite:/// or postgresql://")
        return value

    @field_validator("slack_webhook_url")
    @classmethod
    def _web_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in {"http", "https"}:
            raise ValueError("must be a web address that begins with https://")
        return value

    @model_validator(mode="after")
    def _mode_has_what_it_needs(self) -> Settings:
        missing = missing_for_mode(self)
        if missing:
            raise ValueError(
                f"{self.mode.value} needs {' and '.join(missing)}: set in .env or the environment, or use mode sim"
            )
        return self

    def secret_values(self) -> list[str]:
        """Return every secret in plain form, for the log redaction only."""
        found = [value.get_secret_value() for value in self.__dict__.values() if isinstance(value, SecretStr)]
        password = urlsplit(self.db_url).password
        hook = self.slack_webhook_url
        # A webhook's path alone is the credential: a server's answer may quote it without the host.
        path = urlsplit(hook.get_secret_value()).path.strip("/") if hook is not None else None
        return found + [secret for secret in (password, path) if secret]


def missing_for_mode(settings: Settings) -> list[str]:
    """Return the names of the settings that the mode needs and that are not there."""
    missing = []
    if settings.mode in KEYED_MODES:
        named = {"BINANCE_API_KEY": settings.binance_api_key, "BINANCE_API_SECRET": settings.binance_api_secret}
        missing = [name for name, value in named.items() if value is None or not value.get_secret_value().strip()]
    if settings.mode is Environment.MAINNET and settings.allow_mainnet != "yes":
        missing.append("ALLOW_MAINNET=yes")
    return missing
