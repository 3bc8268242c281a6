"""Client order ids: our prefix, the instance epoch, the intent, the leg and its attempt, in 36 characters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from core.enums import Leg
from core.frozen import quick_init

PREFIX = "ft"
_PATTERN = re.compile(r"^ft-(?P<epoch>[0-9a-z]+)-(?P<intent>[0-9a-z]+)-(?P<leg>[ESTC])(?P<attempt>[0-9a-z]+)$")
ID_LENGTH_MAX = 36
"""Longest id that the venue takes."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@quick_init
@dataclass(frozen=True, slots=True)
class ClientOrderId:
    """Identity of one order of ours. Never reused: every resend after proof of absence keeps its id,
    every new order gets a new attempt number.

    `epoch` counts the starts of this database (the fencing token), `intent` its entry decisions.
    """

    epoch: int
    intent: int
    leg: Leg
    attempt: int

    def __str__(self) -> str:
        text = f"{PREFIX}-{_base36(self.epoch)}-{_base36(self.intent)}-{self.leg}{_base36(self.attempt)}"
        if len(text) > ID_LENGTH_MAX:  # its characters are all acceptable
            raise ValueError(f"client order id {text!r} is not acceptable to the venue")
        return text

    @classmethod
    def parse(cls, text: str) -> ClientOrderId | None:
        """Return the parsed id, or None for an order that is not ours."""
        return _parse(text)


@lru_cache(maxsize=1_024)  # every list of open orders names the same ones again
def _parse(text: str) -> ClientOrderId | None:
    match = _PATTERN.match(text)
    if match is None:
        return None
    return ClientOrderId(
        epoch=int(match["epoch"], 36),
        intent=int(match["intent"], 36),
        leg=Leg(match["leg"]),
        attempt=int(match["attempt"], 36),
    )


def is_ours(client_order_id: str) -> bool:
    """True when the order carries our prefix and shape."""
    return _PATTERN.match(client_order_id) is not None


@lru_cache(maxsize=1_024)  # one intent's ids are made within a short time
def _base36(number: int) -> str:
    if number < 0:
        raise ValueError(f"ids are not negative: {number}")
    digits = ""
    while True:
        number, rest = divmod(number, 36)
        digits = _DIGITS[rest] + digits
        if number == 0:
            return digits
