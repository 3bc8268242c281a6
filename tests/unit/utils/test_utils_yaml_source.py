"""YAML reading: plain values, positions, refusals that name file, line and key."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from core.errors import ConfigurationError
from utils.yaml_source import merge, parse_yaml, read_yaml, validate


class Colour(StrEnum):
    RED = "RED"
    BLUE = "BLUE"


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    leverage: Annotated[int, Field(ge=1, le=125)] = 5
    margin_type: Colour = Colour.RED
    fraction: Annotated[Decimal, Field(gt=0)] = Decimal("0.5")
    mode: Literal["fast", "slow"] | None = None


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    inner: Inner = Inner()
    symbols: dict[str, Inner] = Field(default_factory=dict)
    steps: list[int] = Field(default_factory=list)
    token: SecretStr | None = None

    @field_validator("name")
    @classmethod
    def _not_blank(cls, name: str) -> str:
        if not name.strip():
            raise ValueError("must not be blank")
        return name


def problems(text: str, *more: str) -> list[str]:
    documents = [parse_yaml(part, Path(f"file{number}.yaml")) for number, part in enumerate((text, *more), 1)]
    with pytest.raises(ConfigurationError) as caught:
        validate(Outer, documents, merge(*documents))
    return str(caught.value).splitlines()


def test_read_yaml_plain_types_and_yaml_1_2_scalars_are_returned(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("# why\na: {x: 1e-4, y: NO, z: 0.003}\nb:\n  - 1\n  - text\n", encoding="utf-8")
    data = read_yaml(path).data
    assert data == {"a": {"x": 0.0001, "y": "NO", "z": 0.003}, "b": [1, "text"]}
    assert {type(value) for value in (data["a"]["x"], data["a"]["z"])} == {float}
    assert type(data["a"]) is dict and type(data["b"]) is list and type(data["a"]["y"]) is str


def test_line_of_known_and_unknown_keys_gives_own_or_parents_position() -> None:
    document = parse_yaml("a:\n  b: 5\n  c: [1, 2]\n", Path("x.yaml"))
    assert document.line_of("a", "b") == (2, 3)
    assert document.line_of("a", "c", 1) == (3, 10)
    assert document.line_of("a", "nothing") == (1, 1)
    assert document.line_of("nothing") == (1, 1)


def test_empty_file_is_an_empty_mapping() -> None:
    assert parse_yaml("# only a comment\n", Path("x.yaml")).data == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "x.yaml:3:1: duplicate key 'a', first set in line 1; remove one"),
        ("a: [1\nb: 2", "x.yaml:2:2: not valid YAML: while parsing a flow sequence expected ',' or ']', but got ':'"),
        ("- 1\n- 2", "x.yaml:1:1: must be a mapping of keys to values"),
        ("a:\n  1: 2", "x.yaml:2:3: key 1 must be text; put it in quotes"),
        ("a: !!python/object x", "x.yaml:1:1: tags (tag:yaml.org,2002:python/object) are not allowed"),
        ("a: b: c", "x.yaml:1:5: not valid YAML: mapping values are not allowed here"),
    ],
)
def test_parse_yaml_bad_text_is_refused_with_file_line_column(text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_yaml(text, Path("x.yaml"))
    assert str(caught.value) == expected


def test_read_yaml_missing_or_binary_file_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: file not found; create it"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"binary\.yaml: cannot be read as UTF-8"):
        read_yaml(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\ninner:\n  leverage: 200", "file1.yaml:3: inner.leverage: must be between 1 and 125 (got 200)"),
        (
            "name: a\ninner: {leverage: 2.5}",
            "file1.yaml:2: inner.leverage: must be a whole number between 1 and 125 (got 2.5)",
        ),
        (
            "name: a\ninner: {margin_type: blue}",
            "file1.yaml:2: inner.margin_type: must be one of RED, BLUE (got 'blue'); did you mean 'BLUE'?",
        ),
        ("name: a\ninner: {mode: fsat}", "inner.mode: must be one of fast, slow (got 'fsat'); did you mean 'fast'?"),
        ("name: a\ninner: {fraction: 0}", "file1.yaml:2: inner.fraction: must be above 0 (got 0)"),
        ("name: a\ninner: {leverege: 2}", "inner.leverege: unknown key; did you mean 'leverage'?"),
        ("name: a\ninner: {zzz: 2}", "inner.zzz: unknown key (allowed: fraction, leverage, margin_type, mode)"),
        (
            "name: a\nsymbols:\n  X: {leverage: 0}",
            "file1.yaml:3: symbols.X.leverage: must be between 1 and 125 (got 0)",
        ),
        ("name: a\nsymbols:\n  X: {lever: 1}", "symbols.X.lever: unknown key; did you mean 'leverage'?"),
        ("name: a\nsteps:\n  - 1\n  - x", "file1.yaml:4: steps[1]: must be a whole number (got 'x')"),
        ("name: a\nsteps: 3", "file1.yaml:2: steps: must be a list (got 3)"),
        ("name: a\ninner: 3", "file1.yaml:2: inner: must be a mapping of keys to values (got 3)"),
        ("inner: {leverage: 3}", "file1.yaml:1: name: is missing"),
        ("name: ' '", "file1.yaml:1: name: must not be blank (got ' ')"),
    ],
)
def test_validate_bad_value_names_file_line_key_value_and_what_is_allowed(text: str, expected: str) -> None:
    (line,) = problems(text)
    assert expected in line


def test_validate_several_problems_are_listed_one_per_line() -> None:
    lines = problems("name: a\ninner: {leverage: 0, fraction: -1}\nextra: 1")
    assert len(lines) == 3
    assert all(line.startswith("file1.yaml:") for line in lines)


def test_validate_secret_value_is_never_quoted() -> None:
    assert problems("name: a\ntoken: [canary]") == ["file1.yaml:2: token: must be text"]


def test_validate_names_the_document_whose_value_counts() -> None:
    lines = problems("name: a\ninner:\n  leverage: 5\n  fraction: 0", "inner:\n  leverage: 500")
    assert lines == [
        "file2.yaml:2: inner.leverage: must be between 1 and 125 (got 500)",
        "file1.yaml:4: inner.fraction: must be above 0 (got 0)",
    ]


def test_merge_is_deep_and_later_documents_win() -> None:
    first = parse_yaml("a: {x: 1, y: 2}\nb: [1, 2]", Path("1"))
    second = parse_yaml("a: {y: 3}\nb: [9]", Path("2"))
    assert merge(first, second) == {"a": {"x": 1, "y": 3}, "b": [9]}
    assert first.data == {"a": {"x": 1, "y": 2}, "b": [1, 2]}


def test_validate_decimal_is_exactly_what_was_written() -> None:
    document = parse_yaml("name: a\ninner: {fraction: 0.12345678901234}", Path("x.yaml"))
    assert validate(Outer, [document], document.data).inner.fraction == Decimal("0.12345678901234")
