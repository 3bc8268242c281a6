"""Removes secrets from text. One registry for the process: what is registered never leaves it in readable form.

Two nets: exact values that were registered (plain, URL-encoded, as inside JSON and repr), and shapes that are secret
wherever they stand (signatures, listen keys, API keys, webhook URLs, passwords in URLs, 1Password references).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from threading import Lock
from urllib.parse import quote, quote_plus

MASK = "****"
MIN_SECRET_LENGTH = 6
"""Shorter values are not registered: masking them would black out ordinary words. No real credential is shorter."""

_NAMED = (
    r"signature|listen_?key|api[_-]?key|api[_-]?secret|x-mbx-apikey|secret|token|password|passwd|authorization"
    r"|webhook_?url"
)
_NAMED_HINTS = ("signature", "listen", "key", "secret", "token", "passw", "authorization", "webhook")
# (words of which one must occur, lower case; pattern; replacement). The words are looked for first because that is
# twenty times faster than the patterns, and nearly every line has none of them.
_SHAPES: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    # key=value, also with the percent-encoded "=" of a nested URL
    (
        _NAMED_HINTS,
        re.compile(rf"(?i)({_NAMED})([\"']?\s*(?:=|%3D)\s*(?:b?[\"']|SecretStr\(')?)([^\s\"'&,;)}}\]]+)"),
        rf"\1\2{MASK}",
    ),
    # "key": "value" and ("key", "value")
    (_NAMED_HINTS, re.compile(rf"(?i)({_NAMED})([\"']?\s*[:,]\s*b?[\"'])([^\"']+)"), rf"\1\2{MASK}"),
    # key: value without quotes, where the value does not read like a word of a sentence
    (
        _NAMED_HINTS,
        re.compile(rf"(?i)({_NAMED})(\s*:\s*)(?=[^\s]*\d)([^\s\"',;]{{12,}})"),
        rf"\1\2{MASK}",
    ),
    (
        ("hooks.slack",),
        re.compile(r"(?i)(https?(?:://|%3A%2F%2F)hooks\.slack\.com)(?:/|%2F)[^\s\"'<>]*"),
        rf"\1/{MASK}",
    ),
    (("://",), re.compile(r"(?i)(://[^\s/:@\"']*:)[^\s/@\"']+@"), rf"\1{MASK}@"),
    (("op://",), re.compile(r"(?i)\bop://[^\s\"'<>]+"), f"op://{MASK}"),
    (("ops_",), re.compile(r"\bops_[A-Za-z0-9_\-]{16,}"), MASK),
)
# The venue's API keys, API secrets, listen keys and HMAC signatures are all 64 letters and digits.
_KEY_LENGTH = 64
_KEY = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{64}(?![A-Za-z0-9])")


class Redactor:
    """Knows the secrets of this process and masks them. Registering and redacting may happen in any thread."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._lowered: tuple[str, ...] = ()
        self._pattern = re.compile(r"(?!)")  # matches nothing
        self._lock = Lock()

    def register(self, secrets: Iterable[str]) -> None:
        """Mask these values from now on. Blank ones and those under `MIN_SECRET_LENGTH` characters are left out."""
        with self._lock:
            for secret in secrets:
                if len(secret.strip()) >= MIN_SECRET_LENGTH:
                    self._forms.update(_forms_of(secret.strip()))
            if not self._forms:
                return
            longest_first = sorted(self._forms, key=lambda form: (-len(form), form))
            # Percent escapes come in either case (%2f, %2F), so letter case is ignored altogether.
            self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
            self._lowered = tuple({form.lower() for form in self._forms})

    def redact(self, text: str) -> str:
        """Return `text` with every known or recognisable secret replaced by `MASK`."""
        lowered = text.lower()
        # Lower-casing text that is not ASCII depends on its neighbours; such text is searched in any case.
        if not text.isascii() or any(form in lowered for form in self._lowered):
            text = self._pattern.sub(MASK, text)
        for hints, shape, replacement in _SHAPES:
            if any(hint in lowered for hint in hints):
                text = shape.sub(replacement, text)
        return _KEY.sub(MASK, text) if len(text) >= _KEY_LENGTH else text


def _forms_of(secret: str) -> set[str]:
    encoded = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    twice = {quote(form, safe="") for form in encoded}
    escaped = {json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    return {secret} | encoded | twice | escaped


_REDACTOR = Redactor()


def register_secret(*secrets: str) -> None:
    """Mask these values in every log line, traceback and alert of this process from now on."""
    _REDACTOR.register(secrets)


def redact(text: str) -> str:
    """Return `text` without secrets; for anything that leaves the process (logs, alerts, status, stored details)."""
    return _REDACTOR.redact(text)
