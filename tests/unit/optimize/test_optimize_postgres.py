"""One study on PostgreSQL, shared by two processes. Needs a server's binaries and psycopg."""

from __future__ import annotations

import multiprocessing

import pytest

from backtest.optimize.storage import open_storage
from backtest.optimize.study import open_study, rows_of
from core.errors import ConfigurationError
from database.database import open_database
from tests.unit.database.test_postgres import server, url  # noqa: F401 - fixtures
from tests.unit.optimize.support import plan_for, searched, world

pytestmark = pytest.mark.extended


def _share(where: str) -> None:
    one = world()
    searched(one, plan_for(one, trials=16), open_storage(where))


def test_two_processes_share_a_study_on_postgres(url: str) -> None:  # noqa: F811
    plan = plan_for(world(), trials=16)
    open_study(open_storage(url), "study", plan, {"of": "a test"})
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_share, args=(url,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    rows = rows_of(open_study(open_storage(url), "study", plan, {"of": "a test"}), plan.space)
    assert 16 <= len(rows) <= 24
    assert len({tuple(row.values.items()) for row in rows}) > 12


def test_study_is_refused_in_the_database_of_the_trader(url: str) -> None:  # noqa: F811
    open_database(url, "sim").close()
    with pytest.raises(ConfigurationError, match="tables of something else"):
        open_storage(url)
