"""`main.py backtests`: the stored backtests, one of them, and several side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.common import DbOption, EnvFileOption, kind_errors
from core.errors import ConfigurationError
from utils.side_by_side import ABSENT, differences, flatten

if TYPE_CHECKING:
    from database.runs import RunBook
    from database.tables import BacktestRunRow

SHA_SHOWN = 12
COMPARED_MAX = 6

app = typer.Typer(help="List, show and compare the backtests that were run.", no_args_is_help=False)


StrategyOption = Annotated[str | None, typer.Option(help="Only runs of this strategy.")]
SymbolOption = Annotated[str | None, typer.Option(help="Only runs on this symbol.")]
LimitOption = Annotated[int, typer.Option(min=1, help="So many runs at most.")]


@app.callback(invoke_without_command=True)
@kind_errors
def backtests(
    context: typer.Context,
    strategy: StrategyOption = None,
    symbol: SymbolOption = None,
    limit: LimitOption = 20,
    db: DbOption = None,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """List the backtests that were run, newest first; `show ID` tells all about one, `compare A B` what differs."""
    if context.invoked_subcommand is None:
        _list(strategy, symbol, limit, db, env_file)


@app.command("list")
@kind_errors
def list_runs(
    strategy: StrategyOption = None,
    symbol: SymbolOption = None,
    limit: LimitOption = 20,
    db: DbOption = None,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """List the backtests that were run, newest first; the same as `backtests` alone."""
    _list(strategy, symbol, limit, db, env_file)


def _list(strategy: str | None, symbol: str | None, limit: int, db: str | None, env_file: Path) -> None:
    book = _open(db, env_file)
    try:
        runs = book.runs(strategy, None if symbol is None else symbol.upper(), limit)
    finally:
        book.close()
    if not runs:
        typer.echo("no stored backtest fits; without --strategy and --symbol all are listed")
        return
    heads = ("ID", "run (UTC)", "strategies", "symbols", "from", "to", "net", "trades", "Sharpe", "drawdown", "took")
    _print_table(heads, [_line(run) for run in runs], right_from=6)


@app.command()
@kind_errors
def show(
    number: Annotated[int, typer.Argument(metavar="ID", help="Number of the run, as `backtests` lists it.")],
    db: DbOption = None,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Show one backtest: its data, code, parameters, settings and numbers."""
    book = _open(db, env_file)
    try:
        run = book.run(number)
        later = book.overwritten_by(run)
    finally:
        book.close()
    facts = _facts(run)
    if later is not None:
        facts["report"] += f" (overwritten by backtest {later})"
    sections = (facts, flatten(_loads(run.parameters)), flatten(_loads(run.settings)), _shown(_loads(run.metrics)))
    _print_table(("", f"backtest {number}"), [row for section in sections for row in section.items()])


@app.command()
@kind_errors
def compare(
    numbers: Annotated[list[int], typer.Argument(metavar="A B [C...]", help="Numbers of the runs.")],
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same in all of them.")] = False,
    db: DbOption = None,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Compare backtests side by side: what differs in data, code, parameters and settings, and all their numbers."""
    if not 2 <= len(set(numbers)) <= COMPARED_MAX or len(set(numbers)) != len(numbers):
        raise ConfigurationError(f"command line: compare takes 2 to {COMPARED_MAX} different backtests")
    book = _open(db, env_file)
    try:
        runs = [book.run(number) for number in numbers]
    finally:
        book.close()
    parts = {
        "data and code": [_facts(run) for run in runs],
        "parameters": [flatten(_loads(run.parameters)) for run in runs],
        "settings": [flatten(_loads(run.settings)) for run in runs],
    }
    heads = ("", *(f"backtest {number}" for number in numbers))
    for name, columns in parts.items():
        rows = differences(columns, everything=everything)
        if rows:
            _print_table((name, *heads[1:]), rows, right_from=1)
        else:
            typer.echo(f"{name}: the same")
    metrics = [_shown(_loads(run.metrics)) for run in runs]
    _print_table(("result", *heads[1:]), differences(metrics, everything=True), right_from=1)


# --- pure parts -------------------------------------------------------------------------------------------------------


def _facts(run: BacktestRunRow) -> dict[str, str]:
    from utils.timefmt import duration, short, to_ms

    return {
        "run (UTC)": short(to_ms(run.created_time)) + ("" if run.is_complete else ", stopped early"),
        "took": duration(run.duration_ms),
        "strategies": run.strategies,
        "symbols": run.symbols,
        "from": short(to_ms(run.start_time)),
        "to": short(to_ms(run.end_time)),
        "data": run.data_source,
        "data SHA-256": run.data_sha256[:SHA_SHOWN],
        "code": run.code_version,
        "report": run.report,
    }


def _line(run: BacktestRunRow) -> tuple[str, ...]:
    from utils.timefmt import day, duration, short, to_ms

    metrics = _loads(run.metrics)
    sharpe = metrics.get("sharpe")
    return (
        str(run.id),
        short(to_ms(run.created_time))[:16] + ("" if run.is_complete else " *"),
        run.strategies,
        _few(run.symbols),
        day(to_ms(run.start_time)),
        day(to_ms(run.end_time)),
        f"{float(run.net_pnl):+,.2f}",
        f"{metrics['trades']:,}",
        ABSENT if sharpe is None else f"{sharpe:.2f}",
        f"{metrics['max_drawdown_pct']:.2f} %",
        duration(run.duration_ms),
    )


def _few(symbols: str) -> str:
    names = symbols.split(",")
    return symbols if len(names) <= 3 else f"{','.join(names[:2])} and {len(names) - 2} more"


def _shown(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the numbers without the times, which stand above as dates."""
    return flatten({name: value for name, value in metrics.items() if not name.endswith("_time_ms")})


def _loads(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _open(db: str | None, env_file: Path) -> RunBook:
    from config.load import load_settings
    from database.runs import RunBook

    return RunBook(load_settings(env_file, {"db_url": db}).db_url)


def _print_table(heads: Sequence[str], rows: Sequence[Sequence[str]], right_from: int = 99) -> None:
    """Print a table: framed in a terminal, tabs between the values in a pipe, where nothing is cut."""
    import sys

    if not sys.stdout.isatty():
        for row in (heads, *rows):
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place >= right_from else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table, markup=False)
