"""The heartbeat is believed only while it is young and readable."""

from __future__ import annotations

import json

import pytest

from dashboard.heartbeat import STALE_MS, read_heartbeat

NOW = 1_746_057_600_000
BEAT = {"time_ms": NOW - 2_000, "mode": "sim", "version": "0.1.0", "health": "red", "reasons": ["x"], "uptime_s": 9}


def write(folder, data) -> None:
    (folder / "heartbeat.json").write_text(data if isinstance(data, str) else json.dumps(data))


def test_read_heartbeat_gives_age_and_reasons(tmp_path):
    write(tmp_path, BEAT)
    beat = read_heartbeat(tmp_path, NOW)
    assert beat is not None
    assert (beat.age_ms, beat.health, beat.reasons, beat.is_stale) == (2_000, "red", ("x",), False)


def test_read_heartbeat_older_than_three_beats_is_stale(tmp_path):
    write(tmp_path, BEAT)
    beat = read_heartbeat(tmp_path, NOW + STALE_MS)
    assert beat is not None and beat.is_stale


@pytest.mark.parametrize("data", ["", "{", "[]", "{}", '{"time_ms": "soon", "mode": "sim", "health": "green"}'])
def test_read_heartbeat_that_cannot_be_read_is_none(tmp_path, data):
    write(tmp_path, data)
    assert read_heartbeat(tmp_path, NOW) is None


def test_read_heartbeat_absent_is_none(tmp_path):
    assert read_heartbeat(tmp_path, NOW) is None
