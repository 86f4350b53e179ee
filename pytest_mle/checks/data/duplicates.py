"""Equal and similar images, inside one data set or between two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_mle.checks.data.near_duplicates import NearPairs, near_pairs, near_pairs_between

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pytest_mle.checks.data.image_scan import ImageScan


@dataclass(frozen=True, slots=True)
class SharedImages:
    """Images that two data sets have in common: what leaks from one split into another.

    ``exact`` pairs ``(left, right)`` with equal bytes, each left image with the first equal right one; ``near`` pairs
    with similar hashes that are not equal in bytes.
    """

    exact: tuple[tuple[int, int], ...]
    near: NearPairs


def exact_duplicates(scans: Sequence[ImageScan]) -> list[list[int]]:
    """Return groups of two and more files with the same bytes (SHA-256), as positions; empty files do not count."""
    groups: dict[str, list[int]] = {}
    for number, scan in enumerate(scans):
        if scan.sha256 is not None and not scan.is_empty:
            groups.setdefault(scan.sha256, []).append(number)
    return [group for group in groups.values() if len(group) > 1]


def near_duplicates(scans: Sequence[ImageScan], *, distance: int, mirrored: bool = False) -> NearPairs:
    """Return pairs of similar images that differ in their bytes.

    Of files with the same bytes only the first takes part; unusable and flat images do not.
    """
    numbers = _first_of_each_content(scans)
    plain = _hashes(scans, numbers)
    found = near_pairs(plain, _hashes(scans, numbers, mirrored=True) if mirrored else None, distance=distance)
    return _renumbered(found, numbers, numbers)


def shared_images(left: Sequence[ImageScan], right: Sequence[ImageScan], *, distance: int) -> SharedImages:
    """Compare two data sets, such as training and test: equal files, and similar images.

    An image that has an equal one on the other side counts as exact only.
    """
    right_first: dict[str, int] = {}
    for number in reversed(range(len(right))):
        digest = right[number].sha256
        if digest is not None and not right[number].is_empty:
            right_first[digest] = number
    exact = tuple((i, right_first[s.sha256]) for i, s in enumerate(left) if s.sha256 in right_first and s.sha256)
    common = {left[i].sha256 for i, _ in exact}
    left_numbers = [i for i in _first_of_each_content(left) if left[i].sha256 not in common]
    right_numbers = [i for i in _first_of_each_content(right) if right[i].sha256 not in common]
    near = near_pairs_between(_hashes(left, left_numbers), _hashes(right, right_numbers), distance=distance)
    return SharedImages(exact, _renumbered(near, left_numbers, right_numbers))


def _first_of_each_content(scans: Sequence[ImageScan]) -> list[int]:
    seen: set[str | None] = set()
    numbers = []
    for number, scan in enumerate(scans):
        if scan.perceptual_hash is not None and scan.sha256 not in seen:
            seen.add(scan.sha256)
            numbers.append(number)
    return numbers


def _hashes(scans: Sequence[ImageScan], numbers: Sequence[int], *, mirrored: bool = False) -> NDArray[np.uint64]:
    values = [scans[i].mirrored_hash if mirrored else scans[i].perceptual_hash for i in numbers]
    return np.array(values, dtype=np.uint64)


def _renumbered(found: NearPairs, left: Sequence[int], right: Sequence[int]) -> NearPairs:
    return NearPairs(found.total, tuple((left[a], right[b], bits) for a, b, bits in found.closest))
