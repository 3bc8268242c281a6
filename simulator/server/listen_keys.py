"""Listen keys of the user stream: valid for 60 minutes, one at a time, extended by POST and PUT."""

from __future__ import annotations

import hashlib

from simulator.engine.errors import ApiError

LIFE_MS = 60 * 60_000


class ListenKeys:
    """The account's listen key. Times are gateway (wall) milliseconds.

    Keys live in memory only: after a restart of the exchange none is known, as after a real outage.
    """

    def __init__(self, secret: str, life_ms: int = LIFE_MS) -> None:
        self._secret = secret
        self._life_ms = life_ms
        self._key: str | None = None
        self._expires_ms = 0
        self._made = 0
        self._ended: list[str] = []

    def open(self, now_ms: int) -> str:
        """Return the valid key, extended, or a new one."""
        self._expire(now_ms)
        if self._key is None:
            self._made += 1
            seed = f"{self._secret}:{now_ms}:{self._made}"
            self._key = hashlib.sha256(seed.encode()).hexdigest()
        self._expires_ms = now_ms + self._life_ms
        return self._key

    def keep_alive(self, now_ms: int) -> str:
        """Extend the valid key and return it; -1125 if there is none."""
        self._expire(now_ms)
        if self._key is None:
            raise ApiError(-1125, "This listenKey does not exist.")
        return self.open(now_ms)

    def close(self, now_ms: int) -> None:
        """End the key, if there is one."""
        self._expires_ms = now_ms
        self._expire(now_ms)

    def is_valid(self, key: str, now_ms: int) -> bool:
        self._expire(now_ms)
        return key == self._key

    def drain_ended(self, now_ms: int) -> list[str]:
        """Return the keys that have ended since the last call, each once: their streams must be told."""
        self._expire(now_ms)
        ended, self._ended = self._ended, []
        return ended

    def _expire(self, now_ms: int) -> None:
        if self._key is not None and now_ms >= self._expires_ms:
            self._ended.append(self._key)
            self._key = None
