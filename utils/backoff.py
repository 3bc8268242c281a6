"""Delays between attempts: exponential with jitter, the same every time for the same seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random


@dataclass(slots=True)
class Backoff:
    """Jittered exponential delays in seconds: attempt n waits `base * factor**n`, at most `maximum`, half of it random.

    Equal jitter keeps a floor under the wait (a full-jitter delay may be near nought) and still spreads clients that
    failed together. The generator is seeded, so that runs repeat.
    """

    base: float
    maximum: float
    factor: float = 2.0
    seed: int = 0
    _attempt: int = field(default=0, init=False)
    _random: Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.base <= 0 or self.maximum < self.base or self.factor < 1:
            raise ValueError(f"back-off needs 0 < base <= maximum and factor >= 1, got {self}")
        self._random = Random(self.seed)

    def next_delay(self) -> float:
        """Return how many seconds to wait before the next attempt, and count it."""
        ceiling = delay_ceiling(self._attempt, self.base, self.maximum, self.factor)
        self._attempt += 1
        return ceiling / 2 + self._random.random() * ceiling / 2

    def reset(self) -> None:
        """Start over after a success."""
        self._attempt = 0


def delay_ceiling(attempt: int, base: float, maximum: float, factor: float = 2.0) -> float:
    """Return the un-jittered delay of an attempt (counted from 0) in seconds, without overflow at any count."""
    try:
        return min(maximum, base * factor**attempt)
    except OverflowError:
        return maximum
