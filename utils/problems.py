"""Turns pydantic's validation errors into sentences for people: what is wrong, what was given, what is allowed."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import annotated_types
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

_ABSENT = object()
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_BOUND_ERRORS = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})
_MUST_BE = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "date_from_datetime_parsing": "a date such as 2026-01-31",
    "decimal_parsing": "a number",
    "decimal_type": "a number",
    "dict_type": "a mapping of keys to values",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "mapping_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "string_type": "text",
    "tuple_type": "a list",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `path` leads from the top of the data to the key; `text` is the sentence after it.

    `missing` marks a key that ought to be there and is not, so its own line cannot be named.
    """

    path: tuple[str | int, ...]
    text: str
    missing: bool = False

    @property
    def key(self) -> str:
        """The path in dotted form, list positions in brackets: `symbols.BTCUSDT.leverage`, `steps[2]`."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text


def problems_in(error: ValidationError, model: type[BaseModel], data: Mapping[str, Any]) -> list[Problem]:
    """Return the problems behind `error`, raised when `data` was validated against `model`, one for each key.

    Values of SecretStr fields are never quoted.
    """
    found: dict[tuple[str | int, ...], Problem] = {}
    for detail in error.errors(include_url=False):
        path = _path_in_data(detail["loc"], data)
        problem = Problem(path, _sentence(detail, path, model), detail["type"] == "missing")
        found.setdefault(path, problem)
    return list(found.values())


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` with the nearest allowed word, or nothing when none is near. Case is ignored."""
    by_lower = {candidate.lower(): candidate for candidate in allowed}
    near = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return f"; did you mean '{by_lower[near[0]]}'?" if near else ""


def _path_in_data(location: Sequence[str | int], data: object) -> tuple[str | int, ...]:
    """Drop the parts of a pydantic location that name no key of the data (union members, `[key]` marks)."""
    path: list[str | int] = []
    node = data
    for position, part in enumerate(location):
        inside = _child(node, part)
        if inside is not _ABSENT:
            node = inside
        elif position < len(location) - 1 or not isinstance(node, Mapping):
            continue
        path.append(part)
    return tuple(path)


def _child(node: object, part: str | int) -> object:
    if isinstance(node, Mapping):
        return node.get(part, _ABSENT)
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    return _ABSENT


def _sentence(detail: Any, path: tuple[str | int, ...], model: type[BaseModel]) -> str:
    kind = detail["type"]
    field = _field_at(model, path)
    if kind == "missing":
        return "is missing" + (f" ({field.description})" if field is not None and field.description else "")
    if kind == "extra_forbidden":
        allowed = sorted(_keys_at(model, path[:-1]))
        hint = did_you_mean(str(path[-1]), allowed)
        return f"unknown key{hint}" if hint else f"unknown key (allowed: {', '.join(allowed)})"
    if kind in {"value_error", "assertion_error"}:
        return str(detail["ctx"]["error"]) + _got(detail, field)
    allowed_text = _allowed(detail, field)
    if allowed_text:
        return f"must be {allowed_text}{_got(detail, field)}{_near_choice(detail, field)}"
    message = detail["msg"]
    return f"{message[:1].lower()}{message[1:]}{_got(detail, field)}"


def _allowed(detail: Any, field: FieldInfo | None) -> str:
    """Return what the value must be, in words, or nothing when pydantic's own message has to do."""
    kind = detail["type"]
    if kind in {"enum", "literal_error"}:
        choices = _choices(field) or [str(detail["ctx"]["expected"]).replace("'", "")]
        return f"one of {', '.join(choices)}"
    if kind in _BOUND_ERRORS:
        return _bounds(field) or _single_bound(detail)
    return _MUST_BE[kind] + _also_bounds(field) if kind in _MUST_BE else ""


def _near_choice(detail: Any, field: FieldInfo | None) -> str:
    return "" if _is_secret(field) else did_you_mean(str(detail["input"]), _choices(field))


