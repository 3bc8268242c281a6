"""A study: Optuna proposes parameters, tasks are run, what came of them is told. Also what a finished study holds.

Trials go in batches of the same size whatever the number of processes: what a trial may learn from depends on its
number alone. So a seed gives the same study with one process or with four, in one go or interrupted and resumed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from backtest.optimize.objectives import Objective
from backtest.optimize.pruning import median_limits, part_times
from backtest.optimize.space import Scalar, Space
from backtest.optimize.trial import Outcome, Runner, Task
from core.candle import DAY_MS
from core.errors import ConfigurationError

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

SamplerName = Literal["tpe", "grid", "random"]
BATCH = 8
STALE_MS = 600_000
"""A trial that another process began so long ago and never ended is taken for lost."""
_RESULT, _ERROR, _STUDY = "result", "error", "study"
_SEED_STEP = 1_000_003
SHOWN = (
    "net_pnl", "return_pct", "sharpe", "sortino", "calmar", "max_drawdown_pct", "profit_factor", "expectancy_r",
    "win_rate_pct", "trades",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """How to search. `trials` counts the whole study, whoever runs them. The span is what trials may see."""

    space: Space
    objectives: tuple[Objective, ...]
    trials: int
    start_ms: int
    end_ms: int
    sampler: SamplerName = "tpe"
    seed: int = 1
    prunes: bool = True
    jobs: int = 1

    @property
    def batch(self) -> int:
        return max(BATCH, 2 * self.jobs)

    @property
    def parts(self) -> tuple[int, ...]:
        return part_times(self.start_ms, self.end_ms, DAY_MS) if self.prunes and len(self.objectives) == 1 else ()


@dataclass(frozen=True, slots=True)
class Row:
    """A trial that is over. `result` has the numbers of its backtest; `state` is complete, pruned or failed."""

    number: int
    state: str
    values: Mapping[str, Scalar]
    scores: tuple[float, ...]
    result: Mapping[str, Any]
    error: str = ""

    @property
    def daily_sharpe(self) -> float | None:
        value = self.result.get("daily_sharpe")
        return None if value is None else float(value)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a study is told of a trial, and so what it can tell again when the same parameters come back."""

    scores: tuple[float, ...]
    partial: tuple[float, ...]
    pruned: bool
    result: Mapping[str, Any]
    error: str


def open_study(
    storage: BaseStorage | None,
    name: str,
    plan: Plan,
    identity: Mapping[str, Any],
    *,
    known_as: str = "",
    remedy: str = "name another --study, or start it as it was started before",
) -> Study:
    """Return the study of that name, a new one where there is none.

    `identity` is what all its trials have in common. Raises ConfigurationError when the study there (`known_as` to
    people) has another, with what differs and the remedy.
    """
    import optuna  # noqa: PLC0415 - heavy

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=["maximize" if one.is_maximised else "minimize" for one in plan.objectives],
        load_if_exists=True,
        pruner=optuna.pruners.NopPruner(),
    )
    before = study.user_attrs.get(_STUDY)
    if before is None:
        study.set_user_attr(_STUDY, dict(identity))
        return study
    different = [key for key in {**before, **identity} if before.get(key) != identity.get(key)]
    if different:
        verb = "differs" if len(different) == 1 else "differ"
        raise ConfigurationError(
            f"{known_as or f'study {name!r}'} is about something else: {', '.join(different)} {verb}; {remedy}"
        )
    return study


