"""Client ids: their form, their uniqueness among open orders, and the ones that the exchange makes itself."""

from __future__ import annotations

import hashlib
import re

from simulator.engine.errors import ApiError

_FORM = re.compile(r"[\.A-Z\:/a-z0-9_-]{1,36}")
_DIGEST_BYTES = 11


def check_client_id(client_id: str | None) -> None:
    """Refuse a client id that does not have the venue's form; None (let the exchange choose) is fine."""
    if client_id is not None and not _FORM.fullmatch(client_id):
        raise ApiError(-4015, "Client order id is not valid.")


def make_client_id(seed: int, space: str, number: int) -> str:
    """Return the exchange's own id for order `number` of an id space: same seed, same id."""
    return hashlib.blake2b(f"{seed}:{space}:{number}".encode(), digest_size=_DIGEST_BYTES).hexdigest()
