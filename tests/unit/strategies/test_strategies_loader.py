"""The book: what the YAML files say, what is wrong with them, and what an edit does."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from core.errors import ConfigurationError
from core.limits import SymbolLimits
from strategies.loader import StrategyBook
from strategies.registry import discover
from strategies.schema import schema_text, write_schemas

SHIPPED = Path(__file__).resolve().parents[3] / "strategies"
TEN = [f"{base}USDT" for base in ("BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "AVAX", "LINK", "LTC", "SUI")]

CODE = """
from pydantic import Field
from strategies.base import GatedStrategy, percent_exits
from strategies.conditions import Setup
from strategies.indicators import Sma
from strategies.params import StrategyParams
from decimal import Decimal

class Params(StrategyParams):
    window: int = Field(5, ge=2, le=50)

class Fade(GatedStrategy):
    name = "fade"
    Params = Params
    def indicators(self):
        return {"mean": Sma(self.params.window)}
    def setup(self):
        return Setup("off_mean", lambda v: v.close < v.mean, lambda v: v.close > v.mean, "at the mean", "off the mean")
    def exits(self, v, direction):
        return percent_exits(Decimal(1), None)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "fade"
    folder.mkdir()
    (folder / "strategy.py").write_text(CODE)
    (folder / "default.yaml").write_text("window: 10\n")
    (folder / "BTCUSDT.yaml").write_text("window: 20\n")
    return tmp_path


def book(root: Path) -> StrategyBook:
    return StrategyBook(root, ["BTCUSDT", "ETHUSDT"])


def windows(one: StrategyBook) -> list[list[int]]:
    return [[active.params.window for active in one.on(symbol)] for symbol in one.symbols]


def test_shipped_book_has_a_yaml_for_each_of_the_ten_symbols_and_loads() -> None:
    shipped = StrategyBook(SHIPPED, TEN)
    for symbol in TEN:
        (active,) = shipped.on(symbol)
        assert active.name == "vwap_reversion"
        assert active.params.volatility_halt_pct is not None
        assert active.params.target_pct > active.params.stop_pct
        text = (SHIPPED / "vwap_reversion" / f"{symbol}.yaml").read_text()
        assert text.startswith("# yaml-language-server: $schema=schema.json"), "editors check the keys"
        assert text.count("#") > 3, "values come with their reasons"
    assert shipped.unused_files() == ()


def test_shipped_default_is_the_documented_rule() -> None:
    (active,) = StrategyBook(SHIPPED, ["NEWUSDT"]).on("NEWUSDT")
    params = active.params
    assert (params.k, params.adx_max, params.adx_window) == (2.0, 20.0, 14)
    assert (params.target_pct, params.stop_pct) == (Decimal("0.6"), Decimal("0.3"))
    assert (params.volatility_window_seconds, params.volatility_rest_minutes) == (5, 10)


def test_shipped_schema_is_current() -> None:
    for name, strategy_class in discover(SHIPPED).items():
        assert (SHIPPED / name / "schema.json").read_text() == schema_text(strategy_class), "run write_schemas"


def test_write_schemas_describes_every_key_and_is_idempotent(root) -> None:
    (path,) = write_schemas(root)
    schema = json.loads(path.read_text())
    assert schema["additionalProperties"] is False
    assert {"window", "enabled", "interval"} <= schema["properties"].keys()
    assert write_schemas(root) == []


def test_symbol_yaml_overrides_default_yaml(root) -> None:
    assert windows(book(root)) == [[20], [10]]


def test_listed_strategy_runs_only_where_it_has_a_yaml(root) -> None:
    (root / "fade/default.yaml").write_text("symbols: listed\n")
    assert windows(book(root)) == [[20], []]


def test_disabled_strategy_does_not_run_there(root) -> None:
    (root / "fade/BTCUSDT.yaml").write_text("enabled: false\n")
    assert windows(book(root)) == [[], [10]]


def test_strategy_disabled_by_default_runs_where_it_is_enabled(root) -> None:
    (root / "fade/default.yaml").write_text("enabled: false\n")
    (root / "fade/BTCUSDT.yaml").write_text("enabled: true\n")
    assert windows(book(root)) == [[5], []]


def test_several_strategies_run_on_one_symbol(root) -> None:
    other = root / "other"
    other.mkdir()
    (other / "strategy.py").write_text(CODE.replace('name = "fade"', 'name = "other"'))
    (other / "default.yaml").write_text("interval: 5m\n")
    both = book(root)
    assert [active.name for active in both.on("BTCUSDT")] == ["fade", "other"]
    assert [active.name for active in both.on("BTCUSDT", "5m")] == ["other"]
    assert both.intervals("BTCUSDT") == ("1m", "5m")
    assert both.history("BTCUSDT", "1m").candles == 20


