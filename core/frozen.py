"""A quick constructor for the immutable values that pass through the program by the thousand a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar

ClassT = TypeVar("ClassT", bound=type)
_ASSIGNABLE = {"__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
_set_class = vars(object)["__class__"].__set__
"""What an assignment to `__class__` does, past the class's own ban on assignments."""


def quick_init(cls: ClassT) -> ClassT:
    """Give a frozen, slotted dataclass a constructor that costs a third of the standard one.

    The standard one stores each field through `object.__setattr__`, because its own class refuses assignments. This
    one fills the new object while it is of a derived class that takes them, then makes it what it is: nobody has seen
    it before that. (A derived class, because changing to one of the same layout but without kinship has all names of
    the slots compared.) Parameters, defaults and `__post_init__` are as the dataclass has them. Raises TypeError for a
    class that is not a frozen, slotted dataclass derived from nothing.
    """
    parameters = getattr(cls, "__dataclass_params__", None)
    if parameters is None or not parameters.frozen or "__slots__" not in vars(cls) or cls.__bases__ != (object,):
        raise TypeError(f"{cls.__name__} is not a frozen, slotted dataclass of its own")
    names = tuple(one.name for one in fields(cls))
    if tuple(vars(cls)["__slots__"]) != names or any(not one.init or one.kw_only for one in fields(cls)):
        raise TypeError(f"{cls.__name__} has fields that its constructor does not take by position")
    scope: dict[str, Any] = {
        "_kind": cls,
        "_filling": type(cls.__name__, (cls,), {"__slots__": (), **_ASSIGNABLE}),
        "_become": _set_class,
        "_missing": MISSING,
    }
    head, body = ["self"], ["_become(self, _filling)"]
    for one in fields(cls):
        name = one.name
        if one.default_factory is not MISSING:
            scope[f"_make_{name}"] = one.default_factory
            head.append(f"{name}=_missing")
            body.append(f"self.{name} = _make_{name}() if {name} is _missing else {name}")
            continue
        if one.default is not MISSING:
            scope[f"_default_{name}"] = one.default
        head.append(name if one.default is MISSING else f"{name}=_default_{name}")
        body.append(f"self.{name} = {name}")
    body.append("self.__class__ = _kind")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    exec(f"def __init__({', '.join(head)}):\n " + "\n ".join(body), scope)
    made: Callable[..., None] = scope["__init__"]
    made.__annotations__ = cls.__init__.__annotations__  # type: ignore[misc]
    made.__qualname__ = f"{cls.__qualname__}.__init__"
    made.__module__ = cls.__module__
    cls.__init__ = made  # type: ignore[misc]
    return cls
