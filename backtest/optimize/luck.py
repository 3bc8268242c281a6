"""How much of a result is luck: the deflated Sharpe ratio and the words for it. Pure statistics on floats.

Source of all formulas: D. H. Bailey and M. Lopez de Prado, "The Deflated Sharpe Ratio: Correcting for Selection Bias,
Backtest Overfitting and Non-Normality", Journal of Portfolio Management 40 (5), 2014. Sharpe ratios in here are those
of one observation (a day), not annualised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

EULER_MASCHERONI = 0.5772156649015329
OBSERVATIONS_MIN = 5
"""With fewer days skewness and kurtosis say nothing."""
TRUSTED_MAX, WEAK_MAX = 0.05, 0.20
"""Shares of luck: below the first one a result is usually believed, above the second it should not be."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Moments:
    """Of daily returns: Sharpe ratio of a day, number of days, skewness, kurtosis (3 for a normal distribution)."""

    sharpe: float
    count: int
    skewness: float
    kurtosis: float


def moments(returns: NDArray[np.float64]) -> Moments | None:
    """Return the moments of returns; None with too few days or without any deviation."""
    deviation = float(returns.std(ddof=1)) if len(returns) >= OBSERVATIONS_MIN else 0.0
    if deviation <= 0:
        return None
    centred = returns - returns.mean()
    variance = float(np.mean(centred**2))
    return Moments(
        float(returns.mean()) / deviation,
        len(returns),
        float(np.mean(centred**3)) / variance**1.5,
        float(np.mean(centred**4)) / variance**2,
    )


def probabilistic_sharpe(own: Moments, benchmark: float) -> float:
    """Return the probability that the true Sharpe ratio is above `benchmark` (both of one observation).

    PSR(SR*) = Z[(SR - SR*) sqrt(T - 1) / sqrt(1 - g3 SR + (g4 - 1)/4 SR^2)], Z the normal distribution function, g3
    the skewness, g4 the kurtosis: D. H. Bailey and M. Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of
    Risk 15 (2), 2012. Lopez de Prado, Lipton and Zoonekynd (2025) take the variance at SR* instead of at SR.
    """
    spread = 1 - own.skewness * own.sharpe + (own.kurtosis - 1) / 4 * own.sharpe**2
    return _NORMAL.cdf((own.sharpe - benchmark) * math.sqrt(own.count - 1) / math.sqrt(max(spread, 1e-12)))


def best_by_luck(variance: float, tries: int) -> float:
    """Return the Sharpe ratio that the best of so many tries without any skill is expected to show.

    SR0 = sqrt(V) ((1 - g) Z^-1[1 - 1/N] + g Z^-1[1 - 1/(N e)]), V the variance of the Sharpe ratios across tries, g
    the Euler-Mascheroni constant. One try is no selection: 0.
    """
    if tries < 2 or variance <= 0:
        return 0.0
    first, second = _NORMAL.inv_cdf(1 - 1 / tries), _NORMAL.inv_cdf(1 - 1 / (tries * math.e))
    return math.sqrt(variance) * ((1 - EULER_MASCHERONI) * first + EULER_MASCHERONI * second)


@dataclass(frozen=True, slots=True)
class DeflatedSharpe:
    """`probability` that there is skill after `tries`; `benchmark` is what luck alone is expected to reach (a day)."""

    probability: float
    benchmark: float
    sharpe: float
    tries: int
    days: int

    @property
    def luck(self) -> float:
        """Return the share of cases in which luck alone shows a Sharpe ratio this high."""
        return 1 - self.probability


def deflated_sharpe(own: Moments | None, sharpes: Sequence[float], tries: int) -> DeflatedSharpe | None:
    """Return the deflated Sharpe ratio of the best of `tries`, `sharpes` being those of the tries; None without one."""
    if own is None:
        return None
    variance = float(np.var(np.asarray(sharpes, dtype=np.float64), ddof=1)) if len(sharpes) > 1 else 0.0
    benchmark = best_by_luck(variance, tries)
    return DeflatedSharpe(probabilistic_sharpe(own, benchmark), benchmark, own.sharpe, tries, own.count)


def verdict(luck: float) -> str:
    """Return what a person should make of a share of luck."""
    if luck <= TRUSTED_MAX:
        return "hard to explain by luck"
    return "weak evidence, try it on paper first" if luck <= WEAK_MAX else "do not trust it"


def deflated_words(found: DeflatedSharpe | None) -> str:
    """Return the deflated Sharpe ratio as a sentence."""
    if found is None:
        return "Too few days, or no result that moves: whether it was luck cannot be told. Do not trust it."
    tries = "one try" if found.tries == 1 else f"{found.tries:,} tries"
    return (
        f"With {tries}, a Sharpe this high appears by luck in {percent(found.luck)} of cases: "
        f"{verdict(found.luck)}. (Deflated Sharpe {found.probability:.2f}: {annual(found.sharpe):.2f} a year over "
        f"{found.days} days, where the best of {tries} without skill would show about {annual(found.benchmark):.2f}.)"
    )


def permutation_p(real: float, others: Sequence[float], *, more_is_better: bool = True) -> float:
    """Return the share of results at least as good as `real`, itself included: never 0.

    p = (1 + #{as good}) / (1 + m): B. Phipson and G. K. Smyth, "Permutation P-values Should Never Be Zero",
    Statistical Applications in Genetics and Molecular Biology 9 (1), 2010.
    """
    as_good = sum(other >= real if more_is_better else other <= real for other in others)
    return (1 + as_good) / (1 + len(others))


def annual(sharpe: float) -> float:
    """Return a daily Sharpe ratio a year, of 365 days."""
    return sharpe * math.sqrt(365)


def percent(share: float) -> str:
    """Return a share for people: never 0 or 100 when it is not."""
    if share < 0.01:
        return "less than 1 %"
    return "more than 99 %" if share > 0.99 else f"{100 * share:.0f} %"
