"""The live path stays light."""

from __future__ import annotations

import subprocess
import sys

from tests.unit.strategies.test_strategies_loader import SHIPPED


def test_live_path_imports_neither_pandas_nor_ta_nor_the_sdk() -> None:
    code = (
        "import sys, pathlib, strategies.runner, strategies.feed, strategies.why, strategies.loader\n"
        "strategies.loader.StrategyBook(pathlib.Path('strategies'), ['BTCUSDT'])\n"
        "heavy = {'pandas', 'ta', 'scipy', 'numba', 'streamlit', 'binance_common', 'sqlmodel'} & sys.modules.keys()\n"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=SHIPPED.parent, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
