"""One fresh exchange a test."""

from __future__ import annotations

import pytest

from tests.unit.simulator_server.support import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()
