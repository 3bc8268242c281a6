"""`main.py optimize`: search the parameters of a strategy, and tell how far what was found can be trusted."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from commands.candle_source import HELP as DATA_HELP
from commands.common import STOPPED, EnvFileOption, kind_errors
from commands.search import Market, Watched, open_market
from core.errors import ConfigurationError

if TYPE_CHECKING:
    from backtest.optimize.conclude import Conclusion
    from backtest.optimize.study import Plan, Row

NOTHING = 1


@kind_errors
def optimize(
    strategy: Annotated[str, typer.Argument(help="Strategy, such as vwap_reversion.")],
    space: Annotated[Path, typer.Option("--space", help="YAML of the parameters that vary, and their ranges.")],
    data: Annotated[str, typer.Option("--data", help=DATA_HELP + ".")],
    symbols: Annotated[str | None, typer.Option(help="Symbols with commas, traded together. (default: all)")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials of the whole study, whoever runs them.")] = 200,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 1,
    sampler: Annotated[
        Literal["tpe", "grid", "random"], typer.Option(help="How to choose what is tried next.")
    ] = "tpe",
    objective: Annotated[
        str, typer.Option(help="net_pnl, sharpe, calmar ...; several with commas: the Pareto front of them.")
    ] = "sharpe",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same study.")] = 1,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Where the study is kept: a journal file, sqlite:///FILE or postgresql://...; machines that name "
            "the same one share the study. (default: study.journal in --out)"
        ),
    ] = None,
    study: Annotated[str | None, typer.Option("--study", help="Its name. (default: the strategy's)")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in --out.")] = False,
    prune: Annotated[
        bool | None,
        typer.Option("--prune/--no-prune", help="End hopeless trials early. (default: with tpe and one objective)"),
    ] = None,
    holdout: Annotated[
        float, typer.Option(min=0, max=90, help="Last part of the span, in percent, that no trial sees; 0: none.")
    ] = 25.0,
    permutations: Annotated[
        int, typer.Option(min=0, max=100_000, help="Markets drawn by lot for the permutation test.")
    ] = 200,
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
    out: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path("backtests/optimize"),
    report: Annotated[bool, typer.Option(help="Write report.html too.")] = True,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Try many parameters on recorded candles, in parallel, and tell how much of the best result is luck.

    The best parameters are written as YAML into --out; applying them is up to you. Ctrl-C keeps what is finished.
    """
    market = open_market(
        strategy, space, data, symbols, (start, end), (fee, slippage_bps, deposit), no_risk, settings_ or (),
        allow_gaps, out, env_file, objective, min_trades,
    )  # fmt: skip
    plan = _plan(market, trials, sampler, seed, prune, jobs, holdout)
    name = study or strategy
    where = storage or str(out / "study.journal")
    _refuse_storage(market, storage, resume, out)
    raise typer.Exit(_optimize(market, plan, name, where, storage, permutations, out, report))


def _plan(market: Market, trials: int, sampler: Any, seed: int, prune: bool | None, jobs: int, holdout: float) -> Plan:
    from backtest.optimize.study import Plan
    from core.candle import DAY_MS

    world, space = market.world, market.space
    if prune and len(world.objectives) > 1:
        raise ConfigurationError("command line: --prune goes with one objective only; leave it out")
    if sampler == "grid" and space.endless():
        raise ConfigurationError(
            f"{market.space_path}: {', '.join(space.endless())} need a step for --sampler grid: without one there are "
            "endlessly many values"
        )
    if sampler == "grid" and trials > space.grid_size():
        trials = space.grid_size()
    elif sampler == "grid" and trials < space.grid_size():
        typer.secho(f"--trials {trials} covers a part of the grid of {space.grid_size():,}", err=True)
    start, end = market.start_ms, world.end_ms
    if end - start < DAY_MS:
        raise ConfigurationError("the candles span less than a day: too short to optimise on; widen --from and --to")
    border = end - int((end - start) * holdout / 100)
    if holdout:
        border = max(border - border % DAY_MS, start + DAY_MS)
    return Plan(
        space, world.objectives, trials, start, min(border, end), sampler, seed,
        sampler == "tpe" and len(world.objectives) == 1 if prune is None else prune, jobs,
    )  # fmt: skip


def _refuse_storage(market: Market, storage: str | None, resume: bool, out: Path) -> None:
    """Refuse to mix a new study into an old one, and studies into the trader's own database."""
    if storage is not None and storage in market.own_databases:
        raise ConfigurationError("--storage: this is the trader's own database; give studies one of their own")
    journal = out / "study.journal"
    if storage is not None:
        return
    if resume and not journal.is_file():
        raise ConfigurationError(f"--resume: there is no study in {out}; leave --resume out to begin one")
    if not resume and journal.is_file() and journal.stat().st_size:
        raise ConfigurationError(f"{out} holds a study already: --resume goes on with it, another --out begins one")


