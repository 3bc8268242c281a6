"""`main.py backtest`: replay recorded candles through the live code, print the result, write files and a report."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from commands.candle_source import HELP as DATA_HELP
from commands.common import STOPPED, DbOption, EnvFileOption, kind_errors
from commands.replay_options import Costs, settings_of, span_of, strategies_of, symbols_of

if TYPE_CHECKING:
    from backtest.load import Loaded
    from backtest.run import Backtest
    from backtest.settings import ReplaySettings
    from core.limits import TradingConfig
    from simulator.market.model import FundingPoint
    from strategies.loader import ActiveStrategy

OUT = Path("backtests")
"""Runs without --out get a folder of their own in this one."""


@kind_errors
def backtest(
    strategy: Annotated[str, typer.Argument(help="Strategy, such as vwap_reversion; several with commas.")],
    data: Annotated[str, typer.Option("--data", help=DATA_HELP + ".")],
    symbols: Annotated[str | None, typer.Option(help="Symbols, such as BTCUSDT,ETHUSDT; default: all there.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="First signal (UTC), such as 2026-01-31.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the candles (UTC, exclusive).")] = None,
    fee: Annotated[str | None, typer.Option(help="Fee of every fill as a fraction, such as 0.0005.")] = None,
    slippage_bps: Annotated[str, typer.Option(help="What every fill loses to its price, in basis points.")] = "0",
    tick_size: Annotated[str | None, typer.Option(help="Price grid instead of the contract's.")] = None,
    step_size: Annotated[str | None, typer.Option(help="Quantity grid instead of the contract's.")] = None,
    quantity: Annotated[str | None, typer.Option(help="Enter this many units instead of sizing by risk.")] = None,
    deposit: Annotated[
        str | None, typer.Option(help="Money at the start; default SIM_DEPOSIT, or 1000000 with --no-risk.")
    ] = None,
    warmup: Annotated[
        int | None, typer.Option(min=0, help="Candles before the first signal; default: what the strategy needs.")
    ] = None,
    no_risk: Annotated[bool, typer.Option("--no-risk", help="No limits, no margin: every signal enters.")] = False,
    settings_: Annotated[
        list[str] | None, typer.Option("--set", help="Strategy parameter, key=value; may be repeated.")
    ] = None,
    both_hit_rule: Annotated[
        Literal["SL_FIRST", "TP_FIRST", "FINER"] | None,
        typer.Option(
            help="When one candle touches stop and target: stop, target, or what candles of seconds (files "
            "SYMBOL-1s* in the folder) show. (default: the strategy's YAML, else SL_FIRST)"
        ),
    ] = None,
    allow_gaps: Annotated[
        bool, typer.Option("--allow-gaps", help="Replay over gaps; leave out impossible candles.")
    ] = False,
    check: Annotated[
        Literal["lookahead", "warmup"] | None,
        typer.Option(help="Do not trade; check that no signal sees the future, or depends on where data begin."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder of the results; what a run left there is replaced. (default: a new one in backtests)"
        ),
    ] = None,
    report: Annotated[bool, typer.Option(help="Write report.html and equity.parquet too.")] = True,
    store: Annotated[bool, typer.Option(help="Keep the run in the database, for `main.py backtests`.")] = True,
    db: DbOption = None,
    env_file: EnvFileOption = Path(".env"),
) -> None:
    """Replay recorded candles through the very code that trades live, and tell what came of it.

    Ctrl-C keeps the days that are finished.
    """
    from backtest.load_finer import with_finer
    from backtest.output import own_folder, prepare_folder
    from backtest.parameters import active_strategies, history_of, on_any_symbol
    from backtest.settings import BothHitRule
    from commands.candle_source import folder_of, load_candles, load_payments
    from commands.stored_run import Started, store_run
    from config.load import load_settings
    from config.symbols import load_trading_config

    begun = Started.now()
    settings = load_settings(env_file, {"db_url": db})
    costs = Costs(fee, slippage_bps, tick_size, step_size, quantity, deposit)
    replay_settings = settings_of(costs, no_risk, both_hit_rule, settings.sim_deposit)
    start_ms, end_ms = span_of(start, end)
    names, wanted, changes = strategies_of(strategy), symbols_of(symbols), settings_ or ()
    if check is None:
        prepare_folder(out or OUT)
    # What comes before the first signal is read too, as far as a strategy can need it: indicators start warm.
    first_ms = None
    if start_ms is not None:
        asked = on_any_symbol(settings.strategies_dir, names, wanted, changes)
        first_ms = start_ms - max(history_of(one, warmup) for one in asked)
    loaded = load_candles(data, settings.db_url, wanted, start_ms=first_ms, end_ms=end_ms, allow_gaps=allow_gaps)
    chosen = [one.symbol for one in loaded.candles]
    config = load_trading_config(settings.config_dir / "symbols.yaml", settings, chosen)
    active = active_strategies(settings.strategies_dir, names, chosen, changes)
    rule_of = {one: replay_settings.both_hit_rule or BothHitRule(one.params.both_hit_rule) for one in active}
    finer = [one.symbol for one in active if rule_of[one] is BothHitRule.FINER]
    if finer:
        loaded = with_finer(loaded, folder_of(data), finer, allow_gaps=allow_gaps)
    funding, unpaid = load_payments(data, chosen) if check is None else ({}, ())
    loaded = replace(loaded, notes=(*loaded.notes, *unpaid))
    for note in loaded.notes:
        typer.secho(note, err=True)
    if check is not None:
        raise typer.Exit(_check(check, active, loaded))
    done, was_stopped = _run(loaded, active, config, replay_settings, warmup, start_ms, funding)
    made_with = _made_with(names, active, replay_settings, config)
    made_with["options"] = {"from": start, "to": end, "warmup": warmup, "allow_gaps": allow_gaps}
    out = out or own_folder(OUT, "-".join(names), begun.time_ms)
    _write(out, done, report, loaded, funding, made_with)
    _print(done, out, names)
    if store:
        store_run(settings, begun, done, out, made_with, is_complete=not was_stopped, has_report=report)
    if was_stopped:
        raise typer.Exit(STOPPED)


def _run(
    loaded: Loaded,
    active: Sequence[ActiveStrategy],
    config: TradingConfig,
    settings: ReplaySettings,
    warmup: int | None,
    start_ms: int | None,
    funding: Mapping[str, tuple[FundingPoint, ...]],
) -> tuple[Backtest, bool]:
    """Return the backtest and whether a person ended it early."""
    from backtest.run import run

    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda *_: asked.append(1))
    try:
        done = run(
            loaded.candles,
            active,
            config,
            settings,
            warmup=warmup,
            start_ms=start_ms,
            funding=funding,
            should_stop=lambda: bool(asked),
        )
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        typer.secho("stopped as asked; what follows is the part that was finished", err=True)
    return done, bool(asked)


def _check(name: str, active: Sequence[ActiveStrategy], loaded: Loaded) -> int:
    from backtest.check import check_lookahead, check_warmup

    by_symbol = {one.symbol: one for one in loaded.candles}
    checker = check_lookahead if name == "lookahead" else check_warmup
    results = [checker(one, by_symbol[one.symbol]) for one in active]
    for result in results:
        verdict = "passed" if result.passed else f"{len(result.faults)} decisions differ"
        typer.echo(f"{result.name} {result.strategy} {result.symbol}: {verdict} ({result.cuts} candles compared)")
        for fault in result.faults[:5]:
            typer.echo(f"  {fault}")
    return 0 if all(result.passed for result in results) else 1


def _made_with(
    names: Sequence[str], active: Sequence[ActiveStrategy], settings: ReplaySettings, config: TradingConfig
) -> dict[str, object]:
    """Return what decides the result beside candles and code, as plain values."""
    parameters: dict[str, dict[str, object]] = {}
    for one in active:
        parameters.setdefault(one.symbol, {})[one.name] = one.params.model_dump(mode="json")
    shown = {name: None if (value := getattr(settings, name)) is None else str(value) for name in settings.__slots__}
    return {"strategies": list(names), "parameters": parameters, "settings": shown, "limits": asdict(config)}


def _write(
    out: Path,
    done: Backtest,
    report: bool,
    loaded: Loaded,
    funding: Mapping[str, tuple[FundingPoint, ...]],
    made_with: dict[str, object],
) -> None:
    from backtest.output import data_digest, write_equity, write_metrics, write_trades
    from backtest.report import write_report
    from commands.version import code_version

    write_trades(out / "trades.csv", done.result.trades)
    made_with |= {
        "data": loaded.source,
        "data_sha256": data_digest(done.candles, funding),
        "code": code_version(),
        "denials": dict(done.result.denials),
        "gates": {f"{one.candles.symbol}:{one.active.name}": dict(one.gates) for one in done.decisions},
    }
    write_metrics(out / "metrics.json", done.metrics, made_with)
    if report:
        write_equity(out / "equity.parquet", done.curve)
        names = ", ".join(dict.fromkeys(one.active.name for one in done.decisions))
        symbols = ", ".join(one.symbol for one in done.candles)
        write_report(
            out / "report.html", f"{names} on {symbols}", done.metrics, done.result.trades, done.curve, done.candles,
            loaded.notes, made_with,
        )  # fmt: skip


def _print(done: Backtest, out: Path, names: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from backtest.summary import rows_of
    from utils.timefmt import day

    metrics = done.metrics
    symbols = ", ".join(one.symbol for one in done.candles)
    table = Table(
        title=f"{', '.join(names)} on {symbols}, {day(metrics.start_time_ms)} to {day(metrics.end_time_ms)}",
        show_header=False,
    )
    table.add_column("")
    table.add_column("", justify="right")
    for name, value in rows_of(metrics):
        table.add_row(name, value)
    for code, count in sorted(done.result.denials.items()):
        table.add_row(f"  denied: {code.lower()}", f"{count:,}")
    console = Console()
    console.print(table)
    console.print(f"trades, metrics and report: {out}", highlight=False)
