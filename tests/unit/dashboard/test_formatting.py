"""Numbers for eyes: rounded to the cent, never without their exact value at hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dashboard.formatting import MINUS, NONE, age, money, percent, price, quantity, result, signed, span, tone

D = Decimal


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10003.115", "10,003.12"),
        ("10003.105", "10,003.10"),
        ("0", "0.00"),
        ("-1234.5", f"{MINUS}1,234.50"),
        ("-0.001", "0.00"),
    ],
)
def test_money_rounds_half_even_to_the_cent(value, text):
    assert money(D(value)) == text


@pytest.mark.parametrize(
    ("value", "text"), [("12.3", "+12.30"), ("-3.1", f"{MINUS}3.10"), ("0.004", "0.00"), ("-0.004", "0.00")]
)
def test_signed_shows_the_sign_of_what_is_shown(value, text):
    assert signed(D(value)) == text


def test_nothing_is_a_dash():
    assert [money(None), signed(None), percent(None), price(None), quantity(None)] == [NONE] * 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("94211.10", "94,211.1"),
        ("0.00001234", "0.00001234"),
        ("1E+5", "100,000"),
        ("94211.123456789", "94,211.123"),
        ("0.68873333333333", "0.68873333"),
    ],
)
def test_price_keeps_the_venues_digits_and_shortens_averages(value, text):
    assert price(D(value)) == text


def test_quantity_never_shows_an_exponent():
    assert quantity(D("1E+3")) == "1,000"
    assert quantity(D("0.0000001")) == "0.0000001"


def test_percent_of_a_fraction():
    assert percent(D("0.6154"), places=1) == "61.5 %"
    assert percent(D("0.0022"), sign=True) == "+0.22 %"
    assert percent(D("-0.01"), sign=True) == f"{MINUS}1.00 %"


@pytest.mark.parametrize(("value", "css"), [("0.01", "up"), ("-0.01", "down"), ("0.001", "flat")])
def test_tone_follows_what_is_shown(value, css):
    assert tone(D(value)) == css


def test_result_carries_the_exact_value_as_tooltip():
    assert result(D("-1.648694250")) == f'<span class="num down" title="-1.648694250">{MINUS}1.65</span>'


def test_span_escapes_text_and_tooltip():
    assert span("<b>", "sym", '"x"') == '<span class="sym" title="&quot;x&quot;">&lt;b&gt;</span>'


@pytest.mark.parametrize(("ms", "text"), [(900, "just now"), (12_400, "12 s"), (245_000, "4m 05s")])
def test_age_in_words(ms, text):
    assert age(ms) == text
