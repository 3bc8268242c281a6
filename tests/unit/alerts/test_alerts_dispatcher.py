"""Delivery: retries with back-off, pauses, bursts, several channels, and faults that must not end the loop."""

from __future__ import annotations

import asyncio

import pytest

from alerts.channel import Delivered, Delivery, Failed, Message
from alerts.dispatcher import BURST, RETRY_MAX_S, SPACING_S, AlertDispatcher, parcels, retry_delay_s
from alerts.slack import SlackChannel
from core.clock import VirtualClock
from core.enums import Severity
from tests.unit.alerts.conftest import MemoryOutbox, WebhookServer

START = 1_767_182_602_123


class ScriptedChannel:
    """Answers as told, then takes everything."""

    def __init__(self, *outcomes: Delivery, name: str = "scripted") -> None:
        self.name = name
        self.outcomes = list(outcomes)
        self.messages: list[Message] = []

    async def send(self, message: Message) -> Delivery:
        self.messages.append(message)
        return self.outcomes.pop(0) if self.outcomes else Delivered()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


def dispatcher_of(outbox: MemoryOutbox, clock: VirtualClock, *channels: ScriptedChannel | SlackChannel):
    async def sleep(seconds: float) -> None:
        clock.advance_to(clock.now_ms() + round(seconds * 1_000))

    return AlertDispatcher(outbox, channels, clock, sleep=sleep)


def later(clock: VirtualClock, seconds: float) -> None:
    clock.advance_to(clock.now_ms() + round(seconds * 1_000))


async def test_deliver_due_sends_each_once_gravest_first_and_spaced(outbox: MemoryOutbox, clock: VirtualClock) -> None:
    outbox.add(Severity.INFO, "started")
    outbox.add(Severity.CRITICAL, "stop refused")
    channel = ScriptedChannel()
    dispatcher = dispatcher_of(outbox, clock, channel)
    assert await dispatcher.deliver_due() == 2
    assert [message.title for message in channel.messages] == ["stop refused", "started"]
    assert channel.messages[0].fields == {"mode": "sim"}
    assert clock.now_ms() == START + SPACING_S * 1_000
    assert await dispatcher.deliver_due() == 0
    assert len(channel.messages) == 2


async def test_deliver_due_failure_is_retried_with_growing_delay(outbox: MemoryOutbox, clock: VirtualClock) -> None:
    outbox.add()
    channel = ScriptedChannel(*[Failed("HTTP 500: oops")] * 3)
    dispatcher = dispatcher_of(outbox, clock, channel)
    delays = []
    for _ in range(3):
        assert await dispatcher.deliver_due() == 0
        delays.append(outbox.retry_at[1] - clock.now_ms())
        later(clock, delays[-1] / 1_000 - 0.001)
        assert await dispatcher.deliver_due() == 0  # not due yet: nothing is sent
        later(clock, 0.001)
    assert delays == [5_000, 10_000, 20_000]
    assert len(channel.messages) == 3
    assert await dispatcher.deliver_due() == 1
    assert outbox.errors[0][:2] == (1, "HTTP 500: oops")


async def test_deliver_due_retry_after_pauses_the_whole_channel(outbox: MemoryOutbox, clock: VirtualClock) -> None:
    outbox.add(title="first")
    outbox.add(title="second")
    channel = ScriptedChannel(Failed("HTTP 429: slow", retry_after_s=30))
    dispatcher = dispatcher_of(outbox, clock, channel)
    assert await dispatcher.deliver_due() == 0
    assert [message.title for message in channel.messages] == ["first"]  # the second was not even tried
    assert outbox.retry_at == {1: START + 30_000, 2: START + 30_000}
    later(clock, 29)
    assert await dispatcher.deliver_due() == 2
    assert [message.title for message in channel.messages] == ["first", "first", "second"]


async def test_deliver_due_one_working_channel_is_enough(outbox: MemoryOutbox, clock: VirtualClock) -> None:
    outbox.add()
    broken, working = ScriptedChannel(Failed("down"), name="a"), ScriptedChannel(name="b")
    assert await dispatcher_of(outbox, clock, broken, working).deliver_due() == 1
    assert len(broken.messages) == len(working.messages) == 1
    assert outbox.errors == []


async def test_deliver_due_without_channels_settles_the_outbox(outbox: MemoryOutbox, clock: VirtualClock) -> None:
    outbox.add()
    assert await dispatcher_of(outbox, clock).deliver_due() == 1
    assert outbox.sent == {1: START}


