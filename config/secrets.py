"""Resolves 1Password references (`op://vault/item/field`), once at start. Errors name the setting, nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from core.errors import ConfigurationError

PREFIX = "op://"
TIMEOUT_S = 30.0
TOKEN_SETTING = "OP_SERVICE_ACCOUNT_TOKEN"  # noqa: S105 - the name of a setting


class SecretResolver(Protocol):
    """Fetches the values behind references. May raise anything; the texts of its errors are never shown."""

    def resolve(self, token: str, references: Mapping[str, str]) -> dict[str, str]:
        """Return setting name → value for setting name → reference; raises `UnresolvedSecret` naming the setting."""
        ...


@dataclass
class UnresolvedSecret(Exception):
    """A reference that could not be resolved. `cause` is the kind of failure, without its text."""

    name: str
    cause: str


class OnePasswordResolver:
    """Resolves with the official SDK in an event loop of its own, so it must not be called inside a running one."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s

    def resolve(self, token: str, references: Mapping[str, str]) -> dict[str, str]:
        return asyncio.run(self._resolve(token, references))

    async def _resolve(self, token: str, references: Mapping[str, str]) -> dict[str, str]:
        from onepassword.client import Client  # noqa: PLC0415 - 20 MB that most runs never need

        values: dict[str, str] = {}
        client: Any = None
        for name, reference in references.items():
            try:
                async with asyncio.timeout(self._timeout_s):
                    if client is None:
                        client = await Client.authenticate(
                            auth=token, integration_name="futures-trader", integration_version="1.0"
                        )
                    values[name] = await client.secrets.resolve(reference)
            except TimeoutError:
                raise UnresolvedSecret(name, f"no answer within {self._timeout_s:g} s") from None
            except Exception as error:  # the SDK raises bare exceptions whose text quotes the reference
                raise UnresolvedSecret(name, type(error).__name__) from None
        return values


def resolve_references(
    values: Mapping[str, Any], resolver: SecretResolver, where: Callable[[str], str]
) -> dict[str, Any]:
    """Return `values` (upper-case setting name → text) with every `op://` reference replaced by what it stands for.

    `where` says in which file and line a setting stands. Raises ConfigurationError that names the setting and never
    its value or reference.
    """
    references = {
        name: value.strip()
        for name, value in values.items()
        if isinstance(value, str) and value.strip().lower().startswith(PREFIX)
    }
    if not references:
        return dict(values)
    if TOKEN_SETTING in references:
        raise ConfigurationError(f"{where(TOKEN_SETTING)}: {TOKEN_SETTING}: cannot itself be a 1Password reference")
    for name, reference in references.items():
        if not 3 <= len([part for part in reference[len(PREFIX) :].split("/") if part]) <= 4:
            raise ConfigurationError(f"{where(name)}: {name}: a 1Password reference reads op://vault/item/field")
    token = str(values.get(TOKEN_SETTING) or "")
    if not token:
        first = next(iter(references))
        raise ConfigurationError(f"{where(first)}: {first}: is a 1Password reference, so {TOKEN_SETTING} must be set")
    try:
        return {**values, **resolver.resolve(token, references)}
    except UnresolvedSecret as error:
        raise ConfigurationError(
            f"{where(error.name)}: {error.name}: 1Password could not resolve it ({error.cause}); "
            f"check the reference, the vault's permissions and {TOKEN_SETTING}"
        ) from None
