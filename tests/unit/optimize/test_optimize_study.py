"""Searching: the same study whatever the processes and interruptions, grids, pruning, sharing, trials that fail."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from backtest.optimize.objectives import OBJECTIVES, objectives_of
from backtest.optimize.pool import Pool
from backtest.optimize.pruning import TRIALS_MIN, median_limits, part_times
from backtest.optimize.space import Dimension, Space
from backtest.optimize.storage import open_storage
from backtest.optimize.study import Row, balanced, importances, open_study, pareto_front, ranked, rows_of, search
from backtest.optimize.trial import Bench, Task
from backtest.run import run
from core.errors import ConfigurationError, RuntimeFailure
from tests.unit.optimize.support import GRID, NOW_MS, SPACE, plan_for, runner, searched, world


def test_trial_is_the_backtest_that_the_command_runs() -> None:
    one = world()
    outcome = Bench(one).run(Task({}, one.start_ms, one.end_ms, keeps_curve=True))
    plain = run(one.candles, one.active, one.config, one.settings, start_ms=one.start_ms)
    assert outcome.metrics == plain.metrics
    assert outcome.trades == plain.result.trades and len(outcome.trades) == 4


def test_bench_with_remembered_columns_gives_what_a_new_one_gives() -> None:
    one = world()
    bench = Bench(one)
    tasks = [Task({"k": k, "adx_window": w}, one.start_ms, one.end_ms) for k in (1.4, 2.0) for w in (9, 14)]
    again = [bench.run(task) for task in [*tasks, *tasks]]
    assert again[:4] == again[4:] == [Bench(one).run(task) for task in tasks]
    assert len({outcome.scores for outcome in again}) > 1


def test_search_with_two_processes_is_the_search_with_one() -> None:
    one = world(days=4)
    alone = searched(one, plan_for(one, trials=12, prunes=True))
    with Pool(one, 2) as pool:
        assert searched(one, plan_for(one, trials=12, prunes=True, jobs=2), run=pool.run) == alone
    assert len({tuple(row.values.items()) for row in alone}) == len(alone) == 12


def test_search_with_another_seed_tries_something_else() -> None:
    one = world()
    first, second = (searched(one, plan_for(one, trials=4, seed=seed)) for seed in (1, 2))
    assert [row.values for row in first] != [row.values for row in second]


def test_search_interrupted_and_resumed_is_the_uninterrupted_one(tmp_path: Path) -> None:
    one, plan = world(), plan_for(world(), trials=20)
    straight = searched(one, plan, open_storage(str(tmp_path / "a")))
    batches: list[int] = []
    kept = searched(
        one,
        plan,
        open_storage(str(tmp_path / "b")),
        on_batch=lambda done, best: batches.append(done),
        should_stop=lambda: len(batches) == 2,
    )
    assert len(kept) == 16
    assert searched(one, plan, open_storage(str(tmp_path / "b"))) == straight


def test_search_resumed_knows_what_was_tried_before(tmp_path: Path) -> None:
    one, few = world(days=4), Space((Dimension("k", low=1.0, high=2.0, step=0.5),))
    plan = plan_for(one, space=few, trials=32, prunes=True)
    straight = searched(one, plan, open_storage(str(tmp_path / "a")))
    batches: list[int] = []
    stop = {"on_batch": lambda done, best: batches.append(done), "should_stop": lambda: len(batches) == 3}
    searched(one, plan, open_storage(str(tmp_path / "b")), **stop)
    tasks: list[Any] = []

    def counted(some: Any) -> Any:
        tasks.extend(some)
        return runner(one)(some)

    assert searched(one, plan, open_storage(str(tmp_path / "b")), counted) == straight
    assert not tasks, "three values were tried long ago"


def test_search_killed_in_a_batch_leaves_nothing_half_done(tmp_path: Path) -> None:
    one, plan = world(), plan_for(world(), trials=12)
    calls: list[int] = []

    def killed(tasks: Any) -> Any:
        calls.append(len(tasks))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return runner(one)(tasks)

    with pytest.raises(KeyboardInterrupt):
        searched(one, plan, open_storage(str(tmp_path / "a")), killed)
    study = open_study(open_storage(str(tmp_path / "a")), "study", plan, {"of": "a test"})
    assert len(rows_of(study, plan.space)) == 8
    assert all(trial.state.is_finished() for trial in study.trials)
    assert len(searched(one, plan, open_storage(str(tmp_path / "a")))) == 12


def test_search_over_a_grid_tries_every_point_once() -> None:
    one = world()
    rows = searched(one, plan_for(one, GRID, trials=12, sampler="grid"))
    tried = [tuple(row.values.items()) for row in rows]
    assert sorted(tried) == sorted(tuple(point.items()) for point in GRID.points())
    assert len(set(tried)) == 12 == GRID.grid_size()


def test_search_resumed_over_a_grid_tries_only_what_is_missing(tmp_path: Path) -> None:
    one = world()
    storage = open_storage(str(tmp_path / "grid"))
    searched(one, plan_for(one, GRID, trials=5, sampler="grid"), storage)
    rows = searched(one, plan_for(one, GRID, trials=12, sampler="grid"), storage)
    assert len({tuple(row.values.items()) for row in rows}) == 12


def test_search_counts_trials_that_the_strategy_refuses() -> None:
    one = world()
    space = Space((Dimension("k", choices=(2.0, 99.0)),))
    rows = searched(one, plan_for(one, space, trials=8))
    assert len(rows) == 8
    assert {row.state for row in rows} == {"complete", "failed"}
    assert all("k" in row.error for row in rows if row.state == "failed")


def test_search_with_several_objectives_keeps_a_score_for_each() -> None:
    one = world("net_pnl,max_drawdown_pct")
    plan = plan_for(one, trials=12)
    rows = searched(one, plan)
    assert all(len(row.scores) == 2 for row in rows)
    front = pareto_front(ranked(rows, one.objectives[0], 1), one.objectives)
    assert 1 <= len(front) < len(rows)
    assert balanced(front, one.objectives) in front


def test_open_study_refuses_to_go_on_with_something_else(tmp_path: Path) -> None:
    plan = plan_for(world())
    open_study(open_storage(str(tmp_path / "a")), "study", plan, {"data": "x", "seed": 1})
    with pytest.raises(ConfigurationError, match="about something else: data differ"):
        open_study(open_storage(str(tmp_path / "a")), "study", plan, {"data": "y", "seed": 1})


def _share(path: str, trials: int) -> None:
    one = world()
    searched(one, plan_for(one, trials=trials), open_storage(path))


@pytest.mark.parametrize("kind", ["journal", pytest.param("sqlite", marks=pytest.mark.extended)])
def test_two_processes_share_one_study_and_its_count(tmp_path: Path, kind: str) -> None:
    where = str(tmp_path / "study") if kind == "journal" else f"sqlite:///{tmp_path}/study.db"
    plan = plan_for(world(), trials=16)
    open_study(open_storage(where), "study", plan, {"of": "a test"})
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_share, args=(where, 16)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    study = open_study(open_storage(where), "study", plan, {"of": "a test"})
    rows = rows_of(study, plan.space)
    assert 16 <= len(rows) <= 16 + 8  # both may begin a last batch at the same time
    assert len({tuple(row.values.items()) for row in rows}) > 12  # and they do not draw the same parameters


def test_pool_whose_worker_dies_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    one = world()
    monkeypatch.setattr(Bench, "run", lambda self, task: os._exit(1))
    with pytest.raises(RuntimeFailure, match="a worker process ended unexpectedly"), Pool(one, 2) as pool:
        pool.run([Task({}, one.start_ms, one.end_ms)])


# --- pruning ------------------------------------------------------------------------------------------------------


def test_median_limits_prune_what_the_median_pruner_prunes() -> None:
    rng = np.random.default_rng(1)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(TRIALS_MIN, 0))
    finished = []
    for values in rng.normal(size=(11, 3)):
        trial = study.ask()
        for step, value in enumerate(values):
            trial.report(float(value), step)
        study.tell(trial, float(values[-1]))
        finished.append(dict(enumerate(values.tolist())))
    limits = median_limits(finished, 3)
    verdicts = []
    for value in rng.normal(size=40):
        trial = study.ask()
        trial.report(float(value), 0)
        assert limits[0] is not None
        assert trial.should_prune() == OBJECTIVES["net_pnl"].is_worse(float(value), limits[0])
        verdicts.append(trial.should_prune())
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert {True, False} == set(verdicts)


def test_median_limits_wait_for_enough_trials() -> None:
    assert median_limits([{0: 1.0}] * (TRIALS_MIN - 1), 2) == (None, None)
    assert median_limits([{0: 1.0}] * TRIALS_MIN, 2) == (1.0, None)


def test_part_times_are_days_inside_the_span() -> None:
    day = 86_400_000
    assert part_times(0, 8 * day, day) == (2 * day, 4 * day, 6 * day)
    assert part_times(0, day, day) == ()


def test_pruned_trial_ends_at_the_part_where_it_is_worse() -> None:
    one = world(days=4)
    day = 86_400_000
    parts = (one.start_ms + day, one.start_ms + 2 * day)
    bench = Bench(one)
    whole = bench.run(Task({}, one.start_ms, one.end_ms, parts, (None, None)))
    assert not whole.pruned and len(whole.partial) == 2 and whole.has_result
    ended = bench.run(Task({}, one.start_ms, one.end_ms, parts, (whole.partial[0], whole.partial[1] + 1)))
    assert ended.pruned and ended.partial == whole.partial
    assert ended.metrics is not None and whole.metrics is not None
    assert ended.metrics.end_time_ms == parts[1] < whole.metrics.end_time_ms


def test_search_with_pruning_ends_trials_early_and_never_the_best() -> None:
    one = world(days=4)
    rows = searched(one, plan_for(one, trials=24, prunes=True))
    states = {row.state for row in rows}
    assert states == {"complete", "pruned"}
    assert ranked(rows, one.objectives[0], 1)[0].state == "complete"


# --- the journal --------------------------------------------------------------------------------------------------


def test_journal_is_read_by_optuna_itself(tmp_path: Path) -> None:
    one, path = world(), tmp_path / "journal"
    plan = plan_for(one, trials=8)
    rows = searched(one, plan, open_storage(str(path)))
    plain = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    assert rows_of(optuna.load_study(study_name="study", storage=plain), plan.space) == rows


def test_journal_cut_short_by_a_crash_goes_on(tmp_path: Path) -> None:
    one, path = world(), tmp_path / "journal"
    plan = plan_for(one, trials=8)
    rows = searched(one, plan, open_storage(str(path)))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code":6,"wor')
    assert searched(one, plan, open_storage(str(path))) == rows
    assert path.read_bytes().startswith(whole)
    assert path.read_bytes().endswith(b"\n")


# --- choosing -----------------------------------------------------------------------------------------------------


def row(number: int, *scores: float, trades: int = 20) -> Row:
    return Row(number, "complete", {}, scores, {"trades": trades})


def test_ranked_leaves_out_too_few_trades_and_prefers_the_earlier_of_equals() -> None:
    rows = [row(0, 1.0), row(1, 9.0, trades=3), row(2, 5.0), row(3, 5.0)]
    assert [one.number for one in ranked(rows, OBJECTIVES["sharpe"], 10)] == [2, 3, 0]
    assert [one.number for one in ranked(rows, OBJECTIVES["max_drawdown_pct"], 10)] == [0, 2, 3]


def test_pareto_front_holds_what_nothing_beats() -> None:
    both = objectives_of("net_pnl,max_drawdown_pct")
    rows = [row(0, 10, 5), row(1, 8, 2), row(2, 8, 3), row(3, 1, 1), row(4, 0, 1)]
    front = pareto_front(rows, both)
    assert [one.number for one in front] == [0, 1, 3]
    assert balanced(front, both).number == 1


def test_too_few_trades_count_as_nothing() -> None:
    one = world("sharpe", trades_min=1_000)
    outcome = Bench(one).run(Task({}, one.start_ms, one.end_ms))
    assert outcome.scores == (OBJECTIVES["sharpe"].nothing,)
    assert ranked(searched(one, plan_for(one, trials=4)), one.objectives[0], 1_000) == []


def test_importances_find_the_parameter_that_matters() -> None:
    one = world()
    plan = plan_for(one, trials=30, sampler="random")
    study = open_study(None, "study", plan, {})
    search(study, plan, runner(one), now_ms=lambda: NOW_MS)
    found = importances(study, one.objectives[0])
    assert set(found) == {dimension.name for dimension in SPACE.dimensions}
    assert sum(found.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("oracle://x", "oracle:// is unknown"),
        ("sqlite:////proc/nothing/here.db", "cannot be used"),
        ("{}/other.txt", "is no journal"),
        ("{}/lite.db", "write sqlite:///"),
        ("sqlite:///{}/other.db", "tables of something else"),
    ],
)
def test_open_storage_says_in_one_line_what_is_wrong(tmp_path: Path, where: str, what: str) -> None:
    import sqlite3

    (tmp_path / "other.txt").write_text("hello")
    for name in ("other.db", "lite.db"):
        with sqlite3.connect(tmp_path / name) as other:
            other.execute("create table orders (id integer)")
    with pytest.raises(ConfigurationError) as raised:
        open_storage(where.format(tmp_path))
    assert what in str(raised.value)
    assert "\n" not in str(raised.value)
