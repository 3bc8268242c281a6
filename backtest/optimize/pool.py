"""Processes that run tasks side by side. The candles are loaded once and shared with them by `fork`."""

from __future__ import annotations

import gc
import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType

from backtest.optimize.trial import Bench, Outcome, Task, World
from core.errors import RuntimeFailure

_bench: Bench | None = None


class Pool:
    """Runs tasks in `jobs` processes, in this one with a single job or where the system cannot fork.

    Workers see the candles of the parent's memory: nothing is copied until somebody writes, and nobody does. Use it
    as a context; enter it before threads are started.
    """

    def __init__(self, world: World, jobs: int = 1) -> None:
        self.jobs = jobs if "fork" in multiprocessing.get_all_start_methods() else 1
        self._world = world
        self._bench = Bench(world)
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Pool:
        if self.jobs > 1:
            gc.collect()
            gc.freeze()  # a collection in a worker would write to, and so copy, what is shared
            self._executor = ProcessPoolExecutor(
                self.jobs, multiprocessing.get_context("fork"), initializer=_start, initargs=(self._world,)
            )
            self._executor.submit(_ready).result()  # all workers are forked now
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=kind is None, cancel_futures=True)
            gc.unfreeze()

    def run(self, tasks: Sequence[Task]) -> list[Outcome]:
        """Run tasks and return their outcomes in the same order. Raises RuntimeFailure when a worker died."""
        if self._executor is None:
            return [self._bench.run(task) for task in tasks]
        futures = [self._executor.submit(_run, task) for task in tasks]
        try:
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise RuntimeFailure(
                "a worker process ended unexpectedly, often for want of memory; what was finished is kept: "
                "use fewer --jobs and --resume"
            ) from None


def _start(world: World) -> None:
    global _bench  # noqa: PLW0603 - one a process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: running trials are finished
    _bench = Bench(world)


def _ready() -> bool:
    return _bench is not None


def _run(task: Task) -> Outcome:
    assert _bench is not None
    return _bench.run(task)
