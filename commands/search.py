"""What `optimize` and `walkforward` share: the market and the space they search, progress, Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from commands.replay_options import Costs, settings_of, span_of, symbols_of
from core.errors import ConfigurationError

if TYPE_CHECKING:
    from backtest.optimize.space import Space
    from backtest.optimize.study import Plan
    from backtest.optimize.trial import World

_LINES = 20
"""So many lines of progress are printed where nobody watches."""


@dataclass(frozen=True, slots=True)
class Market:
    """What is searched: the world of the trials, and what people are told about it."""

    strategy: str
    symbols: tuple[str, ...]
    world: World
    space: Space
    space_path: Path
    start_ms: int
    present_in: Path
    own_databases: tuple[str, ...]
    notes: tuple[str, ...]

    def tell_notes(self) -> None:
        """Tell people what is missing or was left out."""
        for note in self.notes:
            typer.secho(note, err=True)

    def identity(self, plan: Plan) -> dict[str, Any]:
        """Return what all trials of a study have in common: it cannot go on with another of these."""
        from backtest.output import data_digest

        settings = self.world.settings
        return {
            "strategy": self.strategy,
            "symbols": list(self.symbols),
            "space": plan.space.described(),
            "parameters": {one.symbol: one.params.model_dump(mode="json") for one in self.world.active},
            "objectives": [one.name for one in plan.objectives],
            "span": [plan.start_ms, plan.end_ms],
            "data": data_digest(self.world.candles, self.world.funding),
            "settings": {name: str(getattr(settings, name)) for name in settings.__slots__},
            "min_trades": self.world.trades_min,
        }


def open_market(
    strategy: str,
    space_path: Path,
    data: str,
    symbols: str | None,
    span: tuple[str | None, str | None],
    costs: tuple[str | None, str, str | None],
    no_risk: bool,
    overrides: Sequence[str],
    allow_gaps: bool,
    out: Path,
    env_file: Path,
    objective: str,
    min_trades: int,
) -> Market:
    """Read everything that the command line names; raises ConfigurationError in one line for what is wrong."""
    from backtest.optimize.objectives import objectives_of
    from backtest.optimize.space import read_space
    from backtest.optimize.trial import World, longest_history
    from backtest.output import prepare_folder
    from backtest.parameters import active_strategies, on_any_symbol
    from commands.candle_source import load_candles, load_payments
    from config.load import load_settings
    from config.symbols import load_trading_config

    settings = load_settings(env_file, {})
    fee, slippage_bps, deposit = costs
    replay = settings_of(Costs(fee, slippage_bps, None, None, None, deposit), no_risk, None, settings.sim_deposit)
    objectives = objectives_of(objective)
    start_ms, end_ms = span_of(*span)
    wanted = symbols_of(symbols)
    # Names and space first: they are read at once, a year of candles is not.
    asked = on_any_symbol(settings.strategies_dir, [strategy], wanted, overrides)
    space = read_space(space_path, asked[0].params)
    _need_optuna()
    prepare_folder(out)
    history_ms = longest_history(asked, space)
    first_ms = None if start_ms is None else start_ms - history_ms
    loaded = load_candles(data, settings.db_url, wanted, start_ms=first_ms, end_ms=end_ms, allow_gaps=allow_gaps)
    chosen = [one.symbol for one in loaded.candles]
    config = load_trading_config(settings.config_dir / "symbols.yaml", settings, chosen)
    active = active_strategies(settings.strategies_dir, [strategy], chosen, overrides)
    funding, unpaid = load_payments(data, chosen)
    world = World(loaded.candles, tuple(active), config, replay, objectives, min_trades, funding, history_ms)
    return Market(
        strategy,
        tuple(chosen),
        world,
        space,
        space_path,
        world.start_ms if start_ms is None else max(start_ms, world.start_ms),
        settings.strategies_dir / strategy,
        (settings.db_url,),
        (*loaded.notes, *unpaid),
    )


def _need_optuna() -> None:
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise ConfigurationError("searching parameters needs Optuna; install the project's research group")


class Watched:
    """Progress and Ctrl-C of a long search: a bar where somebody watches, some lines in a pipe.

    The first Ctrl-C lets what has begun be finished; the second one ends it there.
    """

    def __init__(self, title: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bars.add_task(title, total=total, best="")
        self._title, self._total, self._told, self._done = title, total, 0, 0
        self._asked = 0
        self._before: Any = None

    def __enter__(self) -> Watched:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()
        signal.signal(signal.SIGINT, self._before)

    def should_stop(self) -> bool:
        return self._asked > 0

    def on_batch(self, done: int, best: float | None) -> None:
        """Show how many trials are over and the best score so far."""
        self._done = done
        text = "" if best is None else f"best {best:,.4g}"
        self._bars.update(self._task, completed=done, best=text)
        self._tell(text)

    def advance(self, count: int) -> None:
        self._done = min(self._total, self._done + count)
        self._bars.update(self._task, completed=self._done)
        self._tell("")

    def next(self, title: str, total: int) -> None:
        """Begin another piece of work."""
        self._title, self._total, self._told, self._done = title, total, 0, 0
        self._bars.reset(self._task, total=total, description=title, best="")

    def _tell(self, text: str) -> None:
        if self._console.is_terminal or not self._total:
            return
        share = _LINES * self._done // self._total
        if share > self._told:
            self._told = share
            print(f"{self._title}: {self._done} of {self._total} {text}".rstrip(), file=sys.stderr)  # noqa: T201

    def _on_signal(self, *_: object) -> None:
        self._asked += 1
        if self._asked > 1:
            raise KeyboardInterrupt
        typer.secho("stopping: what has begun is finished; Ctrl-C again ends it at once", err=True)
