"""Reads YAML so that every later complaint can name file, line and key. Owns no schema and no defaults.

YAML 1.2 through ruamel.yaml: `NO`, `ON` and `1e-4` mean what they look like, and duplicate keys are refused. Numbers
become float; the shortest text of a float is what was written (up to 15 digits), so a Decimal made of it is exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from utils.errors import ConfigurationError
from utils.problems import Problem, problems_in

Model = TypeVar("Model", bound=BaseModel)
KeyPath = tuple[str | int, ...]
Position = tuple[int, int]

_TOP: Position = (1, 1)


@dataclass(frozen=True)
class YamlDocument:
    """The content of one file as plain dicts, lists and scalars, and where each key stands in it."""

    path: Path
    data: dict[str, Any]
    positions: Mapping[KeyPath, Position] = field(default_factory=dict, repr=False)

    def line_of(self, *keys: str | int) -> Position:
        """Return 1-based line and column of a key; of its nearest parent where it is not in this file."""
        for length in range(len(keys), 0, -1):
            position = self.positions.get(keys[:length])
            if position is not None:
                return position
        return _TOP

    def depth_of(self, *keys: str | int) -> int:
        """Return how many of the leading `keys` stand in this file."""
        for length in range(len(keys), 0, -1):
            if keys[:length] in self.positions:
                return length
        return 0


def read_yaml(path: Path) -> YamlDocument:
    """Read one YAML file whose top is a mapping; an empty file is an empty mapping.

    Raises ConfigurationError, `file:line:column: what is wrong`, for a missing or unreadable file, bad syntax,
    duplicate keys, tags and keys that are not text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"{shown_path(path)}: file not found; create it or correct the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{shown_path(path)}: cannot be read as UTF-8 text: {error}") from None
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path) -> YamlDocument:
    """Parse YAML text; `path` is only named in errors. Raises as `read_yaml` does."""
    parser = YAML(typ="rt")
    parser.allow_duplicate_keys = False
    try:
        tree = parser.load(StringIO(text))
    except DuplicateKeyError as error:
        raise ConfigurationError(_at_mark(path, error, _duplicate(error))) from None
    except MarkedYAMLError as error:
        raise ConfigurationError(_at_mark(path, error, _syntax(error))) from None
    except (YAMLError, ValueError) as error:
        raise ConfigurationError(f"{shown_path(path)}:1:1: {_first_line(str(error))}") from None
    if tree is None:
        return YamlDocument(path, {})
    if not isinstance(tree, CommentedMap):
        raise ConfigurationError(f"{shown_path(path)}:1:1: must be a mapping of keys to values")
    positions: dict[KeyPath, Position] = {}
    data = _plain(tree, (), positions, path)
    return YamlDocument(path, data, positions)


def merge(*documents: YamlDocument) -> dict[str, Any]:
    """Return the documents as one mapping. Later ones override earlier ones, key by key at every depth."""
    merged: dict[str, Any] = {}
    for document in documents:
        merged = _deep_merge(merged, document.data)
    return merged


def validate(model: type[Model], documents: Sequence[YamlDocument], data: Mapping[str, Any]) -> Model:
    """Return `data` (merged from `documents`, later ones override) as a `model`.

    Raises ConfigurationError with one line a problem, `file:line: key: what is wrong (got value)`, with what is
    allowed or the nearest valid word. The file named is the one whose value counts.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [locate(problem, documents) for problem in problems_in(error, model, data)]
        raise ConfigurationError("\n".join(lines)) from None


def locate(problem: Problem, documents: Sequence[YamlDocument]) -> str:
    """Return `file:line: key: text`, naming the document that the problem's value comes from."""
    # A missing key belongs into the most general file; a wrong value stands in the last file that sets it.
    candidates = documents if problem.missing else list(reversed(documents))
    document = max(candidates, key=lambda candidate: candidate.depth_of(*problem.path))
    line, _ = document.line_of(*problem.path)
    where = f"{shown_path(document.path)}:{line}"
    return f"{where}: {problem.key}: {problem.text}" if problem.path else f"{where}: {problem.text}"


def shown_path(path: Path) -> str:
    """Return the path relative to the working directory where it lies inside, as people type it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _plain(node: object, path: KeyPath, positions: dict[KeyPath, Position], file: Path) -> Any:
    """Strip ruamel's types from a tree and note the position of each key."""
    if isinstance(node, CommentedMap):
        result: dict[str, Any] = {}
        for key, value in node.items():
            line, column = _key_position(node, key, positions.get(path, _TOP))
            if not isinstance(key, str):
                raise ConfigurationError(
                    f"{shown_path(file)}:{line}:{column}: key {key} must be text; put it in quotes"
                )
            positions[(*path, str(key))] = (line, column)
            result[str(key)] = _plain(value, (*path, str(key)), positions, file)
        return result
    if isinstance(node, CommentedSeq):
        items = []
        for index, value in enumerate(node):
            line, column = node.lc.item(index)
            positions[(*path, index)] = (line + 1, column + 1)
            items.append(_plain(value, (*path, index), positions, file))
        return items
    if isinstance(node, TaggedScalar):
        line, column = positions.get(path, _TOP)
        raise ConfigurationError(f"{shown_path(file)}:{line}:{column}: tags ({node.tag.value}) are not allowed")
    return _plain_scalar(node)


def _plain_scalar(node: object) -> object:
    for kind in (bool, str, float, int):
        if isinstance(node, kind):
            return kind(node)
    return node


def _key_position(node: CommentedMap, key: object, parent: Position) -> Position:
    try:
        line, column = node.lc.key(key)
    except (KeyError, AttributeError):  # merged in by `<<`: it stands elsewhere
        return parent
    return line + 1, column + 1


def _deep_merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in override.items():
        below = merged.get(key)
        merged[key] = _deep_merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _at_mark(path: Path, error: MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else _TOP
    return f"{shown_path(path)}:{line}:{column}: {text}"


def _duplicate(error: DuplicateKeyError) -> str:
    name = _first_line(error.problem or "").removeprefix("found duplicate key ").split(" with ")[0].strip('"')
    first = f", first set in line {error.context_mark.line + 1}" if error.context_mark else ""
    return f"duplicate key '{name}'{first}; remove one"


def _syntax(error: MarkedYAMLError) -> str:
    text = " ".join(part for part in (_first_line(error.context or ""), _first_line(error.problem or "")) if part)
    return f"not valid YAML: {text}"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""