def test_files_of_symbols_that_are_not_traded_are_named(root) -> None:
    (root / "fade/BTCUSD.yaml").write_text("window: 7\n")
    assert [path.name for path in book(root).unused_files()] == ["BTCUSD.yaml"]


BAD_FILES = [
    ("BTCUSDT", "windw: 7\n", r"BTCUSDT.yaml:1: windw: .*window"),
    ("BTCUSDT", "\nwindow: 99\n", r"BTCUSDT.yaml:2: window: .*99"),
    ("BTCUSDT", "window: [\n", r"BTCUSDT.yaml:\d+:\d+: not valid YAML"),
    ("BTCUSDT", "window: 7\nwindow: 8\n", r"BTCUSDT.yaml:2:1: duplicate key 'window'"),
    ("BTCUSDT", "symbols: all\n", r"BTCUSDT.yaml:1: symbols: belongs into default.yaml"),
    ("btcusdt", "window: 7\n", r"btcusdt.yaml: the file name must be a symbol in capitals"),
    ("default", "window: x\n", r"default.yaml:1: window: .*x"),
    ("default", "interval: 7m\n", r"default.yaml:1: interval: .*7m"),
]


@pytest.mark.parametrize(("stem", "text", "message"), BAD_FILES)
def test_bad_file_at_the_start_names_file_line_and_key(root, stem, text, message) -> None:
    (root / "fade" / f"{stem}.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        book(root)


@pytest.mark.parametrize(("stem", "text", "message"), BAD_FILES)
def test_bad_edit_is_refused_and_the_old_values_stay(root, stem, text, message) -> None:
    running = book(root)
    version = running.version
    (root / "fade" / f"{stem}.yaml").write_text(text)
    (outcome,) = running.reload_changed()
    assert not outcome.applied
    assert re.search(message, outcome.message)
    assert outcome.message.endswith("the old values stay")
    assert (windows(running), running.version) == ([[20], [10]], version)
    assert running.reload_changed() == [], "a refused file is told once"


def test_all_problems_are_told_at_once(root) -> None:
    (root / "fade/BTCUSDT.yaml").write_text("window: 1\nk: 2\n")
    (root / "fade/ETHUSDT.yaml").write_text("window: 99\n")
    with pytest.raises(ConfigurationError) as caught:
        book(root)
    assert len(str(caught.value).splitlines()) == 3


def test_missing_default_yaml_is_named(root) -> None:
    (root / "fade/default.yaml").unlink()
    with pytest.raises(ConfigurationError, match=r"default.yaml: file not found"):
        book(root)


def test_edit_of_a_symbol_counts_at_once_and_raises_the_version(root) -> None:
    running = book(root)
    (root / "fade/BTCUSDT.yaml").write_text("window: 30\n")
    (outcome,) = running.reload_changed()
    assert outcome.applied and "from the next candle on" in outcome.message
    assert (windows(running), running.version) == ([[30], [10]], 2)


def test_edit_of_the_default_reaches_symbols_that_do_not_override_it(root) -> None:
    running = book(root)
    (root / "fade/default.yaml").write_text("window: 12\nvolatility_halt_pct: 2\n")
    assert [outcome.applied for outcome in running.reload_changed()] == [True]
    assert windows(running) == [[20], [12]]
    assert running.on("BTCUSDT")[0].params.volatility_halt_pct == 2


def test_removed_symbol_file_falls_back_to_the_default(root) -> None:
    running = book(root)
    (root / "fade/BTCUSDT.yaml").unlink()
    assert [outcome.applied for outcome in running.reload_changed()] == [True]
    assert windows(running) == [[10], [10]]


def test_removed_default_is_refused_and_its_return_is_read(root) -> None:
    running = book(root)
    (root / "fade/default.yaml").unlink()
    assert [outcome.applied for outcome in running.reload_changed()] == [False]
    assert windows(running) == [[20], [10]]
    (root / "fade/default.yaml").write_text("window: 11\n")
    assert [outcome.applied for outcome in running.reload_changed()] == [True]
    assert windows(running) == [[20], [11]]


def test_new_symbol_file_is_applied(root) -> None:
    running = book(root)
    (root / "fade/ETHUSDT.yaml").write_text("window: 6\n")
    assert [outcome.applied for outcome in running.reload_changed()] == [True]
    assert windows(running) == [[20], [6]]


def test_good_file_is_applied_beside_a_bad_one(root) -> None:
    running = book(root)
    (root / "fade/BTCUSDT.yaml").write_text("window: 1\n")
    (root / "fade/ETHUSDT.yaml").write_text("window: 6\n")
    outcomes = {outcome.path.stem: outcome.applied for outcome in running.reload_changed()}
    assert outcomes == {"BTCUSDT": False, "ETHUSDT": True}
    assert windows(running) == [[20], [6]]


def test_interval_that_was_not_loaded_at_the_start_asks_for_a_restart(root) -> None:
    running = book(root)
    (root / "fade/BTCUSDT.yaml").write_text("window: 9\ninterval: 5m\n")
    (outcome,) = running.reload_changed()
    assert not outcome.applied
    assert (
        "BTCUSDT.yaml:2: interval: candles of 5m were not loaded for BTCUSDT at the start; restart" in outcome.message
    )
    assert windows(running) == [[20], [10]]


def test_unchanged_files_are_not_read_again(root) -> None:
    running = book(root)
    (root / "fade/BTCUSDT.yaml").write_text("window: 20\n")
    assert running.reload_changed() == []
    assert running.version == 1


def test_limits_take_the_strictest_volatility_halt_of_the_strategies(root) -> None:
    other = root / "other"
    other.mkdir()
    (other / "strategy.py").write_text(CODE.replace('name = "fade"', 'name = "other"'))
    (other / "default.yaml").write_text("volatility_halt_pct: 0.9\nvolatility_rest_minutes: 30\n")
    (root / "fade/BTCUSDT.yaml").write_text("volatility_halt_pct: 1.2\nvolatility_window_seconds: 8\n")
    limits = book(root).limits(SymbolLimits("BTCUSDT", leverage=3))
    assert (limits.volatility_halt_pct, limits.volatility_window_ms, limits.volatility_rest_ms, limits.leverage) == (
        Decimal("0.9"),
        8_000,
        1_800_000,
        3,
    )


def test_limits_stay_where_no_strategy_names_a_halt(root) -> None:
    limits = SymbolLimits("BTCUSDT")
    assert book(root).limits(limits) is limits


def test_gate_that_cannot_be_evaluated_is_refused_when_loaded(root) -> None:
    (root / "fade/strategy.py").write_text(CODE.replace("v.close < v.mean", "v.close < v.maen"))
    with pytest.raises(ConfigurationError, match=r"fade fails with these values: AttributeError.*maen"):
        book(root)


def test_texts_of_an_unknown_strategy_are_empty(root) -> None:
    assert book(root).texts("gone") == {}
    assert book(root).texts("fade")["off_mean"] == "at the mean"


def test_example_of_the_readme_loads_and_explains_itself(tmp_path) -> None:
    readme = (SHIPPED / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert code is not None
    (tmp_path / "quiet_breakout").mkdir()
    (tmp_path / "quiet_breakout/strategy.py").write_text(code[1])
    (tmp_path / "quiet_breakout/default.yaml").write_text("enabled: true\n")
    example = StrategyBook(tmp_path, ["BTCUSDT"])
    assert [active.name for active in example.on("BTCUSDT")] == ["quiet_breakout"]
    assert example.texts("quiet_breakout").keys() == {"quiet", "breakout", "signal"}


def test_history_start_covers_the_slowest_indicator_of_the_symbol(root) -> None:
    assert book(root).history_start("BTCUSDT", "1m", 60_000 * 100) == 60_000 * (100 - 19)
    assert book(root).history_start("ETHUSDT", "1m", 60_000 * 100) == 60_000 * (100 - 9)


REGISTRY = [
    ("raise OSError('no such thing')", "cannot be imported: OSError: no such thing"),
    ("x = 1", "must define exactly one Strategy class .found none."),
    (CODE + "\nclass Second(Fade):\n    pass\n", "exactly one Strategy class .found Fade, Second."),
    (CODE.replace('name = "fade"', 'name = "faed"'), "Fade.name must be the name of its folder, 'fade'"),
]


@pytest.mark.parametrize(("code", "message"), REGISTRY)
def test_strategy_code_that_is_no_strategy_is_explained(root, code, message) -> None:
    (root / "fade/strategy.py").write_text(code)
    with pytest.raises(ConfigurationError, match=message):
        discover(root)


def test_missing_folder_of_strategies_is_explained(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="folder of strategies not found"):
        discover(tmp_path / "nowhere")
