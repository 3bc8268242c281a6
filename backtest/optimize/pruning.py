"""Ending hopeless trials early: the median rule.

D. Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017, section 3.2.2; the same rule as
Optuna's MedianPruner. The limits are fixed when a trial begins, so that they do not depend on which of several
processes is quicker: the same seed gives the same study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

TRIALS_MIN = 8
"""So many whole trials must be there before one is ended early."""
PARTS = 4


def part_times(start_ms: int, end_ms: int, day_ms: int) -> tuple[int, ...]:
    """Return the inner borders of the parts of a span, each at the start of a UTC day; none for a very short span."""
    length = (end_ms - start_ms) / PARTS
    borders = {-(-int(start_ms + length * part) // day_ms) * day_ms for part in range(1, PARTS)}
    return tuple(sorted(border for border in borders if start_ms < border < end_ms))


def median_limits(finished: Sequence[Mapping[int, float]], parts: int) -> tuple[float | None, ...]:
    """Return for each part the median of what the whole trials had there; None where there are too few of them."""
    if len(finished) < TRIALS_MIN:
        return (None,) * parts
    limits: list[float | None] = []
    for part in range(parts):
        values = [one[part] for one in finished if part in one]
        limits.append(float(np.median(values)) if len(values) >= TRIALS_MIN else None)
    return tuple(limits)
