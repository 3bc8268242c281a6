"""The deflated Sharpe ratio against the published example, and the words made of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.optimize.luck import (
    Moments,
    best_by_luck,
    deflated_sharpe,
    deflated_words,
    moments,
    percent,
    permutation_p,
    probabilistic_sharpe,
)

DAILY = 1 / math.sqrt(250)
VARIANCE = 0.5 / 250
"""Bailey and Lopez de Prado 2014, "A numerical example": annual Sharpe 2.5 over 1,250 days, variance of tries 1/2."""


@pytest.mark.parametrize(
    ("tries", "skewness", "kurtosis", "published"), [(100, -3, 10, 0.9004), (46, -3, 10, 0.9505), (88, 0, 3, 0.9505)]
)
def test_deflated_sharpe_of_the_published_example_is_the_published_one(
    tries: int, skewness: float, kurtosis: float, published: float
) -> None:
    """D. H. Bailey and M. Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40 (5), 2014,
    section "A numerical example" (SSRN 2460551): 100 tries leave 0.9004, 46 tries would have left 0.9505, and with
    normal returns so would 88."""
    benchmark = best_by_luck(VARIANCE, tries)
    found = probabilistic_sharpe(Moments(2.5 * DAILY, 1_250, skewness, kurtosis), benchmark)
    assert found == pytest.approx(published, abs=5e-5)


@pytest.mark.parametrize(("skewness", "kurtosis", "published"), [(0, 3, 0.982), (-2.448, 10.164, 0.913)])
def test_probabilistic_sharpe_of_the_published_example_is_the_published_one(
    skewness: float, kurtosis: float, published: float
) -> None:
    """D. H. Bailey and M. Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15 (2), 2012
    (SSRN 1821643): 24 months with a Sharpe ratio of 0.458 a month are better than nothing in 98.2 % of cases where
    returns are taken as normal, in 91.3 % with the skewness and kurtosis that they have."""
    own = Moments(0.458, 24, skewness, kurtosis)
    assert probabilistic_sharpe(own, 0.0) == pytest.approx(published, abs=5e-4)


def test_best_by_luck_of_the_published_example_is_the_published_one() -> None:
    """The same example of 2014: the best of 100 tries without skill is expected to show 0.1132 a day."""
    assert best_by_luck(VARIANCE, 100) == pytest.approx(0.1132, abs=5e-5)


def test_best_by_luck_is_what_simulated_tries_without_skill_show() -> None:
    best = np.random.default_rng(1).normal(0, 0.1, (4_000, 200)).max(axis=1).mean()
    assert best_by_luck(0.01, 200) == pytest.approx(best, rel=0.02)


def test_one_try_is_no_selection() -> None:
    assert best_by_luck(0.01, 1) == 0.0
    own = Moments(0.1, 100, 0.0, 3.0)
    found = deflated_sharpe(own, [0.1], 1)
    assert found is not None and found.probability == probabilistic_sharpe(own, 0.0)


def test_moments_are_those_of_the_returns() -> None:
    returns = np.array([0.01, -0.02, 0.03, 0.0, 0.01, -0.01])
    found = moments(returns)
    assert found is not None
    centred = returns - returns.mean()
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1))
    assert found.skewness == pytest.approx((centred**3).mean() / returns.std() ** 3)
    assert found.kurtosis == pytest.approx((centred**4).mean() / returns.std() ** 4)
    assert found.count == 6


@pytest.mark.parametrize("returns", [[], [0.1, 0.2, 0.3, 0.4], [0.0] * 30])
def test_moments_of_too_little_are_none(returns: list[float]) -> None:
    assert moments(np.array(returns)) is None


@pytest.mark.parametrize(
    ("sharpe", "tries", "words"),
    [
        (0.02, 500, "With 500 tries, a Sharpe this high appears by luck in"),
        (0.02, 500, "do not trust it"),
        (0.30, 500, "hard to explain by luck"),
        (0.15, 1, "With one try"),
    ],
)
def test_words_say_tries_and_verdict(sharpe: float, tries: int, words: str) -> None:
    spread = list(np.random.default_rng(2).normal(0, 0.03, tries))
    assert words in deflated_words(deflated_sharpe(Moments(sharpe, 365, 0.0, 3.0), spread, tries))


def test_words_without_a_number_warn() -> None:
    assert "Do not trust it" in deflated_words(deflated_sharpe(None, [0.1, 0.2], 10))


def test_permutation_p_counts_the_real_market_and_is_never_zero() -> None:
    assert permutation_p(5.0, [1.0, 2.0, 3.0]) == 1 / 4
    assert permutation_p(2.0, [1.0, 2.0, 3.0]) == 3 / 4
    assert permutation_p(2.0, [1.0, 2.0, 3.0], more_is_better=False) == 3 / 4
    assert permutation_p(0.5, [1.0, 2.0, 3.0], more_is_better=False) == 1 / 4


def test_percent_never_says_none_or_all() -> None:
    assert [percent(share) for share in (0.0001, 0.38, 0.9999)] == ["less than 1 %", "38 %", "more than 99 %"]
