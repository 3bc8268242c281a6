"""The outbox: each alert once, oldest first, until it is delivered."""

from __future__ import annotations

from core.enums import Severity
from core.ports import Outbox, OutboxItem
from tests.unit.database import examples

NOW = examples.T0 - 86_400_000
"""Our clock may lie far behind the venue time in which alerts are created: both must work."""


async def test_new_alert_is_due_at_once_with_its_fields(database):
    await database.writer.commit([examples.alert()])
    outbox: Outbox = database.outbox
    assert outbox.due(NOW, 10) == [
        OutboxItem(1, Severity.INFO, "Started", "Trading ten symbols", {"mode": "sim"}, examples.T0, 0)
    ]


async def test_same_key_twice_is_one_alert(database):
    await database.writer.commit([examples.alert("a"), examples.alert("a"), examples.alert("b")])
    await database.writer.commit([examples.alert("a")])
    assert len(database.outbox.due(NOW, 10)) == 2


async def test_sent_alert_is_never_due_again_even_with_its_key(database):
    await database.writer.commit([examples.alert()])
    database.outbox.mark_sent(1, NOW)
    await database.writer.commit([examples.alert()])
    assert database.outbox.due(NOW + 1_000_000, 10) == []


async def test_failed_alert_is_due_again_at_its_time_with_its_attempts(database):
    await database.writer.commit([examples.alert()])
    database.outbox.mark_failed(1, "500 from the webhook", NOW + 5_000)
    assert database.outbox.due(NOW + 4_999, 10) == []
    (item,) = database.outbox.due(NOW + 5_000, 10)
    assert item.attempts == 1


async def test_due_returns_the_oldest_up_to_the_limit(database):
    await database.writer.commit([examples.alert(str(n)) for n in range(5)])
    assert [item.id for item in database.outbox.due(NOW, 3)] == [1, 2, 3]
