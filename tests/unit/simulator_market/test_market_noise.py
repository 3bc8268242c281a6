"""Randomness by position: the array form equals the scalar form, and its numbers are distributed as they say."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.market.noise import bits, bits_at, key_of, normals, smooth, uniform_at, uniforms


@pytest.mark.parametrize("start", [-5, 0, 29_000_000])
def test_bits_as_array_equal_bits_one_by_one(start: int) -> None:
    key = key_of("a", 1)
    assert bits(key, start, 9).tolist() == [bits_at(key, start + number) for number in range(9)]
    assert uniforms(key, start, 9).tolist() == [uniform_at(key, start + number) for number in range(9)]


def test_key_of_separates_its_parts() -> None:
    assert key_of("ab", "c") != key_of("a", "bc")


def test_normals_have_the_moments_of_a_normal_distribution() -> None:
    drawn = normals(key_of("n"), 0, 200_000)
    assert abs(drawn.mean()) < 0.01
    assert abs(drawn.std() - 1.0) < 0.01
    assert abs((drawn**4).mean() - 3.0) < 0.1
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.01


def test_smooth_ranges_join_without_a_seam() -> None:
    key = key_of("s")
    whole = smooth(key, -100, 400, 30)
    assert np.array_equal(whole[:150], smooth(key, -100, 150, 30))
    assert np.array_equal(whole[150:], smooth(key, 50, 250, 30))
    assert np.abs(np.diff(whole)).max() < 0.3
