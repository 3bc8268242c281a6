"""The quick constructor of immutable values: the same object as the standard one makes, as immutable."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from core.frozen import quick_init


@dataclass(frozen=True, slots=True)
class Plain:
    name: str
    count: int = 3
    tags: dict[str, str] = field(default_factory=dict)


@quick_init
@dataclass(frozen=True, slots=True)
class Quick:
    name: str
    count: int = 3
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("count must not be negative")


def test_quick_init_makes_what_the_standard_constructor_makes() -> None:
    for make in (
        lambda kind: kind("a"),
        lambda kind: kind("a", 4),
        lambda kind: kind(name="a", tags={"b": "c"}),
        lambda kind: replace(kind("a", 4), name="z"),
        lambda kind: pickle.loads(pickle.dumps(kind("a", 5))),
    ):
        assert repr(make(Quick)) == repr(make(Plain)).replace("Plain", "Quick")
    assert Quick("a") == Quick("a", 3, {})
    assert type(Quick("a")) is Quick
    assert Quick("a").tags is not Quick("b").tags
    assert inspect.signature(Quick).parameters.keys() == inspect.signature(Plain).parameters.keys()


def test_quick_init_keeps_the_object_immutable_and_its_checks() -> None:
    made = Quick("a")
    with pytest.raises(FrozenInstanceError):
        made.count = 4  # type: ignore[misc]
    with pytest.raises(ValueError, match="negative"):
        Quick("a", -1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        Quick()  # type: ignore[call-arg]


def _mutable() -> type:
    @dataclass(slots=True)
    class Mutable:
        name: str

    return Mutable


def _unslotted() -> type:
    @dataclass(frozen=True)
    class Unslotted:
        name: str

    return Unslotted


def _derived() -> type:
    @dataclass(frozen=True, slots=True)
    class Derived(Plain):
        more: int = 0

    return Derived


def _keyword_only() -> type:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class KeywordOnly:
        name: str

    return KeywordOnly


@pytest.mark.parametrize("make", [_mutable, _unslotted, _derived, _keyword_only])
def test_quick_init_of_a_class_it_cannot_serve_is_refused(make: Callable[[], type]) -> None:
    with pytest.raises(TypeError, match=make().__name__):
        quick_init(make())
