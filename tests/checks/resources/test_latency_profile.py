"""Tests of the latency profile."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.resources.latency_profile import latency_profile
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.models import open_model
from pytest_mle.records.clock import SystemClock
from tests.support.memory_dataset import MemoryDataset
from tests.support.onnx_files import save_linear_classifier


class _Clock:
    """Time that only the model and the data set move."""

    def __init__(self):
        self.time = 0.0

    def monotonic(self):
        return self.time


class _Model:
    """A model that takes the time it is told, call by call."""

    name, task, class_names, files, batch_size = "timed", "classification", (), (), 4
    digest, description = "timed", {"runtime": {"engine": "none"}}

    def __init__(self, clock, costs):
        self.clock, self.costs, self.forwarded, self.predicted = clock, iter(costs), [], []

    def prepare(self, images):
        self.clock.time += 1000
        return np.stack(images).astype(np.float32)

    def forward(self, prepared):
        self.forwarded.append(prepared[:, 0, 0, 0].tolist())
        self.clock.time += next(self.costs)

    def predict(self, images):
        self.predicted.append([int(image[0, 0, 0]) for image in images])
        self.clock.time += next(self.costs)


def _dataset(count=3, clock=None, read_time=0.0):
    class Timed(MemoryDataset):
        def image(self, index):
            if clock is not None:
                clock.time += read_time
            return super().image(index)

    return Timed([np.full((2, 2, 3), i, np.uint8) for i in range(count)], labels=[0] * count)


def _measure(costs, dataset=None, **keys):
    clock = _Clock()
    model = _Model(clock, costs)
    runs = keys.pop("runs", len(costs) - keys.get("warm_up", 0))
    return latency_profile(
        model,
        _dataset() if dataset is None else dataset,
        clock,
        runs=runs,
        **{"warm_up": 0, "maximum_seconds": 0.0, **keys},
    ), model


def test_quantities_by_hand():
    """Known durations give the known mean, median, percentiles, maximum, first call and throughput."""
    costs = np.random.default_rng(0).permutation(np.arange(1.0, 1001))
    measured, _ = _measure([5000.0, 7.0, *costs], warm_up=2)
    values = {name: getattr(q, "value", q) for name, q in measured.quantities.items()}
    assert values == {
        "latency_mean": 500.5,
        "latency_median": 500,
        "latency_p95": 950,
        "latency_p99": 990,
        "latency_max": 1000,
        "latency_first": 5000,
        "throughput": pytest.approx(1 / 500.5),
        "n_latency_samples": 1000,
    }
    assert measured.quantities["latency_p95"].bounds(0.95)[1] == 962
    assert measured.quantities["latency_p99"].bounds(0.95)[1] == 996
    assert all(condition.holds for condition in measured.validity)
    declaration = declaration_of(latency_profile)
    assert set(declaration.quantities) == set(values)
    assert declaration.is_exclusive


def test_warm_up_does_not_count():
    """Slow first calls change the first one's quantity only."""
    measured, _ = _measure([99.0] * 5 + [1.0] * 300, warm_up=5)
    assert measured.quantities["latency_max"] == 1
    assert measured.quantities["latency_first"] == 99


def test_alike_neighbours_prolong_the_measurement():
    """Where 300 calls are worth too few independent ones, more are made, for as long as the caller allows."""
    steps = np.repeat(np.random.default_rng(0).exponential(size=4000) / 1000, 20)
    patient = _measure(steps, runs=300, maximum_seconds=50.0)[0]
    hasty = _measure(steps, runs=300)[0]
    assert patient.quantities["n_latency_samples"] >= 400
    assert np.isfinite(patient.quantities["latency_p95"].bounds(0.95)[1])
    assert hasty.quantities["n_latency_samples"] == 300
    assert np.isinf(hasty.quantities["latency_p95"].bounds(0.95)[1])


def test_a_planted_slow_tail_is_seen():
    """Four slow calls of a hundred leave the median alone and show in p99 and the maximum."""
    costs = np.where(np.arange(500) % 25 == 3, 9.0, 1.0)
    quantities = _measure(costs)[0].quantities
    assert quantities["latency_median"].value == 1
    assert quantities["latency_p95"].value == 1
    assert quantities["latency_p99"].value == 9
    assert quantities["latency_max"] == 9


def test_alike_neighbours_widen_the_bounds():
    """The same durations in long stretches bound p95 less sharply than shuffled ones."""
    steps = np.repeat(np.random.default_rng(0).exponential(size=150), 20)
    together = _measure(steps)[0]
    shuffled = _measure(np.random.default_rng(1).permutation(steps))[0]
    assert together.settings["correlation_block"] > 5 * shuffled.settings["correlation_block"]
    for name in ("latency_p95", "latency_mean"):
        assert together.quantities[name].value == pytest.approx(shuffled.quantities[name].value)
        assert together.quantities[name].bounds(0.95)[1] > shuffled.quantities[name].bounds(0.95)[1]


