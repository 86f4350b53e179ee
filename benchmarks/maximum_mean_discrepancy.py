"""Maximum mean discrepancy with a permutation test, against the bare Gram product and against naive permutations.

The bare product ``Z @ Z.T`` of all samples is what no exact implementation can do without; the naive one computes the
kernels anew for each permutation (a few are timed and scaled up).

Run: ``OMP_NUM_THREADS=1 python benchmarks/maximum_mean_discrepancy.py``
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
from scipy.spatial.distance import cdist

from pytest_mle.checks.drift.two_sample import median_bandwidth, mmd_two_sample

NAIVE_PERMUTATIONS = 2


def naive_mmd(first, second, bandwidth):
    def kernel(left, right):
        return np.exp(cdist(left, right, "sqeuclidean") / (-2 * bandwidth**2))

    n, m = len(first), len(second)
    within = (kernel(first, first).sum() - n) / (n * (n - 1)) + (kernel(second, second).sum() - m) / (m * (m - 1))
    return within - 2 * kernel(first, second).mean()


def naive_permutations(first, second, bandwidth, rng):
    pooled = np.concatenate([first, second])
    for _ in range(NAIVE_PERMUTATIONS):
        pooled = rng.permutation(pooled)
        naive_mmd(pooled[: len(first)], pooled[len(first) :], bandwidth)


def processor_seconds(job, repeats):
    seconds = []
    for _ in range(repeats):
        begin = time.process_time()
        job()
        seconds.append(time.process_time() - begin)
    return median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=5000, help="a side")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--permutations", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    first = rng.normal(size=(arguments.samples, arguments.features))
    second = rng.normal(0.02, size=(arguments.samples, arguments.features))
    pooled = np.concatenate([first, second])
    bandwidth = median_bandwidth(first)

    def own(resamples=0):
        return mmd_two_sample(
            first,
            second,
            rng=np.random.default_rng(1),
            bandwidth=bandwidth,
            permutations=arguments.permutations,
            resamples=resamples,
            maximum_samples=arguments.samples,
        )

    difference = abs(own().effect - naive_mmd(first, second, bandwidth))
    print(f"n = m = {arguments.samples}, d = {arguments.features}, {arguments.permutations} permutations")
    print(f"difference from the plain formula {difference:.1e}")
    bare = processor_seconds(lambda: pooled @ pooled.T, arguments.repeats)
    naive = processor_seconds(lambda: naive_permutations(first, second, bandwidth, rng), 1)
    rows = {
        "bare product Z @ Z.T": bare,
        "own": processor_seconds(own, arguments.repeats),
        "own with 1000 bootstrap resamples": processor_seconds(lambda: own(1000), 1),
        "naive (scaled up)": naive / NAIVE_PERMUTATIONS * arguments.permutations,
    }
    for name, seconds in rows.items():
        print(f"{name:35} {seconds:8.2f} s   {seconds / bare:7.2f} x bare")


if __name__ == "__main__":
    main()
