"""Raw bytes and raw dictionaries of the venue: decoding of JSON and of single fields, tolerant where it is safe.

Everything that the venue may add is ignored; everything that we need must be there and well-formed, else WireError.
Decimals are read by value, whatever their spelling ("7.0E-4", 0.0065, null).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from core.errors import TraderError

Row = Mapping[str, Any]
E = TypeVar("E", bound=StrEnum)

_JSON: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=Decimal)
ZERO = Decimal(0)


class WireError(TraderError):
    """A message lacks what we need or holds what we cannot read. Names the field, never the message."""


def decode_json(body: bytes) -> Any:
    """Decode a JSON body; numbers with a point become Decimal. Raises WireError when it is not JSON."""
    try:
        return _JSON.decode(body)
    except msgspec.DecodeError as error:
        raise WireError(f"the body is not JSON ({error})") from None


def as_row(value: Any) -> Row:
    """Return `value` as an object, else raise WireError."""
    if not isinstance(value, dict):
        raise WireError(f"expected an object, got {type(value).__name__}")
    return value


def as_rows(value: Any) -> list[Row]:
    """Return `value` as a list of objects, else raise WireError."""
    if not isinstance(value, list):
        raise WireError(f"expected a list, got {type(value).__name__}")
    return [as_row(item) for item in value]


def text(row: Row, key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise WireError(f"field {key!r} is missing or no text")
    return value


def integer(row: Row, key: str) -> int:
    """Read an integer that may be spelled as text."""
    return to_integer(key, row.get(key))


def decimal(row: Row, key: str) -> Decimal:
    """Read a decimal that may be spelled as text or as a number."""
    return to_decimal(key, row.get(key))


def decimal_or_none(row: Row, key: str) -> Decimal | None:
    """Read a decimal where absent, empty, null and zero all mean "none"."""
    value = row.get(key)
    if value is None or value == "":
        return None
    return decimal(row, key) or None


def decimal_or_zero(row: Row, key: str) -> Decimal:
    return decimal_or_none(row, key) or ZERO


def flag(row: Row, key: str, default: bool = False) -> bool:
    """Read a boolean that may be spelled as text."""
    value = row.get(key, default)
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise WireError(f"field {key!r} is no boolean")


def word(kind: type[E], row: Row, key: str) -> E:
    """Read a member of a closed enumeration; an unknown word raises WireError."""
    try:
        return kind(text(row, key))
    except ValueError:
        raise WireError(f"field {key!r} holds an unknown word") from None


def open_word(kind: type[E], row: Row, key: str, unknown: E) -> E:
    """Read a member of an enumeration that the venue may extend: an unknown word becomes `unknown`."""
    try:
        return kind(text(row, key))
    except ValueError:
        return unknown


def to_integer(name: str, value: Any) -> int:
    """Return an integer from a number or its text; raises WireError naming the field."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise WireError(f"field {name!r} is missing or no integer")
    try:
        return int(value)
    except ValueError:
        raise WireError(f"field {name!r} is no integer") from None


def to_decimal(name: str, value: Any) -> Decimal:
    """Return a finite decimal from a number or its text; raises WireError naming the field."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise WireError(f"field {name!r} is missing or no number")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise WireError(f"field {name!r} is no number") from None
    if not number.is_finite():
        raise WireError(f"field {name!r} is not finite")
    return number
