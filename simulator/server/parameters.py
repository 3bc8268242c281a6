"""Request parameters: decoded once, read by type, refused with the venue's codes."""

from __future__ import annotations

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any, NoReturn
from urllib.parse import unquote_plus

from simulator.engine.errors import ApiError

_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_INTEGER = re.compile(r"-?[0-9]{1,19}")
CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")


class Parameters:
    """The parameters of one request. Where query and body both name one, the query's value wins."""

    __slots__ = ("_values",)

    def __init__(self, query: str, body: str = "") -> None:
        self._values = {**_decode(body), **_decode(query)} if body else _decode(query)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str | None:
        """Return the value, or None when it was not sent; an empty one is refused with -1105."""
        value = self._values.get(name)
        if value == "":
            raise ApiError(-1105, f"Parameter '{name}' was empty.")
        return value

    def required(self, name: str) -> str:
        """Return the value; absent or empty is refused with -1102."""
        value = self._values.get(name)
        if not value:
            missing(name)
        return value

    def integer(self, name: str) -> int | None:
        """Return a whole number, or None when it was not sent; anything else is refused with -1102."""
        value = self.text(name)
        if value is None:
            return None
        if not _INTEGER.fullmatch(value):
            missing(name)
        return int(value)

    def required_integer(self, name: str) -> int:
        self.required(name)
        value = self.integer(name)
        if value is None:
            missing(name)
        return value

    def decimal(self, name: str) -> Decimal | None:
        """Return a plain decimal, or None when it was not sent. A sign or an exponent is refused with -1100."""
        value = self.text(name)
        if value is None:
            return None
        if not _DECIMAL.fullmatch(value):
            raise ApiError(
                -1100,
                f"Illegal characters found in parameter '{name}'; "
                "legal range is '^([0-9]{1,20})(\\.[0-9]{1,20})?$'.",
            )
        return Decimal(value)

    def boolean(self, name: str, default: bool = False) -> bool:
        """Return true or false in any case of letters; anything else is refused with -1130."""
        value = self.text(name)
        if value is None:
            return default
        lowered = value.lower()
        if lowered not in ("true", "false"):
            bad_value(name)
        return lowered == "true"

    def word(self, name: str, allowed: Collection[str], refusal: tuple[int, str] | None = None) -> str | None:
        """Return one of `allowed`, or None when it was not sent; else refused with `refusal` or -1130."""
        value = self.text(name)
        if value is not None and value not in allowed:
            if refusal is not None:
                raise ApiError(*refusal)
            bad_value(name)
        return value

    def required_word(self, name: str, allowed: Collection[str], refusal: tuple[int, str]) -> str:
        """Like `word` for a parameter that must be there."""
        value = self.required(name)
        if value not in allowed:
            raise ApiError(*refusal)
        return value

    def client_id(self, name: str) -> str | None:
        """Return a client id of 1 to 36 letters, digits or `.:/_-`; anything else is refused with -4015."""
        value = self.text(name)
        if value is not None and not CLIENT_ID.fullmatch(value):
            raise ApiError(-4015, "Client order id is not valid.")
        return value

    def limit(self, default: int, maximum: int) -> int:
        """Return `limit`: the default when absent, capped at `maximum`; below 1 is refused with -1130."""
        value = self.integer("limit")
        if value is None:
            return default
        if value < 1:
            bad_value("limit")
        return min(value, maximum)

    def span(self) -> tuple[int | None, int | None]:
        """Return (startTime, endTime) in milliseconds; a start after the end is refused with -1023."""
        start, end = self.integer("startTime"), self.integer("endTime")
        if start is not None and end is not None and start > end:
            raise ApiError(-1023, "Start time is greater than end time.")
        return start, end


def missing(name: str) -> NoReturn:
    raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def bad_value(name: str) -> NoReturn:
    raise ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


def _decode(text: str) -> dict[str, str]:
    """Return the pairs of a form-encoded text; the same name twice is refused with -1101."""
    values: dict[str, str] = {}
    if not text:
        return values
    for pair in text.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        name = unquote_plus(name)
        if name in values:
            raise ApiError(-1101, "Duplicate values for a parameter detected.")
        values[name] = unquote_plus(value)
    return values


def only_one(**values: Any) -> None:
    """Refuse with -1102 when none of the named alternatives was sent."""
    if all(value is None for value in values.values()):
        names = " or ".join(f"'{name}'" for name in values)
        raise ApiError(-1102, f"Param {names} must be sent, but both were empty/null!")
