"""Keeps the lease while the trader runs, and says when it is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from core.clock import Clock
from core.errors import RuntimeFailure, TraderError
from database.database import Database

RENEW_S = 5.0
_log = logging.getLogger("database.keeper")


def ignore(_detail: str = "") -> None:
    """Hear nothing."""


async def keep_lease(
    database: Database,
    account: str,
    epoch: int,
    clock: Clock,
    beat: Callable[[], None],
    *,
    on_checked: Callable[[], None] = ignore,
    on_lost: Callable[[str], None] = ignore,
) -> None:
    """Renew the lease until cancelled; `beat` after each renewal. Raises RuntimeFailure once another process has it.

    `on_lost` hears of that first, so that nothing more is sent; `on_checked` of every look that did not find it lost.

    A database that cannot be written does not end the run: open positions still need their guard.
    """
    while True:
        try:
            ours = await asyncio.to_thread(database.renew_lease, account, epoch, clock.now_ms())
        except (TraderError, TimeoutError) as error:
            _log.warning("the lease could not be renewed: %s", error)
            on_checked()
        else:
            if not ours:
                on_lost(f"another process took over {account}")
                raise RuntimeFailure(f"another process took over {account}; this one must not send anything more")
            on_checked()
            beat()
        await asyncio.sleep(RENEW_S)
