"""Pairs of 64-bit hashes within a Hamming distance, without comparing all pairs.

Hashes that differ in at most ``d`` bits agree in at least one of ``d + 1`` bands of bits (pigeonhole principle;
multi-index hashing, Norouzi, Punjani and Fleet 2012), so only hashes that share a band are compared. The result is that
of comparing all pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BITS = 64
# Beyond this, bands are so short that nearly everything is compared with everything.
MAX_DISTANCE = 12
_COMPARED_AT_ONCE = 4_000_000

Block = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.int64]"]


@dataclass(frozen=True, slots=True)
class NearPairs:
    """How many pairs are near each other, and the closest of them as ``(left, right, distance)``."""

    total: int
    closest: tuple[tuple[int, int, int], ...]


def near_pairs(
    hashes: NDArray[np.uint64], mirrored: NDArray[np.uint64] | None = None, *, distance: int, shown: int = 50
) -> NearPairs:
    """Count unordered pairs of different images whose hashes differ in at most ``distance`` bits.

    With ``mirrored`` (hashes of the flipped images), a pair also counts if one is near the other's mirror image. Many
    equal hashes (a camera that stands still) cost no more than one.
    """
    rows = hashes[:, None] if mirrored is None else np.stack([hashes, mirrored], axis=1)
    unique, first, inverse, count = np.unique(rows, axis=0, return_index=True, return_inverse=True, return_counts=True)
    plain = np.ascontiguousarray(unique[:, 0])
    blocks = _once(_near_blocks(plain, plain, distance))
    if mirrored is not None:
        blocks = chain(blocks, _only_mirrored(plain, np.ascontiguousarray(unique[:, 1]), distance))
    total = int((count * (count - 1) // 2).sum())
    closest = _equal_pairs(inverse.ravel(), first, shown)
    for left, right, bits in blocks:
        total += int((count[left] * count[right]).sum())
        closest = _keep_closest(closest, (first[left], first[right], bits), shown)
    return NearPairs(total, _as_tuples(closest, in_order=True))


def near_pairs_between(
    left: NDArray[np.uint64], right: NDArray[np.uint64], *, distance: int, shown: int = 50
) -> NearPairs:
    """Count pairs of a left and a right hash that differ in at most ``distance`` bits."""
    unique_left, first_left, count_left = np.unique(left, return_index=True, return_counts=True)
    unique_right, first_right, count_right = np.unique(right, return_index=True, return_counts=True)
    total, closest = 0, _no_pairs()
    for rows, columns, bits in _near_blocks(unique_left, unique_right, distance):
        total += int((count_left[rows] * count_right[columns]).sum())
        closest = _keep_closest(closest, (first_left[rows], first_right[columns], bits), shown)
    return NearPairs(total, _as_tuples(closest, in_order=False))


def hamming_distance(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return how many bits differ, element by element (shapes broadcast)."""
    return _count_bits(left ^ right).astype(np.int64)


def _count_bits(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    if hasattr(np, "bitwise_count"):
        return np.bitwise_count(words)
    # NumPy 1.26: add neighbouring fields of 1, 2, 4 bits, then all bytes by one multiplication (Hacker's Delight, 5-1).
    words = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    words = (words & np.uint64(0x3333333333333333)) + ((words >> np.uint64(2)) & np.uint64(0x3333333333333333))
    words = (words + (words >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((words * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.uint8)


def _near_blocks(left: NDArray[np.uint64], right: NDArray[np.uint64], distance: int) -> Iterator[Block]:
    """Yield each pair within the distance once, as positions in ``left`` and ``right`` and their distance."""
    if not 0 <= distance <= MAX_DISTANCE:
        raise ValueError(f"the Hamming distance must lie in 0..{MAX_DISTANCE}, got {distance}")
    edges = np.linspace(0, BITS, distance + 2).round().astype(int).tolist()
    masks: list[np.uint64] = []
    for start, end in pairwise(edges):
        mask = np.uint64(((1 << (end - start)) - 1) << start)
        for rows, columns in _same_band(left & mask, right & mask):
            differing = left[rows][:, None] ^ right[columns]
            bits = _count_bits(differing)
            near_rows, near_columns = np.nonzero(bits <= distance)
            # A pair that agrees in an earlier band was found there.
            words = differing[near_rows, near_columns]
            is_new = np.ones(len(words), dtype=np.bool_)
            for earlier in masks:
                is_new &= (words & earlier) != 0
            near_rows, near_columns = near_rows[is_new], near_columns[is_new]
            if len(near_rows):
                yield rows[near_rows], columns[near_columns], bits[near_rows, near_columns].astype(np.int64)
        masks.append(mask)


def _same_band(
    left: NDArray[np.uint64], right: NDArray[np.uint64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield groups of positions with the same key, cut so that a group's product stays small."""
    left_order, right_order = np.argsort(left, kind="stable"), np.argsort(right, kind="stable")
    left_sorted, right_sorted = left[left_order], right[right_order]
    keys, starts = np.unique(left_sorted, return_index=True)
    ends = np.append(starts[1:], len(left_sorted))
    from_right = np.searchsorted(right_sorted, keys, side="left")
    to_right = np.searchsorted(right_sorted, keys, side="right")
    for group in np.flatnonzero(to_right > from_right).tolist():
        columns = right_order[from_right[group] : to_right[group]]
        step = max(1, _COMPARED_AT_ONCE // len(columns))
        for start in range(int(starts[group]), int(ends[group]), step):
            yield left_order[start : min(start + step, int(ends[group]))], columns


def _once(blocks: Iterator[Block]) -> Iterator[Block]:
    """Keep one of the two orders in which a pair of the same array is found."""
    for left, right, bits in blocks:
        kept = left < right
        yield left[kept], right[kept], bits[kept]


def _only_mirrored(plain: NDArray[np.uint64], mirrored: NDArray[np.uint64], distance: int) -> Iterator[Block]:
    """Yield pairs that are near only through the mirror, once each."""
    for left, right, bits in _near_blocks(plain, mirrored, distance):
        found_both_ways = (left > right) & (hamming_distance(plain[right], mirrored[left]) <= distance)
        kept = (left != right) & ~found_both_ways & (hamming_distance(plain[left], plain[right]) > distance)
        yield left[kept], right[kept], bits[kept]


def _equal_pairs(inverse: NDArray[np.int64], first: NDArray[np.int64], shown: int) -> Block:
    """Return the pairs of equal rows: each later one with the first."""
    later = np.flatnonzero(first[inverse] != np.arange(len(inverse)))[:shown]
    return first[inverse[later]], later, np.zeros(len(later), dtype=np.int64)


def _no_pairs() -> Block:
    none = np.zeros(0, dtype=np.int64)
    return none, none, none


def _keep_closest(found: Block, more: Block, shown: int) -> Block:
    left, right, bits = (np.concatenate(both) for both in zip(found, more, strict=True))
    order = np.lexsort((right, left, bits))[:shown]
    return left[order], right[order], bits[order]


def _as_tuples(block: Block, *, in_order: bool) -> tuple[tuple[int, int, int], ...]:
    triples = zip(*(column.tolist() for column in block), strict=True)
    pairs = ((min(a, b), max(a, b), d) if in_order else (a, b, d) for a, b, d in triples)
    return tuple(sorted(pairs, key=lambda pair: (pair[2], pair[0], pair[1])))
