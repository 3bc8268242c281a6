"""The house rules, read from the syntax trees: who may import whom, and what may be called where."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ROOMS: dict[str, frozenset[str]] = {
    "core": frozenset({"utils"}),
    "config": frozenset({"core", "utils"}),
    "strategies": frozenset({"core", "utils"}),
    "executor": frozenset({"core", "utils"}),
    "exchange": frozenset({"core", "utils"}),
    "simulator": frozenset({"core", "utils"}),
    "database": frozenset({"core", "utils"}),
    "alerts": frozenset({"core", "utils"}),
    "status": frozenset({"core", "utils"}),
    "dashboard": frozenset({"core", "database", "utils"}),
    "backtest": frozenset({"core", "strategies", "executor", "simulator", "utils"}),
    "utils": frozenset(),
}
"""Room -> the other rooms that it may import."""

EVERYONE = frozenset(ROOMS) | {"main", "commands", "backtest", "learning", "control", "benchmarks", "tests"}

CLOCK_ROOMS = ("core/clock.py", "exchange/", "utils/logging.py")
CLOCK_CALLS = {
    "datetime.now",
    "datetime.datetime.now",
    "datetime.utcnow",
    "time.time",
    "time.time_ns",
    "date.today",
}
RANDOM_CALLS = {
    "random.random",
    "random.randint",
    "random.uniform",
    "random.choice",
    "random.shuffle",
    "random.gauss",
    "np.random.rand",
    "np.random.randn",
    "np.random.random",
}
FLOAT_FREE = ("core", "executor", "exchange", "simulator/engine", "database")


def python_files(*rooms: str) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def imported_modules(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.lineno, node.module


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def in_any(path: Path, prefixes: tuple[str, ...]) -> bool:
    return path.relative_to(ROOT).as_posix().startswith(prefixes)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_room_imports_only_what_the_house_allows(room: str) -> None:
    allowed = ROOMS[room] | {room}
    offences = [
        f"{where(path, line)} imports {module}"
        for path in python_files(room)
        for line, module in imported_modules(parse(path))
        if (top := module.split(".")[0]) in EVERYONE and top not in allowed
    ]
    assert not offences, "\n".join(offences)


def test_backtest_sees_only_the_pure_part_of_the_simulator() -> None:
    offences = [
        f"{where(path, line)} imports {module}"
        for path in python_files("backtest")
        for line, module in imported_modules(parse(path))
        if module.split(".")[0] == "simulator" and not module.startswith(("simulator.engine.", "simulator.market."))
    ]
    assert not offences, "\n".join(offences)


def test_core_imports_only_the_standard_library() -> None:
    offences = [
        f"{where(path, line)} imports {module}"
        for path in python_files("core")
        for line, module in imported_modules(parse(path))
        if module.split(".")[0] in {"pydantic", "numpy", "pandas", "msgspec", "sqlmodel", "aiohttp", "structlog"}
    ]
    assert not offences, "\n".join(offences)


def test_wildcard_imports_are_absent() -> None:
    offences = [
        where(path, node.lineno)
        for path in python_files(*ROOMS)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]
    assert not offences, "\n".join(offences)


LAZY_IMPORTS = {
    "onepassword",
    "optuna",
    "pandas",
    "plotly",
    "pyarrow",
    "slack_sdk",
    "uvloop",
    "psycopg",
    "alembic",
    "resource",
}
"""Optional or heavy packages that a function may import when it first needs them."""


def test_function_level_imports_are_only_optional_or_heavy_packages() -> None:
    offences: list[str] = []
    for path in python_files(*ROOMS):
        for function in ast.walk(parse(path)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                offences += [
                    f"{where(path, line)} imports {module} in {function.name}"
                    for line, module in imported_modules(function)
                    if module.split(".")[0] not in LAZY_IMPORTS
                ]
    assert not offences, "\n".join(offences)


def test_wall_clock_and_unseeded_randomness_stay_in_their_rooms() -> None:
    offences = [
        f"{where(path, node.lineno)} calls {dotted(node.func)}"
        for path in python_files(*ROOMS)
        if not in_any(path, CLOCK_ROOMS)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and dotted(node.func) in CLOCK_CALLS | RANDOM_CALLS
    ]
    assert not offences, "\n".join(offences)


def test_money_rooms_turn_nothing_into_decimal_from_float() -> None:
    """`Decimal(0.1)` is the classic way to lose a cent: a literal float must never become a Decimal."""
    offences = [
        where(path, node.lineno)
        for path in python_files(*FLOAT_FREE)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call)
        and dotted(node.func).endswith("Decimal")
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, float)
    ]
    assert not offences, "\n".join(offences)


def test_only_the_executor_approves_orders() -> None:
    offences = [
        where(path, node.lineno)
        for path in python_files(*(room for room in ROOMS if room != "executor"))
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] == "Approved"
    ]
    assert not offences, "\n".join(offences)


def tracked_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )  # a source archive has no git: nothing to check then
    return listed.stdout.split("\n") if listed.returncode == 0 else []


def test_repository_tracks_no_lock_file_env_or_registry_host() -> None:
    forbidden_names = {"uv.lock", ".env", "poetry.lock", "package-lock.json"}
    hosts = ("py" + "pi.org", "python" + "hosted", "npm" + "js.org")
    offences = []
    for name in filter(None, tracked_files()):
        path = ROOT / name
        if path.name in forbidden_names:
            offences.append(f"{name} is tracked")
        if path.suffix in {".png", ".gz", ".zip", ".parquet"} or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        offences += [f"{name} names a registry host" for host in hosts if host in text]
    assert not offences, "\n".join(offences)


def test_product_code_has_no_words_of_unfinished_work() -> None:
    marks = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK", "NotImplemented" + "Error", "place" + "holder")
    offences = [
        f"{where(path, number)}: {line.strip()}"
        for path in [*python_files(*ROOMS), ROOT / "main.py"]
        if path.is_file()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if any(mark in line.split() for mark in marks)
    ]
    assert not offences, "\n".join(offences)
