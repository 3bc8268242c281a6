"""1Password references: resolved once, failures that name the setting and nothing else."""

from __future__ import annotations

import asyncio
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from config.load import load_settings
from config.secrets import OnePasswordResolver, UnresolvedSecret
from core.errors import ConfigurationError

Write = Callable[[str], Path]


class FakeVault:
    """A resolver that knows some references and notes what it was asked."""

    def __init__(self, vault: Mapping[str, str]) -> None:
        self.vault = vault
        self.asked: list[tuple[str, dict[str, str]]] = []

    def resolve(self, token: str, references: Mapping[str, str]) -> dict[str, str]:
        self.asked.append((token, dict(references)))
        for name, reference in references.items():
            if reference not in self.vault:
                raise UnresolvedSecret(name, "ItemNotFound")
        return {name: self.vault[reference] for name, reference in references.items()}


def test_load_settings_any_value_may_be_a_reference_and_is_resolved_in_one_go(env_file: Write) -> None:
    path = env_file(
        "OP_SERVICE_ACCOUNT_TOKEN=token-of-ours\nBINANCE_API_KEY=op://v/binance/key\n"
        "BINANCE_API_SECRET=op://v/binance/section/secret\nRECV_WINDOW_MS=op://v/binance/window\nMODE=testnet"
    )
    vault = FakeVault(
        {
            "op://v/binance/key": "resolved-key",
            "op://v/binance/section/secret": "resolved-secret",
            "op://v/binance/window": "7000",
        }
    )
    settings = load_settings(path, resolver=vault)
    assert settings.binance_api_key is not None and settings.binance_api_key.get_secret_value() == "resolved-key"
    assert settings.binance_api_secret is not None
    assert settings.binance_api_secret.get_secret_value() == "resolved-secret"
    assert settings.recv_window_ms == 7000
    assert [token for token, _ in vault.asked] == ["token-of-ours"]


def test_load_settings_without_references_asks_nobody(env_file: Write) -> None:
    vault = FakeVault({})
    load_settings(env_file("MODE=sim"), resolver=vault)
    assert vault.asked == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "BINANCE_API_KEY=op://hidden-vault/i/f",
            ".env:1: BINANCE_API_KEY: is a 1Password reference, so OP_SERVICE_ACCOUNT_TOKEN must be set",
        ),
        (
            "OP_SERVICE_ACCOUNT_TOKEN=hidden-token\nRISK_USD=op://hidden-vault/i/f",
            ".env:2: RISK_USD: 1Password could not resolve it (ItemNotFound); check the reference, the vault's "
            "permissions and OP_SERVICE_ACCOUNT_TOKEN",
        ),
        (
            "OP_SERVICE_ACCOUNT_TOKEN=hidden-token\nRISK_USD=op://hidden-vault",
            ".env:2: RISK_USD: a 1Password reference reads op://vault/item/field",
        ),
        (
            "OP_SERVICE_ACCOUNT_TOKEN=op://hidden-vault/i/f",
            ".env:1: OP_SERVICE_ACCOUNT_TOKEN: cannot itself be a 1Password reference",
        ),
    ],
)
def test_load_settings_unresolvable_reference_names_only_the_setting(env_file: Write, text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(env_file(text), resolver=FakeVault({}))
    assert str(caught.value) == expected
    assert "hidden-" not in "".join(traceback.format_exception(caught.value))


def test_load_settings_bad_resolved_value_is_not_quoted(env_file: Write) -> None:
    path = env_file("OP_SERVICE_ACCOUNT_TOKEN=token-of-ours\nRECV_WINDOW_MS=op://v/i/f")
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path, resolver=FakeVault({"op://v/i/f": "hidden-value"}))
    assert str(caught.value) == ".env:2: RECV_WINDOW_MS: must be a whole number between 1 and 60000"


class FakeSdk:
    """Stands in the place of `onepassword.client`, whose real one needs an account."""

    def __init__(self, *, authenticates: bool = True, hangs: bool = False) -> None:
        self.calls: list[dict[str, str]] = []
        self.secrets = self
        self._authenticates = authenticates
        self._hangs = hangs

    async def authenticate(self, **arguments: str) -> FakeSdk:
        self.calls.append(arguments)
        if not self._authenticates:
            raise Exception(f"invalid token {arguments['auth']}")  # the SDK raises bare exceptions
        return self

    async def resolve(self, reference: str) -> str:
        if self._hangs:
            await asyncio.sleep(3600)
        if reference.endswith("missing"):
            raise Exception(f"no item {reference}")
        return f"value of {reference}"


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeSdk]:
    def install(**options: bool) -> FakeSdk:
        fake = FakeSdk(**options)
        module: Any = types.ModuleType("onepassword.client")
        module.Client = fake
        monkeypatch.setitem(sys.modules, "onepassword", types.ModuleType("onepassword"))
        monkeypatch.setitem(sys.modules, "onepassword.client", module)
        return fake

    return install


def test_resolve_authenticates_once_for_several_references(sdk: Callable[..., FakeSdk]) -> None:
    fake = sdk()
    values = OnePasswordResolver().resolve("token", {"A": "op://v/i/a", "B": "op://v/i/b"})
    assert values == {"A": "value of op://v/i/a", "B": "value of op://v/i/b"}
    assert [call["auth"] for call in fake.calls] == ["token"]


@pytest.mark.parametrize(
    ("options", "references", "name", "cause"),
    [
        ({"authenticates": False}, {"A": "op://v/i/a"}, "A", "Exception"),
        ({}, {"A": "op://v/i/a", "B": "op://v/i/missing"}, "B", "Exception"),
        ({"hangs": True}, {"A": "op://v/i/a"}, "A", "no answer within 0.01 s"),
    ],
)
def test_resolve_failure_names_the_setting_and_the_kind_of_failure(
    sdk: Callable[..., FakeSdk], options: dict[str, bool], references: dict[str, str], name: str, cause: str
) -> None:
    sdk(**options)
    with pytest.raises(UnresolvedSecret) as caught:
        OnePasswordResolver(timeout_s=0.01).resolve("token", references)
    assert (caught.value.name, caught.value.cause) == (name, cause)
    assert "op://" not in str(caught.value) and "token" not in str(caught.value)