def _optimize(
    market: Market, plan: Plan, name: str, where: str, storage: str | None, permutations: int, out: Path, report: bool
) -> int:
    from backtest.optimize.conclude import conclude
    from backtest.optimize.pool import Pool
    from backtest.optimize.storage import open_storage
    from backtest.optimize.study import importances, open_study, rows_of, search
    from core.clock import SystemClock

    clock, world = SystemClock(), market.world
    spans = (plan.start_ms, plan.end_ms, world.end_ms)
    with Pool(world, plan.jobs) as pool:  # before anything starts a thread
        study = open_study(open_storage(where), name, plan, market.identity(plan))
        market.tell_notes()
        with Watched("optimising", plan.trials) as watched:
            is_done = search(
                study,
                plan,
                pool.run,
                now_ms=clock.wall_ms,
                on_batch=watched.on_batch,
                should_stop=watched.should_stop,
            )
            rows = rows_of(study, plan.space)
            watched.next("testing for luck", permutations if is_done else 0)
            found = conclude(
                rows,
                plan.objectives,
                world.trades_min,
                spans,
                pool.run,
                permutations=permutations if is_done else 0,
                seed=plan.seed,
                on_step=lambda: watched.advance(16),
                should_stop=watched.should_stop,
            )
    weights = importances(study, plan.objectives[0]) if len(rows) > 1 else {}
    _write(market, plan, rows, found, weights, out, report)
    _print(market, plan, rows, found, out)
    if not is_done:
        again = "the same command" if storage is not None else "the same command with --resume"
        typer.secho(f"stopped as asked: {len(rows):,} of {plan.trials:,} trials are kept; {again} goes on", err=True)
        return STOPPED
    return 0 if found is not None else NOTHING


def _write(
    market: Market, plan: Plan, rows: list[Row], found: Conclusion | None, weights: dict[str, float], out: Path,
    report: bool,
) -> None:  # fmt: skip
    from backtest.optimize.conclude import words_of
    from backtest.optimize.output import write_json, write_parameters, write_trials
    from backtest.optimize.report import write_report
    from utils.timefmt import day, iso

    names = [one.name for one in plan.space.dimensions]
    write_trials(out / "trials.csv", rows, names, plan.objectives, found.front if found else ())
    content: dict[str, Any] = {
        **market.identity(plan),
        "sampler": plan.sampler,
        "seed": plan.seed,
        "trials": len(rows),
        "train": [iso(plan.start_ms), iso(plan.end_ms)],
        "holdout": [iso(plan.end_ms), iso(market.world.end_ms)] if plan.end_ms < market.world.end_ms else None,
        "importance": weights,
        "best": None,
    }
    if found is not None:
        span = f"{day(plan.start_ms)} to {day(plan.end_ms)}"
        note = (
            f"Found by optimize, trial {found.best.number} of {len(rows)}, on candles of {span}. Not applied by itself."
        )
        write_parameters(out / "best" / market.strategy, market.present_in, market.symbols, found.best.values, note)
        lot = found.permutations
        content |= {
            "best": {"trial": found.best.number, "parameters": dict(found.best.values), "scores": found.best.scores},
            "in_sample": found.inside.metrics.as_dict() if found.inside.metrics else None,
            "out_of_sample": found.outside.metrics.as_dict() if found.outside and found.outside.metrics else None,
            "deflated_sharpe": None if found.deflated is None else asdict(found.deflated),
            "permutation_test": None
            if lot is None
            else {"p": lot.p, "markets": lot.count, "real": lot.real, "held_out": lot.is_unseen},
            "pareto_trials": [row.number for row in found.front],
            "words": words_of(found),
        }
    write_json(out / "optimize.json", content)
    if report and found is not None:
        title = f"{market.strategy} on {', '.join(market.symbols)}: {len(rows):,} trials"
        notes = (f"Searched {day(plan.start_ms)} to {day(plan.end_ms)} (UTC)", *market.notes)
        write_report(out / "report.html", title, rows, plan.space, plan.objectives, weights, found, notes)


def _print(market: Market, plan: Plan, rows: list[Row], found: Conclusion | None, out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    from backtest.optimize.conclude import words_of

    console = Console()
    states = {state: sum(row.state == state for row in rows) for state in ("complete", "pruned", "failed")}
    told = ", ".join(f"{count:,} {state}" for state, count in states.items() if count)
    if found is None:
        failed = next((row.error for row in rows if row.error), "")
        console.print(
            f"{len(rows):,} trials ({told}): none made {market.world.trades_min} trades, so nothing can be chosen; "
            f"widen the space or the span, or lower --min-trades" + (f". A trial failed: {failed}" if failed else ""),
            highlight=False,
        )
        return
    table = Table(title=f"{market.strategy} on {', '.join(market.symbols)}: best of {len(rows):,} trials ({told})")
    for head in ("parameter", "best", "now"):
        table.add_column(head, justify="left" if head == "parameter" else "right")
    now = market.world.active[0].params
    for name, value in found.best.values.items():
        table.add_row(name, str(value), str(getattr(now, name)))
    for one, score in zip(plan.objectives, found.best.scores, strict=True):
        table.add_row(one.name, f"{score:,.4g}", "")
    console.print(table)
    for line in words_of(found):
        console.print(line, highlight=False, soft_wrap=True)
    folder = out / "best" / market.strategy
    console.print(
        f"The parameters are in {folder} and not applied. To apply them: cp {folder}/*.yaml {market.present_in}/ "
        "(a running trader takes them over from the next candle on)",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"trials, numbers and report: {out}", highlight=False, soft_wrap=True)
