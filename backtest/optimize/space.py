"""The search space: which parameters of a strategy vary, and between which values. Read from YAML, checked first.

k: {low: 1.5, high: 3.5, step: 0.1}
adx_window: {low: 7, high: 40}
target_pct: {low: 0.2, high: 2.0, log: true}
interval: [1m, 5m]
"""

from __future__ import annotations

import itertools
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from core.errors import ConfigurationError
from strategies.params import StrategyParams
from utils.problems import did_you_mean, problems_in
from utils.yaml_source import YamlDocument, locate, read_yaml, shown_path

Scalar = bool | int | float | str
_NOT_SEARCHED = ("enabled", "symbols")
_KEYS = ("low", "high", "step", "log", "choices")
_STEP_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Dimension:
    """One parameter. `choices` for a category; else `low` to `high`, both included, on a grid of `step` if given."""

    name: str
    is_whole: bool = False
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    is_log: bool = False
    choices: tuple[Scalar, ...] = ()

    def value(self, raw: Scalar) -> Scalar:
        """Return a sampled value as the strategy gets it: a whole number, or six significant digits."""
        if self.choices or isinstance(raw, str | bool):
            return raw
        return round(raw) if self.is_whole else float(f"{raw:.6g}")

    def grid(self) -> tuple[Scalar, ...]:
        """Return every value; empty where there is no end of them."""
        if self.choices:
            return self.choices
        step = self.step or (1.0 if self.is_whole else None)
        if step is None:
            return ()
        count = math.floor((self.high - self.low) / step + _STEP_SLACK) + 1
        return tuple(self.value(self.low + index * step) for index in range(count))


@dataclass(frozen=True, slots=True)
class Space:
    """The parameters that vary, in the order of the file."""

    dimensions: tuple[Dimension, ...]

    def values(self, raw: Mapping[str, Any]) -> dict[str, Scalar]:
        """Return sampled values as a strategy gets them."""
        return {one.name: one.value(raw[one.name]) for one in self.dimensions}

    def endless(self) -> tuple[str, ...]:
        """Return the parameters that no grid can cover."""
        return tuple(one.name for one in self.dimensions if not one.grid())

    def grid_size(self) -> int:
        return math.prod(len(one.grid()) for one in self.dimensions)

    def points(self) -> Iterator[dict[str, Scalar]]:
        """Yield every combination of a space that a grid can cover."""
        names = [one.name for one in self.dimensions]
        for point in itertools.product(*(one.grid() for one in self.dimensions)):
            yield dict(zip(names, point, strict=True))

    def described(self) -> dict[str, object]:
        """Return the space as plain data: what identifies it."""
        return {
            one.name: list(one.choices) if one.choices else [one.low, one.high, one.step, one.is_log]
            for one in self.dimensions
        }


def read_space(path: Path, params: StrategyParams) -> Space:
    """Read a search space for a strategy with these parameters.

    Raises ConfigurationError, one line a problem with file and line: unknown parameters, ranges upside down, values
    that the strategy would refuse.
    """
    document = read_yaml(path)
    if not document.data:
        raise ConfigurationError(f"{shown_path(path)}: names no parameter; write such as k: {{low: 1, high: 3}}")
    found, problems = [], []
    for name, text in document.data.items():
        try:
            found.append(_dimension(name, text, document, params))
        except ConfigurationError as error:
            problems += str(error).splitlines()
    if problems:
        raise ConfigurationError("\n".join(problems))
    return Space(tuple(found))


def _dimension(name: str, given: Any, document: YamlDocument, params: StrategyParams) -> Dimension:
    model = type(params)
    known = [key for key in model.model_fields if key not in _NOT_SEARCHED]
    if name not in known:
        hint = did_you_mean(name, known) or "; there are " + ", ".join(known)
        raise _problem(document, (name,), f"is no parameter to search{hint}")
    kinds = _kinds(model, name)
    if isinstance(given, list):
        given = {"choices": given}
    if not isinstance(given, dict):
        raise _problem(document, (name,), "write {low: ..., high: ...} or a list of choices")
    for key in given:
        if key not in _KEYS:
            hint = did_you_mean(key, _KEYS) or "; there are " + ", ".join(_KEYS)
            raise _problem(document, (name, key), f"is unknown{hint}")
    dimension = (
        _category(name, given, document) if "choices" in given else _range(name, given, document, int in kinds, kinds)
    )
    ends: tuple[Scalar, ...] = dimension.choices or (dimension.value(dimension.low), dimension.value(dimension.high))
    for value in ends:
        _try(document, params, name, value)
    return dimension


def _category(name: str, given: Mapping[str, Any], document: YamlDocument) -> Dimension:
    choices = given["choices"]
    extra = [key for key in given if key != "choices"]
    if extra:
        raise _problem(document, (name, extra[0]), "does not go with choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(one, Scalar) for one in choices):
        raise _problem(document, (name,), "choices must be a list of numbers or words")
    plain = tuple(int(one) if isinstance(one, float) and one.is_integer() else one for one in choices)
    if len(set(plain)) != len(plain):
        raise _problem(document, (name,), "a choice is there twice; remove one")
    return Dimension(name, choices=plain)


def _range(name: str, given: Mapping[str, Any], document: YamlDocument, is_whole: bool, kinds: set[type]) -> Dimension:
    if not kinds & {int, float, Decimal}:
        raise _problem(document, (name,), "is not a number; give a list of choices")
    numbers: dict[str, float] = {}
    for key in ("low", "high", "step"):
        value = given.get(key)
        if value is None and key == "step":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _problem(document, (name, key), "must be a number" if key in given else "is missing")
        if is_whole and not float(value).is_integer():
            raise _problem(document, (name, key), f"must be a whole number (got {value:g})")
        numbers[key] = float(value)
    low, high, step, is_log = numbers["low"], numbers["high"], numbers.get("step"), given.get("log", False)
    if not isinstance(is_log, bool):
        raise _problem(document, (name, "log"), "must be true or false")
    if low >= high:
        raise _problem(document, (name, "high"), f"must be above low ({low:g})")
    if step is not None and not 0 < step <= high - low:
        raise _problem(document, (name, "step"), f"must be above 0 and at most high - low ({high - low:g})")
    if is_log and (step is not None or low <= 0):
        raise _problem(document, (name, "log"), "needs low above 0 and no step")
    return Dimension(name, is_whole, low, high, step, is_log)


def _kinds(model: type[BaseModel], name: str) -> set[type]:
    """Return the types that a parameter may have, without None and without constraints."""
    found: set[type] = set()

    def look(annotation: Any) -> None:
        if get_origin(annotation) in (Union, types.UnionType):
            for part in get_args(annotation):
                look(part)
        elif hasattr(annotation, "__metadata__"):
            look(annotation.__origin__)
        elif isinstance(annotation, type):
            found.add(annotation)

    look(model.model_fields[name].annotation)
    return found - {type(None)}


def _try(document: YamlDocument, params: StrategyParams, name: str, value: Scalar) -> None:
    """Raise ConfigurationError when the strategy would refuse the value, whatever the others are."""
    model = type(params)
    data = {**params.model_dump(), name: value}
    try:
        model.model_validate(data)
    except ValidationError as error:
        own = [problem for problem in problems_in(error, model, data) if problem.path[:1] == (name,)]
        if own:
            raise ConfigurationError("\n".join(locate(problem, [document]) for problem in own)) from None


def _problem(document: YamlDocument, keys: tuple[str, ...], text: str) -> ConfigurationError:
    line, _ = document.line_of(*keys)
    return ConfigurationError(f"{shown_path(document.path)}:{line}: {'.'.join(keys)}: {text}")
