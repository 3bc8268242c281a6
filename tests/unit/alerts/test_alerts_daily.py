"""The day's summary: once a day, when the day is over, and never for the day in which the trader started late."""

from __future__ import annotations

from decimal import Decimal

from alerts.daily import DailySummary
from core.clock import VirtualClock
from core.records import AccountStatRecord, AlertRecord, PerformanceRecord

DAY_MS = 86_400_000
NOON = 20_000 * DAY_MS + DAY_MS // 2


class Heard(list[AlertRecord]):
    def emit(self, alert: AlertRecord) -> None:
        self.append(alert)


def performance(day: str) -> PerformanceRecord:
    money = Decimal("12.5")
    return PerformanceRecord("vwap", "BTCUSDT", day, 3, 2, 1, money, Decimal(1), Decimal(0), money, money, 0)


def test_daily_summary_is_sent_once_when_the_venues_day_has_changed() -> None:
    clock, heard, asked = VirtualClock(NOON), Heard(), list[str]()

    class Venue:
        def venue_time_ms(self) -> int:
            return clock.now_ms()

    class Stored:
        def performance(self, day: str) -> list[PerformanceRecord]:
            asked.append(day)
            return [performance(day)]

        def latest_account_stat(self) -> AccountStatRecord:
            money = Decimal("10011.5")
            return AccountStatRecord(NOON, money, money, money, Decimal(0), 0, money)

    summary = DailySummary(heard, Stored(), Venue(), clock, mode="sim")
    summary.step()
    summary.step()
    assert heard == []
    clock.advance_to(NOON + DAY_MS)
    summary.step()
    summary.step()
    assert asked == ["2024-10-04"]
    (alert,) = heard
    assert alert.fields["net PnL"] == "11.5"
    assert alert.fields["equity"] == "10011.5"
    assert "vwap BTCUSDT: 11.5 in 3 trades" in alert.text


def test_daily_summary_with_a_review_waits_for_five_minutes_past_midnight_and_tells_it() -> None:
    clock, heard, reviewed = VirtualClock(NOON), Heard(), list[str]()

    class Venue:
        def venue_time_ms(self) -> int:
            return clock.now_ms()

    class Stored:
        def performance(self, day: str) -> list[PerformanceRecord]:
            return [performance(day)]

        def latest_account_stat(self) -> None:
            return None

    def review(day: str) -> str:
        reviewed.append(day)
        return "all 3 trades as in the replay"

    summary = DailySummary(heard, Stored(), Venue(), clock, mode="sim", review=review)
    summary.step()
    clock.advance_to(NOON + DAY_MS // 2 + 299_000)
    summary.step()
    assert (heard, reviewed) == ([], [])
    clock.advance_to(NOON + DAY_MS // 2 + 300_000)
    summary.step()
    summary.step()

    assert reviewed == ["2024-10-04"]
    (alert,) = heard
    assert alert.fields["drift"] == "all 3 trades as in the replay"