async def test_deliver_due_flood_becomes_one_message_and_every_alert_is_settled(
    outbox: MemoryOutbox, clock: VirtualClock
) -> None:
    for number in range(30):
        outbox.add(Severity.WARNING, "Connection lost" if number % 2 else "Error in exchange")
    outbox.add(Severity.CRITICAL, "BTCUSDT: stop refused")
    channel = ScriptedChannel()
    assert await dispatcher_of(outbox, clock, channel).deliver_due() == 31
    assert [message.title for message in channel.messages] == ["BTCUSDT: stop refused", "30 alerts"]
    assert channel.messages[1].text == "[warning] Error in exchange (15 times)\n[warning] Connection lost (15 times)"
    assert set(outbox.sent) == set(range(1, 32))


async def test_deliver_due_failed_flood_is_kept_whole(outbox: MemoryOutbox, clock: VirtualClock) -> None:
    for _ in range(10):
        outbox.add(Severity.INFO, "x")
    channel = ScriptedChannel(Failed("down"))
    dispatcher = dispatcher_of(outbox, clock, channel)
    assert await dispatcher.deliver_due() == 0
    later(clock, 5)
    assert await dispatcher.deliver_due() == 10


def test_parcels_many_critical_alerts_are_collapsed_too(outbox: MemoryOutbox) -> None:
    for number in range(40):
        outbox.add(Severity.CRITICAL, f"title {number}")
    made = parcels(list(outbox.items.values()))
    assert len(made) == BURST
    assert [item.id for parcel in made for item in parcel.items] == list(range(1, 41))
    assert made[-1].message.severity is Severity.CRITICAL
    assert made[-1].message.text.endswith("... and 16 more")


@pytest.mark.parametrize(
    ("attempts", "failures", "expected"),
    [
        (0, [Failed("a")], 5),
        (3, [Failed("a")], 40),
        (50, [Failed("a")], RETRY_MAX_S),
        (0, [Failed("a", permanent=True)], RETRY_MAX_S),
        (0, [Failed("a", permanent=True), Failed("b")], 5),
        (0, [Failed("a", retry_after_s=120)], 120),
        (0, [Failed("a", retry_after_s=120), Failed("b", retry_after_s=7)], 7),
    ],
)
def test_retry_delay_grows_and_respects_what_channels_ask(
    attempts: int, failures: list[Failed], expected: float
) -> None:
    assert retry_delay_s(attempts, failures) == expected


async def test_run_survives_a_broken_outbox_and_beats_only_on_success(
    outbox: MemoryOutbox, clock: VirtualClock
) -> None:
    outbox.add()
    outbox.broken = True
    beats: list[int] = []
    rounds = 0

    async def sleep(seconds: float) -> None:
        nonlocal rounds
        rounds += 1
        later(clock, seconds)
        outbox.broken = rounds < 2
        if rounds == 4:
            raise asyncio.CancelledError

    dispatcher = AlertDispatcher(outbox, [], clock, sleep=sleep, on_step=lambda: beats.append(clock.now_ms()))
    with pytest.raises(asyncio.CancelledError):
        await dispatcher.run()
    assert len(beats) == 2
    assert list(outbox.sent) == [1]


async def test_flush_gives_up_at_its_deadline_and_leaves_the_alert_in_the_outbox(
    outbox: MemoryOutbox, clock: VirtualClock, server: WebhookServer
) -> None:
    outbox.add()
    server.hang = True
    await dispatcher_of(outbox, clock, SlackChannel(server.url)).flush(timeout_s=0.05)
    assert outbox.sent == {}
    assert [item.id for item in outbox.due(clock.now_ms(), 10)] == [1]


async def test_deliver_due_through_slack_429_then_200(
    outbox: MemoryOutbox, clock: VirtualClock, server: WebhookServer
) -> None:
    outbox.add(Severity.CRITICAL, "BTCUSDT: stop refused")
    server.answers.append((429, {"Retry-After": "12"}, "slow"))
    dispatcher = dispatcher_of(outbox, clock, SlackChannel(server.url))
    assert await dispatcher.deliver_due() == 0
    assert outbox.retry_at[1] == START + 12_000
    later(clock, 12)
    assert await dispatcher.deliver_due() == 1
    assert [post["text"] for post in server.posted] == ["[critical] BTCUSDT: stop refused"] * 2
