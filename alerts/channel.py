"""What a channel of delivery is. Slack is one; others join by implementing `AlertChannel`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from core.enums import Severity


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel delivers: one alert, or several collapsed into one."""

    severity: Severity
    title: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The channel took the message."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The channel did not take it. `error` holds no secret. `retry_after_s`: the channel asked for this pause.

    `permanent`: the same message will be refused again (a wrong address, a malformed message).
    """

    error: str
    retry_after_s: float | None = None
    permanent: bool = False


Delivery = Delivered | Failed


class AlertChannel(Protocol):
    """Delivers messages. Never raises, and answers within a bounded time."""

    name: str

    async def send(self, message: Message) -> Delivery: ...
