"""The exchange as a child process: it continues after any end, and never outlives its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from core.errors import RuntimeFailure
from simulator.child import ChildExchange, arguments
from simulator.options import ExchangeOptions, ReadyInfo
from tests.conftest import ROOT
from tests.contract.simulator_support import START_MS, eventually, rest_client

COMMAND = (sys.executable, "-m", "tests.contract.simulator_exchange_main")
KEY, SECRET = "child-key", "child-secret"
BUY = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}


def options(tmp_path: Path, **changes: Any) -> ExchangeOptions:
    chosen = {"start_ms": START_MS, "speed": 60.0, "journal": tmp_path / "exchange.journal"}
    return ExchangeOptions(**{**chosen, "api_key": KEY, "api_secret": SECRET, **changes})


@pytest.fixture
async def child(tmp_path: Path) -> AsyncIterator[ChildExchange]:
    process = ChildExchange(options(tmp_path), command=COMMAND, cwd=ROOT)
    yield process
    await process.stop()


def rest(info: ReadyInfo) -> Any:
    return rest_client(info, key=KEY, secret=SECRET)


def picture(client: Any) -> dict[str, Any]:
    """Everything private that a client can see and that must survive."""
    account = client.account_information_v3().data()
    return {
        "wallet": account.total_wallet_balance,
        "positions": [(p.symbol, p.position_amt, p.isolated_wallet) for p in account.positions],
        "orders": [(o.order_id, o.client_order_id, o.status) for o in client.all_orders(symbol="BTCUSDT").data()],
        "algos": [
            (o.algo_id, o.client_algo_id, o.algo_status) for o in client.query_all_algo_orders(symbol="BTCUSDT").data()
        ],
        "trades": [(t.id, t.price, t.commission) for t in client.account_trade_list(symbol="BTCUSDT").data()],
        "income": [(i.tran_id, i.income) for i in client.get_income_history(limit=1000).data()],
        "leverage": client.symbol_configuration(symbol="BTCUSDT").data()[0].leverage,
    }


def trade(client: Any) -> None:
    """Open a position with far stop and target, a resting order, and a setting."""
    client.change_initial_leverage(symbol="BTCUSDT", leverage=9)
    client.new_order(**BUY)
    price = Decimal(client.account_trade_list(symbol="BTCUSDT").data()[0].price)
    algo = {"algo_type": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "close_position": "true"}
    for kind, factor in (("STOP_MARKET", "0.5"), ("TAKE_PROFIT_MARKET", "1.5")):
        client.new_algo_order(**algo, type=kind, trigger_price=str((price * Decimal(factor)).quantize(Decimal("0.1"))))
    resting = str((price * Decimal("0.96")).quantize(Decimal("0.1")))
    client.new_order(symbol="BTCUSDT", side="BUY", type="LIMIT", time_in_force="GTC", quantity="0.002", price=resting)


def market_time(client: Any) -> int:
    return int(client.mark_price(symbol="BTCUSDT").data().actual_instance.time)


async def answering(info: ReadyInfo) -> None:
    """Wait until something listens on the exchange's port again."""
    address = urlsplit(info.rest_url)
    while True:
        try:
            _, writer = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


async def test_child_answers_with_keys_from_the_environment(child: ChildExchange) -> None:
    info = await child.start()
    assert info.market_time_ms >= START_MS
    account = await asyncio.to_thread(rest(info).account_information_v3)
    assert account.data().total_wallet_balance == "10000.00000000"


async def test_killed_at_any_moment_it_comes_back_on_its_port_as_it_was(child: ChildExchange, tmp_path: Path) -> None:
    info = await child.start()
    client = rest(info)
    await asyncio.to_thread(trade, client)
    for _ in range(3):
        before, time_before = await asyncio.to_thread(lambda: (picture(client), market_time(client)))
        pid = child.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda pid=pid: child.pid not in (None, pid), what="the restart")  # type: ignore[misc]

        await asyncio.wait_for(answering(info), 20)
        after, time_after = await asyncio.to_thread(lambda: (picture(client), market_time(client)))
        assert after == before
        assert time_after >= time_before - 60_000  # at most the last second of wall time is played again
        await asyncio.to_thread(client.new_order, **{**BUY, "quantity": "0.003"})


