"""Lock-step play needs a recording, and an exchange of our own to play it."""

from __future__ import annotations

import pytest

from commands.options import RunOptions, refuse_contradictions
from config.settings import Settings
from core.enums import Environment
from core.errors import ConfigurationError

LOCKSTEP = RunOptions(None, None, None, fresh=True, keep_database=False, lockstep=True)


def test_lockstep_with_a_recording_is_allowed() -> None:
    refuse_contradictions(Settings(mode=Environment.SIM), LOCKSTEP, data=True, speed=False)


@pytest.mark.parametrize(
    ("mode", "data", "words"),
    [
        (Environment.SIM, False, "--lockstep plays recorded candles; name their folder with --data"),
        (Environment.PAPER, False, "--lockstep plays --data on our own exchange: mode sim"),
    ],
)
def test_lockstep_without_what_it_needs_is_refused(mode: Environment, data: bool, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        refuse_contradictions(Settings(mode=mode), LOCKSTEP, data=data, speed=False)
