"""Redaction: what is masked, and what must stay readable."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.redaction import MASK, Redactor


@pytest.mark.parametrize(
    "sentence",
    [
        "BINANCE_API_SECRET: is missing; set it in .env",
        "order ft-1-2-E0 filled 0.010 at 64250.10, fee 0.257",
        "sqlite:///./database/trader.db",
        "http://127.0.0.1:8080/fapi/v1/time",
        "signature for this request is not valid (-1022)",
        "commit 0123456789abcdef0123456789abcdef01234567",
    ],
)
def test_redact_ordinary_text_stays_as_it_is(sentence: str) -> None:
    assert Redactor().redact(sentence) == sentence


def test_register_blank_or_short_value_masks_nothing() -> None:
    redactor = Redactor()
    redactor.register(["", "   ", "a", "12345"])
    assert redactor.redact("a 12345 b") == "a 12345 b"


def test_redact_longer_secret_wins_over_its_own_prefix() -> None:
    redactor = Redactor()
    redactor.register(["abcdefgh", "abcdefghXYZ"])
    assert redactor.redact("<abcdefghXYZ>") == f"<{MASK}>"


@settings(max_examples=50)
@given(secret=st.text(min_size=6, max_size=40).filter(lambda text: len(text.strip()) >= 6))
def test_redact_any_secret_leaves_no_form_of_it(secret: str) -> None:
    redactor = Redactor()
    secret = secret.strip()
    redactor.register([secret])
    forms = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    for form in forms:
        assert redactor.redact(f"[{form}]") == f"[{MASK}]"
