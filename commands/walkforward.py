"""`main.py walkforward`: optimise on each stretch, trade the next one, and show only what was earned there."""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from commands.alone import alone_in
from commands.candle_source import HELP as DATA_HELP
from commands.common import STOPPED, EnvFileOption, kind_errors
from commands.search import Market, Watched, open_market
from core.errors import ConfigurationError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

    from backtest.optimize.study import Plan
    from backtest.optimize.walkforward import Begun, Walked, WalkForward, Window

JOURNAL = "walk.journal"
_PIPE_WIDTH = 160
"""Nothing is cut where no terminal's width binds."""
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(d|w|h)$")
_UNIT_MS = {"h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


@kind_errors
def walkforward(
    strategy: Annotated[str, typer.Argument(help="Strategy, such as vwap_reversion.")],
    space: Annotated[Path, typer.Option("--space", help="YAML of the parameters that vary, and their ranges.")],
    data: Annotated[str, typer.Option("--data", help=DATA_HELP + ".")],
    symbols: Annotated[str | None, typer.Option(help="Symbols with commas, traded together. (default: all)")] = None,
    train: Annotated[str, typer.Option(help="Length of a training stretch: 90d, 12w.")] = "90d",
    test: Annotated[str, typer.Option(help="Length of the test stretch that follows it.")] = "30d",
    anchored: Annotated[bool, typer.Option("--anchored", help="Train on everything before the test stretch.")] = False,
    trials: Annotated[int, typer.Option(min=1, help="Trials of each training stretch.")] = 100,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 1,
    sampler: Annotated[
        Literal["tpe", "grid", "random"], typer.Option(help="How to choose what is tried next.")
    ] = "tpe",
    objective: Annotated[str, typer.Option(help="What to optimise for: net_pnl, sharpe, calmar ...")] = "sharpe",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same walk.")] = 1,
    prune: Annotated[bool, typer.Option("--prune/--no-prune", help="End hopeless trials early.")] = True,
    min_trades: Annotated[int, typer.Option(min=0, help="A trial with fewer trades counts as bad.")] = 10,
    start: Annotated[str | None, typer.Option("--from", help="First signal (UTC), such as 2026-01-31.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the candles (UTC, exclusive).")] = None,
    fee: Annotated[str | None, typer.Option(help="Fee of every fill as a fraction, such as 0.0005.")] = None,
    slippage_bps: Annotated[str, typer.Option(help="What every fill loses to its price, in basis points.")] = "0",
    deposit: Annotated[str | None, typer.Option(help="Money at the start; default SIM_DEPOSIT.")] = None,
    no_risk: Annotated[bool, typer.Option("--no-risk", help="No limits, no margin: every signal enters.")] = False,
    settings_: Annotated[
        list[str] | None, typer.Option("--set", help="Parameter that does not vary, key=value; may be repeated.")
    ] = None,
    allow_gaps: Annotated[
        bool, typer.Option("--allow-gaps", help="Replay over gaps; leave out impossible candles.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path("backtests/walkforward"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what an earlier walk left in --out.")] = False,
    report: Annotated[bool, typer.Option(help="Write report.html too.")] = True,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Optimise on a stretch of candles, trade the next one with the best parameters, go on; compare both.

    Ctrl-C keeps windows and trials that are finished; the same command goes on with them.
    """
    from backtest.optimize.study import Plan
    from backtest.optimize.walkforward import windows_of

    lengths = _length("--train", train), _length("--test", test)
    market = open_market(
        strategy, space, data, symbols, (start, end), (fee, slippage_bps, deposit), no_risk, settings_ or (),
        allow_gaps, out, env_file, objective, min_trades,
    )  # fmt: skip
    if len(market.world.objectives) > 1:
        raise ConfigurationError("command line: --objective: walk-forward needs one objective")
    if sampler == "grid" and market.space.endless():
        raise ConfigurationError(f"{space}: {', '.join(market.space.endless())} need a step for --sampler grid")
    trials = min(trials, market.space.grid_size()) if sampler == "grid" else trials
    windows = windows_of(market.start_ms, market.world.end_ms, *lengths, anchored=anchored)
    plan = Plan(
        market.space, market.world.objectives, trials, market.start_ms, market.world.end_ms, sampler, seed,
        prune and sampler != "grid", jobs,
    )  # fmt: skip
    with alone_in(out, "walk-forward"):
        if fresh:
            (out / JOURNAL).unlink(missing_ok=True)
        raise typer.Exit(_walk(market, plan, windows, out, report))


def _length(option: str, text: str) -> int:
    found = _DURATION.match(text.strip().lower())
    length = round(float(found[1]) * _UNIT_MS[found[2]]) if found else 0
    length -= length % 60_000
    if length < _UNIT_MS["h"]:
        raise ConfigurationError(f"command line: {option} {text!r}: write a length of at least an hour, such as 30d")
    return length


def _walk(market: Market, plan: Plan, windows: list[Window], out: Path, report: bool) -> int:
    from backtest.optimize.pool import Pool
    from backtest.optimize.walkforward import stitch, take_up, walk
    from core.clock import SystemClock

    world, deposit = market.world, market.world.settings.deposit
    done: list[Walked] = []
    with Pool(world, plan.jobs) as pool:  # before anything starts a thread
        storage = _journal(out)
        identity = {**market.identity(plan), "code": _code_of(market)}
        begun = take_up(storage, windows, plan, identity, f"the walk-forward in {out}")
        market.tell_notes()
        _tell_begun(begun, len(windows), plan.trials)
        with Watched(f"window 1 of {len(windows)}", plan.trials) as watched:

            def keep(walked: Walked) -> None:
                done.append(walked)
                if len(done) >= begun.windows:  # files of an earlier start never lose a window
                    _write(market, plan, stitch(done, deposit), len(windows), out)
                watched.next(f"window {len(done) + 1} of {len(windows)}", plan.trials)

            walk(
                windows,
                plan,
                pool.run,
                trades_min=world.trades_min,
                deposit=deposit,
                now_ms=SystemClock().wall_ms,
                storage=storage,
                on_window=keep,
                on_batch=watched.on_batch,
                should_stop=watched.should_stop,
            )
        is_stopped = len(done) < len(windows)
    if done:
        found = stitch(done, deposit)
        title = f"{market.strategy} on {', '.join(market.symbols)}: walk-forward"
        if report:
            from backtest.optimize.walk_report import write_report

            write_report(out / "report.html", title, found, plan, market.notes)
        _print(title, found, plan, out)
    if is_stopped:
        typer.secho(
            f"stopped as asked: {len(done)} of {len(windows)} windows are finished and kept, with the finished trials "
            "of the next one; the same command goes on",
            err=True,
        )
    return STOPPED if is_stopped else 0


def _journal(out: Path) -> BaseStorage:
    from backtest.optimize.storage import open_storage

    try:
        return open_storage(str(out / JOURNAL))
    except ConfigurationError:
        raise ConfigurationError(
            f"{out / JOURNAL} cannot be read as what a walk-forward left; begin anew with --fresh"
        ) from None


def _code_of(market: Market) -> str:
    """Return a digest of the strategy's own code: trials of two versions of it do not go into one walk."""
    source = inspect.getsourcefile(market.world.active[0].strategy_class)
    return "" if source is None else hashlib.sha256(Path(source).read_bytes()).hexdigest()[:16]


def _tell_begun(begun: Begun, windows: int, trials: int) -> None:
    if not begun:
        return
    if begun.windows == windows:
        text = f"all {windows} windows are searched already: their best parameters are traded once more"
    else:
        text = f"going on with window {begun.windows + 1} of {windows}"
        text += f" after {begun.trials:,} of {trials:,} trials" if begun.trials else ""
    typer.secho(f"{text}; --fresh begins anew", err=True)


def _write(market: Market, plan: Plan, found: WalkForward, windows: int, out: Path) -> None:
    """Write what is finished after every window, so that nothing can take it away."""
    from backtest.optimize.output import write_json
    from backtest.optimize.walkforward import words_of
    from backtest.output import write_trades
    from utils.timefmt import iso

    rows = [
        {
            "train": [iso(one.window.train_ms), iso(one.window.test_ms)],
            "test": [iso(one.window.test_ms), iso(one.window.end_ms)],
            "parameters": dict(one.values),
            "in_sample": one.inside.as_dict() if one.inside else None,
            "out_of_sample": one.outside.as_dict() if one.outside else None,
            "trials": one.trials,
        }
        for one in found.windows
    ]
    content: dict[str, Any] = {
        **market.identity(plan),
        "sampler": plan.sampler,
        "seed": plan.seed,
        "windows_planned": windows,
        "efficiency": found.efficiency,
        "out_of_sample": found.metrics.as_dict(),
        "words": words_of(found),
        "windows": rows,
    }
    write_json(out / "walkforward.json", content)
    trades = [trade for one in found.windows for trade in one.trades]
    write_trades(out / "trades.csv", trades)


def _print(title: str, found: WalkForward, plan: Plan, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from backtest.optimize.walk_report import table_of
    from backtest.optimize.walkforward import words_of

    table = Table(title=title)
    heads, *rows = table_of(found, plan.objectives[0])
    for number, head in enumerate(heads):
        if number != 1:  # the parameters are too wide for a terminal; report and JSON have them
            table.add_column(head, justify="right" if number else "left", no_wrap=not number, overflow="fold")
    for row in rows:
        table.add_row(row[0], *row[2:])
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    console.print(table)
    for line in words_of(found):
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"windows, trades and report: {out}", highlight=False, soft_wrap=True)
