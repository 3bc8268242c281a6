"""A command line for the embedded exchange alone, as the child process of the tests."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from decimal import Decimal
from pathlib import Path

from core.errors import TraderError
from simulator.child import watch_parent
from simulator.options import ExchangeOptions, ReadyInfo, key_pair
from simulator.service import serve


def main() -> int:
    parser = argparse.ArgumentParser()
    for name, kind in (("port", int), ("seed", int), ("speed", float), ("start", int), ("deposit", Decimal)):
        parser.add_argument(f"--{name}", type=kind)
    for name in ("host", "symbols"):
        parser.add_argument(f"--{name}")
    for name in ("data", "journal"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--ready-line", action="store_true")
    parser.add_argument("--parent-watch", action="store_true")
    given = vars(parser.parse_args())
    names = {"data": "data_dir", "start": "start_ms"}
    is_watching = given.pop("parent_watch")
    given.pop("ready_line")
    chosen = {names.get(name, name): value for name, value in given.items() if value is not None}
    if "symbols" in chosen:
        text = str(chosen["symbols"])
        chosen["symbols"] = int(text) if text.isdigit() else tuple(text.split(","))
    key, secret = key_pair(os.environ)
    options = ExchangeOptions(**chosen, api_key=key, api_secret=secret)
    try:
        asyncio.run(run(options, is_watching=is_watching))
    except TraderError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def run(options: ExchangeOptions, *, is_watching: bool) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    if is_watching:
        watch_parent(stop)

    def ready(info: ReadyInfo) -> None:
        print(info.line(), flush=True)

    await serve(options, ready=ready, stop=stop)


if __name__ == "__main__":
    sys.exit(main())
