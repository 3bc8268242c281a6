"""Back-off, time formatting and atomic files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils import timefmt
from utils.atomic import write_atomic
from utils.backoff import Backoff, delay_ceiling

NOON = 1_767_182_602_123  # 2025-12-31T12:03:22.123Z


def test_next_delay_grows_within_its_jitter_and_stops_at_the_maximum() -> None:
    backoff = Backoff(base=1.0, maximum=10.0, seed=3)
    delays = [backoff.next_delay() for _ in range(8)]
    for delay, ceiling in zip(delays, [1, 2, 4, 8, 10, 10, 10, 10], strict=True):
        assert ceiling / 2 <= delay <= ceiling
    assert len(set(delays)) == 8


def test_next_delay_same_seed_repeats_and_other_seed_differs() -> None:
    def run(seed: int) -> list[float]:
        backoff = Backoff(base=0.5, maximum=60, seed=seed)
        return [backoff.next_delay() for _ in range(5)]

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_reset_starts_over() -> None:
    backoff = Backoff(base=1, maximum=100)
    for _ in range(6):
        backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() <= 1


def test_delay_ceiling_huge_attempt_does_not_overflow() -> None:
    assert delay_ceiling(100_000, 1.0, 30.0) == 30.0


@pytest.mark.parametrize(("base", "maximum", "factor"), [(0, 1, 2), (2, 1, 2), (1, 2, 0.5)])
def test_backoff_impossible_numbers_are_refused(base: float, maximum: float, factor: float) -> None:
    with pytest.raises(ValueError, match="back-off needs"):
        Backoff(base, maximum, factor)


def test_time_formats_are_utc_and_exact() -> None:
    assert timefmt.iso(NOON) == "2025-12-31T12:03:22.123Z"
    assert timefmt.short(NOON) == "2025-12-31 12:03:22"
    assert timefmt.clock(NOON) == "12:03:22"
    assert timefmt.day(NOON) == "2025-12-31"
    assert timefmt.day(NOON - NOON % 86_400_000 - 1) == "2025-12-30"


@settings(max_examples=50)
@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_parse_time_reads_back_what_iso_wrote(time_ms: int) -> None:
    assert timefmt.parse_time(timefmt.iso(time_ms)) == time_ms
    assert timefmt.to_ms(timefmt.to_datetime(time_ms)) == time_ms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-12-31", "2025-12-31T00:00:00.000Z"),
        ("2025-12-31 12:03", "2025-12-31T12:03:00.000Z"),
        ("2025-12-31T12:03:00+02:00", "2025-12-31T10:03:00.000Z"),
        (str(NOON), "2025-12-31T12:03:22.123Z"),
    ],
)
def test_parse_time_accepts_the_forms_people_type(text: str, expected: str) -> None:
    assert timefmt.iso(timefmt.parse_time(text)) == expected


def test_parse_time_nonsense_names_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="'yesterday' is not a time; write 2026-01-31"):
        timefmt.parse_time("yesterday")


def test_to_ms_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        timefmt.to_ms(datetime(2025, 12, 31, tzinfo=UTC).replace(tzinfo=None))


@pytest.mark.parametrize(
    ("span_ms", "expected"),
    [
        (0, "0ms"),
        (450, "450ms"),
        (12_345, "12.3s"),
        (59_999, "59.9s"),
        (60_000, "1m 00s"),
        (245_000, "4m 05s"),
        (3 * 3_600_000 + 12 * 60_000 + 59_000, "3h 12m"),
        (2 * 86_400_000 + 4 * 3_600_000, "2d 04h"),
        (-245_000, "-4m 05s"),
    ],
)
def test_duration_shows_its_two_largest_units(span_ms: int, expected: str) -> None:
    assert timefmt.duration(span_ms) == expected


@pytest.mark.parametrize("durable", [False, True])
def test_write_atomic_replaces_content_and_leaves_nothing_behind(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "new" / "file.json"
    write_atomic(path, "one", durable=durable)
    write_atomic(path, "zwei ä", durable=durable)
    assert path.read_text(encoding="utf-8") == "zwei ä"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.json"]


def test_write_atomic_failure_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    write_atomic(path, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]
