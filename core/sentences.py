"""Fills numbers into the sentences by which strategies explain themselves."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan


class _Unknown:
    """Stands for a number that was not known; takes any format."""

    def __format__(self, spec: str) -> str:
        return "(unknown)"


class _Numbers(dict[str, object]):
    def __missing__(self, key: str) -> _Unknown:
        return _Unknown()


def fill(template: str, numbers: Mapping[str, float | None]) -> str:
    """Return the template with `{name:format}` replaced by numbers; "(unknown)" for those missing, None or NaN.

    A template that takes no number ("{close:d}") is returned as it stands: it is read long after it was written.
    """
    known = {name: value for name, value in numbers.items() if value is not None and not isnan(value)}
    try:
        return template.format_map(_Numbers(known))
    except (ValueError, LookupError, AttributeError, TypeError):
        return template
