"""Randomness that can be read at any position: a number is a pure function of (key, index).

Nothing is drawn in sequence, so any minute of any day can be computed without those before it. The mixing function is
the finaliser of SplitMix64 (Steele, Lea, Flood 2014) over a Weyl sequence; normals come from Box-Muller.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_TO_UNIT = 1.0 / (1 << 53)


def key_of(*parts: object) -> int:
    """Return a 64-bit key for the given parts (their text), stable across processes and machines."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def bits_at(key: int, index: int) -> int:
    """Return 64 random bits at `index` (may be negative)."""
    value = (key + index * _GOLDEN) & _MASK
    value = ((value ^ (value >> 30)) * _MIX_1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX_2) & _MASK
    return value ^ (value >> 31)


def uniform_at(key: int, index: int) -> float:
    """Return a number in [0, 1) at `index`."""
    return (bits_at(key, index) >> 11) * _TO_UNIT


def bits(key: int, start: int, count: int) -> NDArray[np.uint64]:
    """Return the random bits at `start` .. `start + count - 1`; element i equals `bits_at(key, start + i)`."""
    return bits_of(key, np.arange(start, start + count, dtype=np.int64))


def bits_of(key: int, indices: IntArray) -> NDArray[np.uint64]:
    """Return the random bits at each of `indices`."""
    value = indices.astype(np.uint64)  # two's complement: negative indices wrap as in `bits_at`
    value *= np.uint64(_GOLDEN)
    value += np.uint64(key & _MASK)
    value ^= value >> np.uint64(30)
    value *= np.uint64(_MIX_1)
    value ^= value >> np.uint64(27)
    value *= np.uint64(_MIX_2)
    value ^= value >> np.uint64(31)
    return value


def uniforms(key: int, start: int, count: int) -> FloatArray:
    """Return numbers in [0, 1), one for each of `count` indices from `start` on."""
    return uniforms_of(key, np.arange(start, start + count, dtype=np.int64))


def uniforms_of(key: int, indices: IntArray) -> FloatArray:
    """Return numbers in [0, 1), one for each of `indices`."""
    return (bits_of(key, indices) >> np.uint64(11)).astype(np.float64) * _TO_UNIT


def normals(key: int, start: int, count: int) -> FloatArray:
    """Return standard normal numbers, one for each index."""
    drawn = bits(key, start, count)
    radius = np.sqrt(-2.0 * np.log(((drawn >> np.uint64(32)).astype(np.float64) + 0.5) / 2.0**32))
    angle = (drawn & np.uint64(0xFFFFFFFF)).astype(np.float64) * (2.0 * np.pi / 2.0**32)
    result: FloatArray = radius * np.cos(angle)
    return result


def smooth(key: int, start: int, count: int, scale: int) -> FloatArray:
    """Return noise that changes over about `scale` indices: normal knots with smoothstep between.

    Knots lie at multiples of `scale`, so that adjoining ranges join without a seam.
    """
    first_knot = start // scale
    last_knot = (start + count - 1) // scale + 1
    knots = normals(key, first_knot, last_knot - first_knot + 1)
    position = np.arange(start - first_knot * scale, start - first_knot * scale + count, dtype=np.int64)
    left = position // scale
    part = position % scale / scale
    weight = part * part * (3.0 - 2.0 * part)
    result: FloatArray = knots[left] * (1.0 - weight) + knots[left + 1] * weight
    return result
