"""Walk-forward: windows that never overlap their test, one account through all of them, honest words."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.optimize.pool import Pool
from backtest.optimize.storage import open_storage
from backtest.optimize.study import open_study
from backtest.optimize.walkforward import (
    Begun,
    Walked,
    WalkForward,
    Window,
    efficiency_of,
    stitch,
    take_up,
    walk,
    windows_of,
    words_of,
)
from backtest.run import run
from core.errors import ConfigurationError
from tests.unit.optimize.support import NOW_MS, plan_for, runner, world

DAY = 86_400_000


def test_windows_follow_one_another() -> None:
    found = windows_of(0, 10 * DAY, 4 * DAY, 2 * DAY, anchored=False)
    assert [(one.train_ms // DAY, one.test_ms // DAY, one.end_ms // DAY) for one in found] == [
        (0, 4, 6), (2, 6, 8), (4, 8, 10),
    ]  # fmt: skip


def test_windows_anchored_train_from_the_start_and_keep_half_a_last_one() -> None:
    found = windows_of(0, 9 * DAY, 4 * DAY, 2 * DAY, anchored=True)
    assert [(one.train_ms // DAY, one.test_ms // DAY, one.end_ms // DAY) for one in found] == [
        (0, 4, 6), (0, 6, 8), (0, 8, 9),
    ]  # fmt: skip


def test_windows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="too short for --train 9d and --test 4d"):
        windows_of(0, 10 * DAY, 9 * DAY, 4 * DAY, anchored=False)


def walked(**more: Any) -> list[Walked]:
    one = world(days=4)
    windows = windows_of(one.start_ms, one.end_ms, 2 * DAY, DAY, anchored=False)
    arguments = {"trades_min": 1, "deposit": one.settings.deposit, "now_ms": lambda: NOW_MS, **more}
    return walk(windows, plan_for(one, trials=6), more.pop("run", None) or runner(one), **arguments)


def test_walk_trades_each_test_with_the_best_of_its_training_on_one_account() -> None:
    one, done = world(days=4), walked()
    assert [part.window.number for part in done] == [1, 2]
    deposit = one.settings.deposit
    for part in done:
        active = [replace(one.active[0], params=one.active[0].params.model_copy(update=_exact(part.values)))]
        cut = [_until(one.candles[0], part.window.end_ms)]
        plain = run(cut, active, one.config, replace(one.settings, deposit=deposit), start_ms=part.window.test_ms)
        assert [(t.entry_time_ms, t.entry_price, t.quantity, t.pnl) for t in part.trades] == [
            (t.entry_time_ms, t.entry_price, t.quantity, t.pnl) for t in plain.result.trades
        ]
        assert all(part.window.test_ms <= trade.entry_time_ms < part.window.end_ms for trade in part.trades)
        deposit = Decimal(str(float(part.curve.equity[-1]))).quantize(Decimal("0.00000001"))
    whole = stitch(done, one.settings.deposit)
    assert Decimal(whole.metrics.net_pnl) == sum(trade.pnl for part in done for trade in part.trades)
    assert (np.diff(whole.curve.time_ms) == 60_000).all()


def _exact(values: Any) -> dict[str, Any]:
    return {name: Decimal(str(value)) if name == "stop_pct" else value for name, value in values.items()}


def _until(candles: Any, end_ms: int) -> Any:
    from backtest.optimize.trial import cut

    return cut(candles, 0, end_ms)


def test_walk_with_two_processes_is_the_walk_with_one() -> None:
    one = world(days=4)
    windows = windows_of(one.start_ms, one.end_ms, 3 * DAY, DAY, anchored=False)
    arguments: dict[str, Any] = {"trades_min": 1, "deposit": one.settings.deposit, "now_ms": lambda: NOW_MS}
    with Pool(one, 2) as pool:
        (both,) = walk(windows, plan_for(one, trials=6, jobs=2), pool.run, **arguments)
    (alone,) = walk(windows, plan_for(one, trials=6), runner(one), **arguments)
    assert (both.values, both.trades, both.outside) == (alone.values, alone.trades, alone.outside)


def test_walk_told_to_stop_keeps_finished_windows() -> None:
    finished: list[Walked] = []
    done = walked(on_window=finished.append, should_stop=lambda: len(finished) == 1)
    assert [one.window.number for one in done] == [1] == [one.window.number for one in finished]


class Started:
    """A walk over three windows as a command starts it: told to stop after some batches, searching in a journal."""

    def __init__(self, folder: Path, stop_after: int = 1_000, **plan: Any) -> None:
        one = world(days=4)
        self.plan = plan_for(one, **{"trials": 20, "prunes": True, **plan})
        self.windows = windows_of(one.start_ms, one.end_ms, DAY, DAY, anchored=False)
        self.searched = self.traded = 0
        storage = open_storage(str(folder / "walk.journal"))
        self.begun = take_up(storage, self.windows, self.plan, {"data": "a test"})
        self.done = walk(
            self.windows, self.plan, self._counted(runner(one)), storage=storage, trades_min=1,
            deposit=one.settings.deposit, now_ms=lambda: NOW_MS, should_stop=lambda: self.searched >= stop_after,
        )  # fmt: skip

    def _counted(self, run: Any) -> Any:
        def counted(tasks: Any) -> Any:
            if any(task.keeps_curve for task in tasks):
                self.traded += 1
            else:
                self.searched += 1
            return run(tasks)

        return counted


def seen(done: list[Walked]) -> list[Any]:
    return [(one.window, one.values, one.inside, one.outside, one.trades, one.trials) for one in done]


def test_walk_interrupted_and_taken_up_is_the_uninterrupted_one(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    straight = Started(tmp_path / "a")
    assert not straight.begun and (straight.searched, straight.traded) == (9, 3)
    first = Started(tmp_path, stop_after=4)  # 8, 8, 4 trials of window 1, then 8 of window 2
    assert [one.window.number for one in first.done] == [1]
    second = Started(tmp_path, stop_after=1)
    assert second.begun == Begun(1, 8)
    assert [one.window.number for one in second.done] == [1]
    third = Started(tmp_path)
    assert third.begun == Begun(1, 16)
    assert (third.searched, third.traded) == (4, 3), "only what was missing is searched"
    assert seen(third.done) == seen(straight.done)
    whole = [stitch(done, Decimal(100_000)) for done in (third.done, straight.done)]
    assert whole[0].metrics == whole[1].metrics and (whole[0].curve.equity == whole[1].curve.equity).all()
    fourth = Started(tmp_path, stop_after=0)
    assert fourth.begun == Begun(3, 0)
    assert seen(fourth.done) == seen(straight.done), "what is searched is told even when asked to stop"


def test_walk_gives_up_what_a_lost_process_was_at(tmp_path: Path) -> None:
    Started(tmp_path, stop_after=1)
    open_study(open_storage(str(tmp_path / "walk.journal")), "window 1", plan_for(world()), {}).ask()
    again = Started(tmp_path)
    assert again.begun == Begun(0, 8)
    assert [one.trials for one in again.done] == [20, 20, 20]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 2}, "seed"),
        ({"trials": 24}, "trials"),
        ({"sampler": "random"}, "sampler"),
        ({"prunes": False}, "pruning"),
        ({"jobs": 8}, "batch"),
    ],
)
def test_walk_with_another_search_is_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    Started(tmp_path, stop_after=0)
    with pytest.raises(ConfigurationError, match=f"the walk is about something else: {named} differs; .*--fresh"):
        Started(tmp_path, **change)


def test_walk_with_another_split_or_other_data_is_refused(tmp_path: Path) -> None:
    first = Started(tmp_path, stop_after=0)
    storage = open_storage(str(tmp_path / "walk.journal"))
    with pytest.raises(ConfigurationError, match="OUT is about something else: split differs"):
        take_up(storage, first.windows[:2], first.plan, {"data": "a test"}, "OUT")
    with pytest.raises(ConfigurationError, match="data, split differ"):
        take_up(storage, first.windows[:2], first.plan, {"data": "another"})


def test_walk_without_enough_trades_trades_nothing() -> None:
    done = walked(trades_min=10_000)
    assert all(one.values == {} and one.trades == () and one.outside is None for one in done)
    found = stitch(done, Decimal(100_000))
    assert found.efficiency is None
    assert any("nothing was traded there" in line for line in words_of(found))


def window(inside_pct: float, outside_pct: float) -> Walked:
    (made,) = _sample()
    assert made.inside is not None and made.outside is not None
    inside, outside = replace(made.inside, return_pct=inside_pct), replace(made.outside, return_pct=outside_pct)
    return replace(made, window=Window(1, 0, 4 * DAY, 6 * DAY), inside=inside, outside=outside)


def _sample() -> list[Walked]:
    finished: list[Walked] = []
    return walked(on_window=finished.append, should_stop=lambda: len(finished) == 1)


def test_efficiency_compares_returns_of_equal_time() -> None:
    one = window(4.0, 1.0)  # 1 % a day in training, half a percent a day in test
    assert efficiency_of([one]) == pytest.approx(0.5)
    assert efficiency_of([replace(one, inside=replace(one.inside, return_pct=-4.0))]) is None  # type: ignore[type-var]
    for outside, words in ((-1.0, "fitted to noise: do not trade"), (0.5, "Weak evidence"), (2.0, "still there")):
        made = replace(one, outside=replace(one.outside, return_pct=outside))  # type: ignore[type-var]
        found = WalkForward((made,), one.curve, made.outside, efficiency_of([made]))  # type: ignore[arg-type]
        assert any(words in line for line in words_of(found))
        assert any("windows are few" in line for line in words_of(found))