@pytest.mark.parametrize(
    ("runs", "is_valid", "has_p95", "has_p99"),
    [(58, False, False, False), (59, True, True, False), (298, True, True, False), (299, True, True, True)],
)
def test_percentiles_need_their_samples(runs, is_valid, has_p95, has_p99):
    """A percentile of too few runs is NaN, which no criterion accepts; below 59 nothing is valid."""
    measured, _ = _measure(np.random.default_rng(0).exponential(size=runs))
    assert measured.validity[1].holds is is_valid
    assert math.isfinite(measured.quantities["latency_p95"].value) is has_p95
    assert math.isfinite(measured.quantities["latency_p99"].value) is has_p99


def test_a_clock_that_stands_still_is_not_valid():
    """Durations of zero are no measurement."""
    measured, _ = _measure([0.0] * 60)
    assert not measured.validity[0].holds


def test_scope_model_times_the_network_alone():
    """Images are prepared before the first call, follow each other in order, and begin again."""
    measured, model = _measure([1.0] * 7, batch=2)
    assert model.forwarded == [[0, 1], [2, 0]] * 3 + [[0, 1]]
    assert measured.quantities["latency_max"] == 1
    assert measured.quantities["throughput"].value == 2


def test_scope_end_to_end_includes_reading():
    """Decoding counts: two images of a quarter second each on top of the model's one second."""
    clock = _Clock()
    model = _Model(clock, [1.0] * 4)
    measured = latency_profile(model, _dataset(3, clock, 0.25), clock, runs=3, warm_up=1, batch=2, scope="end_to_end")
    assert model.predicted == [[0, 1], [2, 0], [1, 2], [0, 1]]
    assert measured.quantities["latency_max"] == 1.5


def test_a_batch_that_would_be_split_is_refused():
    """End to end with more images than batch_size would time several runs as one."""
    with pytest.raises(InputError, match=r"batch 5 would be split\. Declare batch_size: 5"):
        _measure([1.0], batch=5, scope="end_to_end")


def test_prepared_images_are_bounded_in_memory(monkeypatch):
    """Only as many batches are prepared as the bound allows, at least one."""
    monkeypatch.setattr("pytest_mle.checks.resources.latency_profile.PREPARED_BYTES", 2 * 48)
    _, model = _measure([1.0] * 5)
    assert model.forwarded == [[0], [1], [0], [1], [0]]


@pytest.mark.parametrize("keys", [{"runs": 0}, {"batch": 0}, {"warm_up": -1}])
def test_impossible_protocols_are_not_measurable(keys):
    """No runs, no images or less than no warm-up."""
    with pytest.raises(NotMeasurableError, match="must be at least 1"):
        _measure([1.0] * 5, **keys)


def test_an_empty_data_set_is_not_measurable():
    """Without an image nothing can be timed."""
    with pytest.raises(NotMeasurableError, match="holds no samples"):
        _measure([1.0], dataset=_dataset(0))


def test_the_protocol_is_recorded_and_drawn():
    """Settings name hardware, runtime and protocol; the histogram counts every call."""
    measured, _ = _measure(np.random.default_rng(0).exponential(size=300))
    settings = measured.settings
    assert settings["scope"] == "model"
    assert settings["runtime"] == {"engine": "none"}
    assert settings["hardware"]["cpu_count"] >= 1
    (figure,) = measured.figures
    assert sum(figure.series[0].y) == 300
    assert len(figure.labels) == len(figure.series[0].y)


@pytest.mark.parametrize("scope", ["model", "end_to_end"])
def test_a_real_model_on_the_real_clock(tmp_path, scope):
    """An ONNX model is timed in plausible seconds, less than the whole measurement took."""
    save_linear_classifier(tmp_path / "m.onnx")
    entry = {
        "path": "m.onnx",
        "task": "classification",
        "preprocess": {"resize": "stretch", "size": [6, 4]},
        "output": {"layout": "probabilities"},
    }
    began = time.perf_counter()
    measured = latency_profile(open_model("m", entry, tmp_path), _dataset(), SystemClock(), runs=60, scope=scope)
    elapsed = time.perf_counter() - began
    assert all(condition.holds for condition in measured.validity)
    assert 0 < measured.quantities["latency_mean"].value * 60 < elapsed
    assert measured.settings["runtime"]["providers"] == ["CPUExecutionProvider"]