def search(
    study: Study,
    plan: Plan,
    run: Runner,
    *,
    now_ms: Callable[[], int],
    on_batch: Callable[[int, float | None], None] = lambda done, best: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Run trials until the study has as many as planned; False when told to stop before.

    `on_batch` hears how many trials are over and the best first score. A batch that has begun is finished.
    """
    known = _known(study, plan.space)
    distributions = _distributions(plan.space)
    sampler = _Samplers(plan)
    while not should_stop():
        trials = study.get_trials(deepcopy=False)
        missing = plan.trials - _spent(trials, now_ms())
        on_batch(plan.trials - max(0, missing), _best(trials, plan.objectives[0]))
        if missing <= 0:
            return True
        size = min(missing, plan.batch - len(trials) % plan.batch)
        asked: list[Trial] = []
        try:
            for trial in _ask(study, sampler, len(trials), size, distributions):
                asked.append(trial)
            _run_batch(study, plan, run, asked, known)
        finally:
            for trial in asked:  # only what an interruption left: told trials were taken out
                study.tell(trial, state=_state("FAIL"))
    return False


def is_complete(study: Study, plan: Plan) -> bool:
    """Return True when as many trials as planned are over."""
    return sum(_is_over(trial) for trial in study.get_trials(deepcopy=False)) >= plan.trials


def give_up_running(study: Study) -> None:
    """Give up the trials that a process began which is no more: for a study that only this one works on."""
    for trial in study.get_trials(deepcopy=False, states=(_state("RUNNING"),)):
        study.tell(trial.number, state=_state("FAIL"))


def rows_of(study: Study, space: Space) -> list[Row]:
    """Return the trials that are over, by number; what an interruption cut short is left out."""
    rows = []
    for trial in study.get_trials(deepcopy=False):
        if not _is_over(trial):
            continue
        rows.append(
            Row(
                trial.number,
                {"COMPLETE": "complete", "PRUNED": "pruned"}.get(trial.state.name, "failed"),
                space.values(trial.params),
                tuple(trial.values) if trial.state.name == "COMPLETE" and trial.values else (),
                trial.user_attrs.get(_RESULT, {}),
                trial.user_attrs.get(_ERROR, ""),
            )
        )
    return rows


def ranked(rows: list[Row], objective: Objective, trades_min: int) -> list[Row]:
    """Return the whole trials with enough trades, best first score first; the earlier one of equals."""
    counted = [row for row in rows if row.scores and row.result.get("trades", 0) >= trades_min]
    sign = -1 if objective.is_maximised else 1
    return sorted(counted, key=lambda row: (sign * row.scores[0], row.number))


def pareto_front(rows: list[Row], objectives: tuple[Objective, ...]) -> list[Row]:
    """Return the trials that no other one beats in every objective (as good in all, better in one)."""
    signs = [1 if one.is_maximised else -1 for one in objectives]
    points = {row.number: tuple(s * v for s, v in zip(signs, row.scores, strict=True)) for row in rows}

    def is_beaten(own: tuple[float, ...]) -> bool:
        return any(other != own and all(a >= b for a, b in zip(other, own, strict=True)) for other in points.values())

    return [row for row in rows if not is_beaten(points[row.number])]


def balanced(front: list[Row], objectives: tuple[Objective, ...]) -> Row:
    """Return the row of a Pareto front that is nearest to the best of every objective, each scaled to its range."""
    signs = [1 if one.is_maximised else -1 for one in objectives]
    columns = [[sign * row.scores[at] for row in front] for at, sign in enumerate(signs)]

    def distance(index: int) -> float:
        return sum(((max(one) - one[index]) / ((max(one) - min(one)) or 1.0)) ** 2 for one in columns)

    return front[min(range(len(front)), key=distance)]


def importances(study: Study, objective: Objective) -> dict[str, float]:
    """Return how much of the first score each parameter decides, largest first; empty where it cannot be told.

    PED-ANOVA: S. Watanabe et al., IJCAI 2023, as Optuna has it.
    """
    import optuna  # noqa: PLC0415

    sign = -1.0 if objective.is_maximised else 1.0  # it explains what leads to low values of a target
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = optuna.importance.get_param_importances(study, target=lambda trial: sign * float(trial.values[0]))
    except (ValueError, RuntimeError):
        return {}
    return {name: float(value) for name, value in found.items() if value == value}  # noqa: PLR0124 - NaN


# --- batches ------------------------------------------------------------------------------------------------------


class _Samplers:
    """A sampler for each batch, seeded by the number of its first trial; one for all of a grid."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._grid = _grid_sampler(plan) if plan.sampler == "grid" else None

    def at(self, number: int) -> BaseSampler:
        import optuna  # noqa: PLC0415

        if self._grid is not None:
            return self._grid
        seed = (self._plan.seed * _SEED_STEP + number) % (1 << 32)
        if self._plan.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.TPESampler(seed=seed)


def _grid_sampler(plan: Plan) -> BaseSampler:
    import optuna  # noqa: PLC0415

    class Grid(optuna.samplers.GridSampler):
        """Leaves the end to the count of trials: stopping a study is for Optuna's own loop."""

        def after_trial(self, *_: Any) -> None:
            return

    return Grid({one.name: list(one.grid()) for one in plan.space.dimensions}, seed=plan.seed)


def _ask(
    study: Study, samplers: _Samplers, number: int, size: int, distributions: dict[str, BaseDistribution]
) -> Iterator[Trial]:
    """Yield new trials. The first one must have the number that seeded the sampler: if another process was quicker it
    is given back, so that no two processes draw the same parameters."""
    while True:
        study.sampler = samplers.at(number)
        trial = study.ask(distributions)
        if trial.number == number:
            break
        study.tell(trial, state=_state("FAIL"))
        number = trial.number + 1
    yield trial
    for _ in range(size - 1):
        yield study.ask(distributions)


def _run_batch(
    study: Study, plan: Plan, run: Runner, asked: list[Trial], known: dict[tuple[tuple[str, Scalar], ...], _Told]
) -> None:
    """Run the trials and tell what came of them, in their order; parameters that were tried before are not run."""
    limits = _limits(study, plan)
    values = [plan.space.values(trial.params) for trial in asked]
    keys = [tuple(one.items()) for one in values]
    fresh = {key: one for key, one in zip(keys, values, strict=True) if key not in known}
    tasks = [Task(one, plan.start_ms, plan.end_ms, plan.parts, limits) for one in fresh.values()]
    found = {key: _told(outcome) for key, outcome in zip(fresh, run(tasks), strict=True)}
    for key in keys:
        _tell(study, asked.pop(0), known.get(key) or found[key])
    known.update((key, told) for key, told in found.items() if not told.pruned)


def _known(study: Study, space: Space) -> dict[tuple[tuple[str, Scalar], ...], _Told]:
    """Return what the study has been told by parameters, so that going on is what going through would have been."""
    known = {}
    for trial in study.get_trials(deepcopy=False):
        if not _is_over(trial) or trial.state.name == "PRUNED":
            continue
        partial = trial.intermediate_values
        known[tuple(space.values(trial.params).items())] = _Told(
            tuple(trial.values) if trial.state.name == "COMPLETE" else (),
            tuple(partial[step] for step in sorted(partial)),
            False,
            trial.user_attrs.get(_RESULT, {}),
            trial.user_attrs.get(_ERROR, ""),
        )
    return known


def _limits(study: Study, plan: Plan) -> tuple[float | None, ...]:
    if not plan.parts:
        return ()
    whole = study.get_trials(deepcopy=False, states=(_state("COMPLETE"),))
    return median_limits([trial.intermediate_values for trial in whole], len(plan.parts))


def _told(outcome: Outcome) -> _Told:
    if outcome.error is not None or outcome.metrics is None:
        return _Told((), outcome.partial, False, {}, outcome.error or "no result")
    metrics = outcome.metrics.as_dict()
    result: dict[str, Any] = {name: metrics[name] for name in SHOWN}
    result["daily_sharpe"] = None if outcome.moments is None else outcome.moments.sharpe
    return _Told(outcome.scores, outcome.partial, outcome.pruned, result, "")


def _tell(study: Study, trial: Trial, told: _Told) -> None:
    for step, value in enumerate(told.partial):
        trial.report(value, step)
    if told.error:
        trial.set_user_attr(_ERROR, told.error)
        study.tell(trial, state=_state("FAIL"))
        return
    trial.set_user_attr(_RESULT, dict(told.result))
    if told.pruned:
        study.tell(trial, state=_state("PRUNED"))
    else:
        study.tell(trial, list(told.scores))


def _is_over(trial: FrozenTrial) -> bool:
    """Return False for a trial that still runs, or that an interruption cut short."""
    return trial.state.name in ("COMPLETE", "PRUNED") or (trial.state.name == "FAIL" and _ERROR in trial.user_attrs)


def _spent(trials: list[FrozenTrial], now_ms: int) -> int:
    """Return how many trials of the plan are used up: over, or under way elsewhere."""
    spent = 0
    for trial in trials:
        if trial.state.name == "RUNNING":
            begun = trial.datetime_start
            spent += begun is not None and now_ms - begun.timestamp() * 1000 < STALE_MS
        else:
            spent += _is_over(trial)
    return spent


def _best(trials: list[FrozenTrial], objective: Objective) -> float | None:
    scores = [trial.values[0] for trial in trials if trial.state.name == "COMPLETE" and trial.values]
    if not scores:
        return None
    best = max(scores) if objective.is_maximised else min(scores)
    return None if best == objective.nothing else best


def _state(name: str) -> Any:
    from optuna.trial import TrialState  # noqa: PLC0415

    return TrialState[name]


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    from optuna.distributions import (  # noqa: PLC0415
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    found: dict[str, BaseDistribution] = {}
    for one in space.dimensions:
        if one.choices:
            found[one.name] = CategoricalDistribution(list(one.choices))
        elif one.is_whole:
            found[one.name] = IntDistribution(int(one.low), _top(one), log=one.is_log, step=int(one.step or 1))
        else:
            found[one.name] = FloatDistribution(one.low, one.high, log=one.is_log, step=one.step)
    return found


def _top(one: Any) -> int:
    """Return the highest whole number of the grid: Optuna wants the range to be a multiple of the step."""
    step = int(one.step or 1)
    return int(one.low) + (int(one.high) - int(one.low)) // step * step
