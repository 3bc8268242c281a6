"""Finds strategies on disk: every folder that holds a `strategy.py` with one `Strategy` class."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

from core.errors import ConfigurationError
from strategies.base import GatedStrategy, Strategy
from utils.yaml_source import shown_path

StrategyClass = type[Strategy]

_OWN = Path(__file__).resolve().parent


def discover(root: Path) -> dict[str, StrategyClass]:
    """Return the strategies below `root` by name, in alphabetical order.

    Raises ConfigurationError for a missing folder, a strategy that cannot be imported, has no class or more than one,
    or whose `name` is not the name of its folder.
    """
    if not root.is_dir():
        raise ConfigurationError(f"{shown_path(root)}: folder of strategies not found; correct STRATEGIES_DIR")
    found = {}
    for file in sorted(root.glob("*/strategy.py")):
        strategy = _class_in(_load(file), file)
        if strategy.__dict__.get("name") != file.parent.name:
            raise ConfigurationError(
                f"{shown_path(file)}: {strategy.__name__}.name must be the name of its folder, '{file.parent.name}'"
            )
        found[strategy.name] = strategy
    return found


def _load(file: Path) -> ModuleType:
    folder = file.parent
    try:
        if folder.resolve().parent == _OWN:
            return importlib.import_module(f"strategies.{folder.name}.strategy")
        name = "_strategy" + re.sub(r"\W", "_", str(folder.resolve()))
        if name in sys.modules:
            return sys.modules[name]
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # pydantic and dataclasses look their module up while it is being executed
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module
    except Exception as error:
        raise ConfigurationError(
            f"{shown_path(file)}: cannot be imported: {type(error).__name__}: {str(error).splitlines()[0]}"
        ) from error


def _class_in(module: ModuleType, file: Path) -> StrategyClass:
    classes = [
        item
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, Strategy)
        and item not in (Strategy, GatedStrategy)
        and item.__module__ == module.__name__
    ]
    if len(classes) != 1:
        names = ", ".join(one.__name__ for one in classes) or "none"
        raise ConfigurationError(f"{shown_path(file)}: must define exactly one Strategy class (found {names})")
    return classes[0]
