"""Every code that the trader can write has words that a person understands."""

from __future__ import annotations

import pytest

from core.enums import Leg
from core.records import ExitReason, SignalStatus
from dashboard import words
from executor.denials import DenialCode


def test_every_denial_code_has_words():
    assert {code.value for code in DenialCode} == set(words.DENIALS)


@pytest.mark.parametrize(
    ("vocabulary", "known"), [(SignalStatus, words.STATUSES), (ExitReason, words.EXITS), (Leg, words.LEGS)]
)
def test_every_member_has_words(vocabulary, known):
    assert set(known) == set(vocabulary)


def test_denial_in_words_names_its_numbers():
    text = words.denial("stop_too_close", {"distance": "0.00010000", "min_fraction": "0.0005"})
    assert text == "the stop is too close (distance 0.0001, min fraction 0.0005)"


def test_denial_of_a_later_version_is_shown_as_its_own_words():
    assert words.denial("moon_too_bright", {}) == "moon too bright"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("94210.123456", "94,210.1"),
        ("10", "10"),
        ("0.0000123456789", "0.0000123457"),
        ("TRADING", "TRADING"),
        ("NaN", "NaN"),
    ],
)
def test_short_number(text, shown):
    assert words.short_number(text) == shown
