"""One trader per account: the epoch grows, a living holder is named, a dead one does not stand in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import update

from core.errors import LeaseTakenError, RuntimeFailure
from database import lease
from database.database import open_database
from database.lease import YEAR_2026_MS
from database.tables import LeaseRow, table_of
from tests.unit.database import examples

NOW = 1_000_000


def test_acquire_first_time_gives_epoch_one(database):
    assert database.acquire_lease("sim-1", "trader a", NOW) == 1


def test_acquire_after_release_gives_the_next_epoch(database):
    database.acquire_lease("sim-1", "trader a", NOW)
    assert database.release_lease("sim-1", 1)
    assert database.acquire_lease("sim-1", "trader b", NOW + 1) == 2


def test_acquire_while_held_is_refused_and_names_the_holder(database, url):
    database.acquire_lease("sim-1", "trader a", NOW)
    second = open_database(url, "sim")
    with pytest.raises(RuntimeFailure, match=rf"sim-1 is being traded by trader a \(process {os.getpid()} on "):
        second.acquire_lease("sim-1", "trader b", NOW + lease.LEASE_TTL_MS - 1)
    assert database.renew_lease("sim-1", 1, NOW + 1)
    second.close()


def test_acquire_after_expiry_takes_over_and_the_old_holder_hears_it(database):
    database.acquire_lease("sim-1", "trader a", NOW, ttl_ms=5_000)
    assert database.acquire_lease("sim-1", "trader b", NOW + 5_000) == 2
    assert not database.renew_lease("sim-1", 1, NOW + 5_001)
    assert not database.release_lease("sim-1", 1)
    assert database.renew_lease("sim-1", 2, NOW + 5_002)


def test_renew_extends_the_lease(database):
    database.acquire_lease("sim-1", "trader a", NOW, ttl_ms=5_000)
    database.renew_lease("sim-1", 1, NOW + 4_000, ttl_ms=5_000)
    with pytest.raises(RuntimeFailure):
        database.acquire_lease("sim-1", "trader b", NOW + 8_999)


def test_two_accounts_do_not_block_each_other(database):
    assert database.acquire_lease("a", "trader a", NOW) == 1
    assert database.acquire_lease("b", "trader b", NOW) == 1


def change_holder(database, **values):
    table = table_of(LeaseRow)
    database.writer.call(lambda connection: connection.execute(update(table).values(**values)) and None).result(10)


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_acquire_when_the_holder_was_killed_on_this_machine_takes_over_at_once(database):
    database.acquire_lease("sim-1", "trader a", NOW)
    change_holder(database, pid=ended_process())
    assert database.acquire_lease("sim-1", "trader b", NOW + 1) == 2


def test_acquire_when_the_process_id_now_names_another_process_takes_over(database):
    database.acquire_lease("sim-1", "trader a", NOW)
    change_holder(database, pid=os.getpid(), process_start="an earlier boot:1")
    assert database.acquire_lease("sim-1", "trader b", NOW + 1) == 2


def test_acquire_when_the_holder_runs_on_another_machine_waits_for_expiry(database):
    database.acquire_lease("sim-1", "trader a", NOW)
    change_holder(database, host="elsewhere", pid=ended_process())
    with pytest.raises(RuntimeFailure, match="on elsewhere"):
        database.acquire_lease("sim-1", "trader b", NOW + 1)


def test_is_gone_for_a_running_process_is_false():
    assert not lease.is_gone(os.getpid(), lease.process_start(os.getpid()))


def test_is_gone_with_unknown_start_trusts_the_process_id():
    assert not lease.is_gone(os.getpid(), "")


def test_acquire_in_a_second_database_never_repeats_the_first_ones_epoch(tmp_path: Path) -> None:
    """Client order ids carry the epoch: two databases that trade one account must not make the same ones."""
    epochs = []
    for number, now_ms in enumerate((YEAR_2026_MS + 3_600_000, YEAR_2026_MS + 7_200_000)):
        database = open_database(f"sqlite:///{tmp_path}/{number}.db", "testnet")
        epochs.append(database.acquire_lease("account", "trader", now_ms))
        database.close()
    assert epochs == [60, 120]


async def test_process_without_the_lease_writes_nothing_but_alerts(database, url):
    """Its rows would overwrite those of the process that has the account now."""
    database.acquire_lease("sim-1", "trader a", NOW, ttl_ms=5_000)
    await database.writer.commit([examples.intent(1)])
    second = open_database(url, "sim")
    second.acquire_lease("sim-1", "trader b", NOW + 5_000)
    with pytest.raises(LeaseTakenError, match=r"^another process took over sim-1"):
        await database.writer.commit([examples.intent(2)])
    await database.writer.commit([examples.alert("lease lost")])
    await second.writer.commit([examples.intent(3)])
    assert [row.intent_id for row in second.restore_state(NOW).intents] == [1, 3]
    assert len(second.outbox.due(NOW, 10)) == 1
    second.close()


async def test_process_that_gave_the_lease_back_may_still_write(database):
    database.acquire_lease("sim-1", "trader a", NOW)
    assert database.release_lease("sim-1", 1)
    await database.writer.commit([examples.intent(1)])
    assert len(database.restore_state(NOW).intents) == 1
