"""How long a model takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pytest_mle.checks.declaration import check
from pytest_mle.checks.resources.hardware import hardware_fingerprint
from pytest_mle.checks.resources.latency import (
    SECTIONS,
    Durations,
    block_length,
    joined,
    mean_over_blocks,
    measure_durations,
    percentile_over_sections,
    rate_of_cycles,
)
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.records.figure import Figure, Series
from pytest_mle.records.finding import ValidityCondition
from pytest_mle.records.measurement import Measurement
from pytest_mle.records.quantity import Percentile, PointEstimate, estimate, exact

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.model import Model
    from pytest_mle.records.clock import Clock
    from pytest_mle.records.quantity import Quantity

    Floats = NDArray[np.float64]

# With fewer, no order statistic bounds the percentile from above at 95 %: ln 0.05 / ln p.
MINIMUM_RUNS = {0.5: 5, 0.95: 59, 0.99: 299}
# Prepared images are kept in memory, so that the network's own time is measured alone.
PREPARED_BYTES = 256 << 20
HISTOGRAM_BINS = 40


@check(
    quantities={
        "latency_mean": estimate("s", "lower", "Mean time of a call."),
        "latency_median": estimate("s", "lower", "Median time of a call."),
        "latency_p95": estimate("s", "lower", "95th percentile of the time of a call."),
        "latency_p99": estimate("s", "lower", "99th percentile of the time of a call."),
        "latency_max": exact("s", "lower", "Longest time of a call: observed, no proof of a worst case."),
        "latency_first": exact("s", "lower", "Time of the first call, before any warm-up."),
        "throughput": estimate("Hz", "higher", "Images a second over the whole measurement."),
        "n_latency_samples": exact("{sample}", "higher", "Calls that were measured."),
    },
    exclusive=True,
)
def latency_profile(
    model: Model,
    dataset: Dataset,
    clock: Clock,
    *,
    runs: int = 300,
    warm_up: int = 20,
    batch: int = 1,
    scope: Literal["model", "end_to_end"] = "model",
    maximum_seconds: float = 6.0,
) -> Measurement:
    """Measure the latency of a model on this machine.

    Scope ``model`` is the network on images that are in memory and resized, results copied back; ``end_to_end`` reads
    and decodes the images, resizes, runs the network and decodes its outputs. Images of the data set follow each other
    in its order, again and again. Files are decoded in a process of its own, which adds a tenth of the decoding time or
    0.2 ms: the measured time errs high, never low.

    Bounds of percentiles are order statistics. Where times resemble their neighbours (clock changes, other load), they
    are Student's t over 20 sections, and those of mean and throughput are over blocks as long as the measured
    autocorrelation. A percentile from too few runs (59 for p95, 299 for p99) is NaN.

    Parameters
    ----------
    runs, warm_up
        Calls that count, and calls before them that do not.
    batch
        Images a call; latency is that of the call, throughput counts images.
    maximum_seconds
        How long to go on after ``runs`` calls while neighbours are alike and too few to bound the percentiles.

    Raises
    ------
    NotMeasurableError
        Without samples in the data set, or with less than one run or image a call.
    InputError
        If ``end_to_end`` shall take more images a call than the model's ``batch_size``: it would split them.
    """
    if len(dataset) == 0:
        raise NotMeasurableError(f"data set {dataset.name!r} holds no samples to time the model on")
    if runs < 1 or batch < 1 or warm_up < 0:
        raise NotMeasurableError(f"runs and batch must be at least 1, warm_up 0: got {runs}, {batch}, {warm_up}")
    fingerprint = hardware_fingerprint()
    call = _whole_call(model, dataset, batch) if scope == "end_to_end" else _network_call(model, dataset, batch, runs)
    durations = _until_it_tells(call, runs=runs, warm_up=warm_up, clock=clock, maximum_seconds=maximum_seconds)
    runs = len(durations.calls)
    samples = durations.calls
    block = block_length(samples)
    is_sound = bool(np.isfinite(samples).all() and (samples > 0).all())
    return Measurement(
        quantities={
            "latency_mean": mean_over_blocks(samples, block),
            "latency_median": _percentile(samples, 0.5),
            "latency_p95": _percentile(samples, 0.95),
            "latency_p99": _percentile(samples, 0.99),
            "latency_max": float(samples.max()),
            "latency_first": durations.first,
            "throughput": rate_of_cycles(durations.cycles, batch, block_length(durations.cycles)),
            "n_latency_samples": runs,
        },
        validity=(
            ValidityCondition("durations_sound", is_sound, "a duration is zero or not finite: the clock is too coarse"),
            ValidityCondition(
                "enough_runs",
                runs >= MINIMUM_RUNS[0.95],
                f"{runs} runs, at least {MINIMUM_RUNS[0.95]} are needed for a bound on the 95th percentile",
            ),
        ),
        figures=(_histogram(samples),),
        settings={
            "scope": scope,
            "runs": len(samples),
            "warm_up": warm_up,
            "batch": batch,
            "correlation_block": block,
            "hardware": fingerprint,
            "runtime": model.description.get("runtime", {}),
        },
    )


def _until_it_tells(
    call: Callable[[int], Any], *, runs: int, warm_up: int, clock: Clock, maximum_seconds: float
) -> Durations:
    """Measure ``runs`` calls, and go on while they are too much alike to bound the percentiles of that many.

    On a machine with other work a hundred calls in a row can be worth three independent ones.
    """
    durations = measure_durations(call, runs=runs, warm_up=warm_up, clock=clock)
    while durations.cycles[runs:].sum() < maximum_seconds and _is_too_short(durations.calls, runs):
        durations = joined(durations, measure_durations(call, runs=len(durations.calls), warm_up=0, clock=clock))
    return durations


def _is_too_short(samples: Floats, runs: int) -> bool:
    return any(
        block_length(samples, probability) > 1 and len(samples) < SECTIONS * round(1 / (1 - probability))
        for probability, needed in MINIMUM_RUNS.items()
        if runs >= needed
    )


def _percentile(samples: Floats, probability: float) -> Quantity:
    needed = MINIMUM_RUNS[probability]
    if len(samples) < needed:
        return PointEstimate(float("nan"), len(samples), f"needs {needed} runs, got {len(samples)}")
    if block_length(samples, probability) == 1:
        return Percentile(samples, probability)
    return percentile_over_sections(samples, probability)


def _whole_call(model: Model, dataset: Dataset, batch: int) -> Callable[[int], Any]:
    if batch > model.batch_size:
        raise InputError(
            f"model {model.name!r} predicts {model.batch_size} images at a time, batch {batch} would be split. "
            f"Declare batch_size: {batch}"
        )

    def call(number: int) -> Any:
        first = number * batch
        return model.predict([dataset.image((first + offset) % len(dataset)) for offset in range(batch)])

    return call


def _network_call(model: Model, dataset: Dataset, batch: int, runs: int) -> Callable[[int], Any]:
    """Prepare as many different batches as fit into memory."""
    prepared = [model.prepare([dataset.image(offset % len(dataset)) for offset in range(batch)])]
    affordable = max(1, PREPARED_BYTES // max(1, prepared[0].nbytes))
    for number in range(1, min(affordable, runs, -(-len(dataset) // batch))):
        images = [dataset.image((number * batch + offset) % len(dataset)) for offset in range(batch)]
        prepared.append(model.prepare(images))

    def call(number: int) -> Any:
        return model.forward(prepared[number % len(prepared)])

    return call


def _histogram(samples: Floats) -> Figure:
    counts, edges = np.histogram(samples, bins=min(HISTOGRAM_BINS, max(1, len(samples) // 5)))
    marks = [("median", float(np.median(samples))), ("maximum", float(samples.max()))]
    return Figure(
        "histogram",
        "Latency",
        series=(Series("calls", tuple(map(float, counts)), x=tuple(map(float, edges[:-1]))),),
        labels=tuple(f"{edge:.6g}" for edge in edges[:-1]),
        x_label="seconds",
        y_label="calls",
        marks=tuple(marks),
    )