async def test_a_second_run_continues_the_first(child: ChildExchange, tmp_path: Path) -> None:
    info = await child.start()
    await asyncio.to_thread(trade, rest(info))
    before = await asyncio.to_thread(picture, rest(info))
    await child.stop()
    assert child.pid is None
    second = ChildExchange(options(tmp_path), command=COMMAND, cwd=ROOT)
    try:
        again = await second.start()
        assert await asyncio.to_thread(picture, rest(again)) == before
        assert again.market_time_ms >= info.market_time_ms
    finally:
        await second.stop()


async def test_another_market_is_refused_with_the_difference_named(child: ChildExchange, tmp_path: Path) -> None:
    await child.start()
    await child.stop()
    for change, name in (
        ({"seed": 99}, "seed"),
        ({"start_ms": START_MS + 60_000}, "start"),
        ({"deposit": Decimal(5)}, "deposit"),
    ):
        other = ChildExchange(options(tmp_path, **change), command=COMMAND, cwd=ROOT)
        with pytest.raises(RuntimeFailure, match=f"its {name} is .*--fresh"):
            await other.start()
        await other.stop()


async def test_a_child_that_cannot_start_says_why(tmp_path: Path) -> None:
    broken = ChildExchange(options(tmp_path, symbols=("NOPEUSDT",)), command=COMMAND, cwd=ROOT)
    with pytest.raises(RuntimeFailure, match=r"exit code 1.*NOPEUSDT"):
        await broken.start()
    silent = ChildExchange(
        options(tmp_path),
        command=(sys.executable, "-c", "import sys,time; print('busy', file=sys.stderr, flush=True); time.sleep(60)"),
        ready_timeout_s=0.5,
    )
    with pytest.raises(RuntimeFailure, match=r"did not get ready within 0\.5 s; busy"):
        await silent.start()
    assert silent.pid is None


async def test_a_child_that_keeps_ending_is_given_up(tmp_path: Path) -> None:
    ready = ReadyInfo("http://127.0.0.1:1", "ws://127.0.0.1:1", (), 0, 1.0).line()
    reasons: list[str] = []
    mortal = ChildExchange(
        options(tmp_path),
        command=(sys.executable, "-c", f"import sys; print({ready!r}, flush=True); sys.exit('out of luck')"),
        on_restart=reasons.append,
    )
    await mortal.start()
    with pytest.raises(RuntimeFailure, match=r"out of luck.*given up after 5 restarts"):
        await asyncio.wait_for(mortal.wait_failed(), 20)
    assert len(reasons) == 6
    await mortal.stop()


async def test_the_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from simulator.child import ChildExchange\n"
        "from simulator.options import ExchangeOptions\n"
        "async def main():\n"
        f"    child = ChildExchange(ExchangeOptions(), command={COMMAND!r})\n"
        "    await child.start()\n"
        "    print(child.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 20))
    parent.kill()
    await parent.wait()
    await eventually(lambda: not is_alive(pid), what="the child's end")


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that has ended but was not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_arguments_carry_everything_but_the_keys(tmp_path: Path) -> None:
    line = arguments(options(tmp_path, symbols=("BTCUSDT", "ETHUSDT"), data_dir=tmp_path, seed=3, port=5000))
    text = " ".join(line)
    assert "--port 5000 --host 127.0.0.1 --seed 3 --speed 60.0" in text
    assert f"--data {tmp_path} --symbols BTCUSDT,ETHUSDT --start {START_MS} --journal {tmp_path}" in text
    assert text.endswith("--ready-line --parent-watch")
    assert KEY not in text and SECRET not in text
    assert "--symbols 12" in " ".join(arguments(ExchangeOptions(symbols=12)))
    assert SECRET not in repr(options(tmp_path))


def test_ready_line_survives_the_pipe() -> None:
    info = ReadyInfo("http://h:1", "ws://h:1", ("A", "B"), 5, 2.5)
    assert ReadyInfo.from_line(info.line()) == info
    assert ReadyInfo.from_line("starting up") is None
