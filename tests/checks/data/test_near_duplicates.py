"""Tests of the search for near hashes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.data import near_duplicates
from pytest_mle.checks.data.near_duplicates import hamming_distance, near_pairs, near_pairs_between

WORDS = st.integers(0, 2**64 - 1)


@st.composite
def clustered(draw):
    """Draw hashes of which many are equal or differ in a few bits."""
    centers = draw(st.lists(WORDS, min_size=1, max_size=4))
    hashes = []
    for _ in range(draw(st.integers(0, 25))):
        word = draw(st.sampled_from(centers))
        for bit in draw(st.lists(st.integers(0, 63), max_size=8)):
            word ^= 1 << bit
        hashes.append(word)
    return hashes


def bits(left, right):
    """Count differing bits in pure Python."""
    return (left ^ right).bit_count()


def array(hashes):
    """Make the array that the search takes."""
    return np.array(hashes, dtype=np.uint64)


def test_pairs_by_hand():
    """Of 0, 1, 7 and all ones: 0-1 differ in one bit, 1-7 in two, 0-7 in three."""
    found = near_pairs(array([0, 1, 7, 2**64 - 1]), distance=2)

    assert found.total == 2
    assert found.closest == ((0, 1, 1), (1, 2, 2))


@settings(deadline=None)
@given(clustered(), st.integers(0, 12))
def test_search_equals_comparing_all_pairs(hashes, distance):
    """No pair is lost and none is counted twice, whatever the bands are."""
    n = len(hashes)
    expected = {(i, j) for i in range(n) for j in range(i + 1, n) if bits(hashes[i], hashes[j]) <= distance}

    found = near_pairs(array(hashes), distance=distance, shown=10_000)

    assert found.total == len(expected)
    assert {pair[:2] for pair in found.closest} <= expected
    assert all(d == bits(hashes[i], hashes[j]) for i, j, d in found.closest)
    if len(set(hashes)) == n:
        assert {pair[:2] for pair in found.closest} == expected


@settings(deadline=None)
@given(clustered(), st.randoms(use_true_random=False), st.integers(0, 8))
def test_mirrored_search_equals_comparing_all_pairs(hashes, random, distance):
    """A pair counts once if it is near directly or through the mirror, in either order."""
    mirrored = [hashes[random.randrange(len(hashes))] ^ (1 << random.randrange(64)) for _ in hashes]
    n = len(hashes)
    expected = {
        (i, j)
        for i in range(n)
        for j in range(i + 1, n)
        if min(bits(hashes[i], hashes[j]), bits(hashes[i], mirrored[j]), bits(hashes[j], mirrored[i])) <= distance
        or (hashes[i], mirrored[i]) == (hashes[j], mirrored[j])
    }

    assert near_pairs(array(hashes), array(mirrored), distance=distance).total == len(expected)


@settings(deadline=None)
@given(clustered(), clustered(), st.integers(0, 10))
def test_search_between_two_sets_equals_comparing_all(left, right, distance):
    """Pairs across two sets are complete, equal ones included."""
    expected = {(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if bits(a, b) <= distance}

    found = near_pairs_between(array(left), array(right), distance=distance)

    assert found.total == len(expected)
    assert {pair[:2] for pair in found.closest} <= expected


@given(clustered(), st.randoms(use_true_random=False))
def test_order_does_not_matter(hashes, random):
    """The number of pairs is that of the set, not of its order."""
    shuffled = list(hashes)
    random.shuffle(shuffled)

    assert near_pairs(array(hashes), distance=6).total == near_pairs(array(shuffled), distance=6).total


def test_camera_that_stands_still():
    """A hundred thousand equal hashes are counted without being compared, and the list stays short."""
    found = near_pairs(np.zeros(100_000, dtype=np.uint64), distance=6, shown=50)

    assert found.total == 100_000 * 99_999 // 2
    assert len(found.closest) == 50
    assert found.closest[0] == (0, 1, 0)


def test_large_groups_are_compared_in_parts(monkeypatch):
    """The limit on memory changes nothing in the result."""
    hashes = np.arange(300, dtype=np.uint64)
    whole = near_pairs(hashes, distance=3)
    monkeypatch.setattr(near_duplicates, "_COMPARED_AT_ONCE", 100)

    assert near_pairs(hashes, distance=3) == whole


@pytest.mark.parametrize("distance", [-1, 13, 64])
def test_distance_out_of_range(distance):
    """A distance that would make everything a duplicate is refused."""
    with pytest.raises(ValueError, match=r"0\.\.12"):
        near_pairs(array([0]), distance=distance)


@given(st.lists(WORDS, min_size=1))
def test_bits_are_counted_without_new_numpy(words):
    """NumPy 1.26 has no bitwise_count; the replacement counts the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(np, "bitwise_count", raising=False)
        found = hamming_distance(array(words), array([0]))

    assert found.tolist() == [word.bit_count() for word in words]