def _got(detail: Any, field: FieldInfo | None) -> str:
    value = detail["input"]
    if _is_secret(field) or isinstance(value, Mapping):  # a mapping may hold secrets further down
        return ""
    is_word = isinstance(value, str) and not _NUMBER.fullmatch(value)
    text = repr(value) if is_word else str(value)
    return f" (got {text if len(text) <= 60 else text[:57] + '...'})"


def _also_bounds(field: FieldInfo | None) -> str:
    bounds = _bounds(field)
    return f" {bounds}" if bounds else ""


def _bounds(field: FieldInfo | None) -> str:
    """Return both bounds of a numeric field in words, or nothing when it has none."""
    low = high = low_text = high_text = None
    for mark in _marks(field):
        if isinstance(mark, annotated_types.Ge):
            low, low_text = mark.ge, f"at least {mark.ge}"
        elif isinstance(mark, annotated_types.Gt):
            low_text = f"above {mark.gt}"
        elif isinstance(mark, annotated_types.Le):
            high, high_text = mark.le, f"at most {mark.le}"
        elif isinstance(mark, annotated_types.Lt):
            high_text = f"below {mark.lt}"
    if low is not None and high is not None:
        return f"between {low} and {high}"
    return " and ".join(text for text in (low_text, high_text) if text)


def _marks(field: FieldInfo | None) -> list[Any]:
    """Return the constraints of a field, also those inside the members of a union (`Annotated[...] | None`)."""
    if field is None:
        return []
    marks = list(field.metadata)
    for member in typing.get_args(field.annotation):
        for mark in getattr(member, "__metadata__", ()):
            marks += mark.metadata if isinstance(mark, FieldInfo) else [mark]
    return marks


def _single_bound(detail: Any) -> str:
    names = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
    return " and ".join(f"{names[name]} {value}" for name, value in detail["ctx"].items() if name in names)


def _choices(field: FieldInfo | None) -> list[str]:
    """Return the words that an enum or literal field takes."""
    for kind in _members(field.annotation) if field is not None else ():
        if isinstance(kind, type) and issubclass(kind, Enum):
            return [str(member.value) for member in kind]
        if typing.get_origin(kind) is typing.Literal:
            return [str(value) for value in typing.get_args(kind)]
    return []


def _field_at(model: type[BaseModel], path: Sequence[str | int]) -> FieldInfo | None:
    """Return the model field that `path` leads to, or None for one that no model describes."""
    if not path:
        return None
    fields = (_fields(owner).get(str(path[-1])) for owner in _annotations_at(model, path[:-1]))
    return next((field for field in fields if field is not None), None)


def _keys_at(model: type[BaseModel], path: Sequence[str | int]) -> set[str]:
    """Return the keys allowed in the mapping that `path` leads to."""
    return {name for owner in _annotations_at(model, path) for name in _fields(owner)}


def _annotations_at(model: type[BaseModel], path: Sequence[str | int]) -> list[Any]:
    """Return the types that the value at `path` may have, walking through models, mappings and lists."""
    owners: list[Any] = [model]
    for part in path:
        following: list[Any] = []
        for owner in owners:
            if field := _fields(owner).get(str(part)):
                following += _members(field.annotation)
            elif typing.get_args(owner):
                following += _members(typing.get_args(owner)[-1])
        owners = following
    return owners


def _fields(owner: Any) -> dict[str, FieldInfo]:
    """Return the fields of a model by the name that data uses; nothing for any other type."""
    if not (isinstance(owner, type) and issubclass(owner, BaseModel)):
        return {}
    return {field.alias or name: field for name, field in owner.model_fields.items()}


def _members(annotation: Any) -> list[Any]:
    """Return the alternatives of an annotation: the parts of a union, stripped of Annotated."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for part in typing.get_args(annotation) for member in _members(part)]
    return [annotation]


def _is_secret(field: FieldInfo | None) -> bool:
    """True for SecretStr fields and for those that the schema marks `writeOnly`."""
    if field is None:
        return False
    extra = field.json_schema_extra
    return SecretStr in _members(field.annotation) or (isinstance(extra, dict) and bool(extra.get("writeOnly")))
