"""Tests of gradient health: the traps of the handbook's rule, by step, by epoch and by layer."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.training.gradient_health import QUANTITIES, count_windows, gradient_health
from pytest_mle.errors import InputError

NAN = math.nan
RNG = np.random.default_rng(8)


def healthy(count=200, scale=2.0):
    """Make norms as they are: positive, noisy, falling slowly."""
    return scale * np.exp(RNG.normal(0, 0.3, count) - np.arange(count) / count)


def measure(log, **parameters):
    """Return the quantities."""
    return gradient_health(log, **parameters).quantities


def test_declared_as_a_check(training_log):
    """The catalogue knows it, and a log with layers gives every quantity as a finite number."""
    norms = healthy()
    log = training_log(steps={"gradient_norm": norms, "gradient_norm/head": norms})

    measurement = gradient_health(log)

    assert set(measurement.quantities) == set(QUANTITIES) == set(built_in_check("gradient_health").quantities)
    assert all(math.isfinite(value) for value in measurement.quantities.values())
    assert all(condition.holds for condition in measurement.validity)


def test_case_by_hand(training_log):
    """Ten steps, windows of three: one explodes in the middle, the last ones vanish."""
    norms = [1, 2, 2000, 3000, 4, 5, 6, 1e-9, 1e-9, 1e-8]

    quantities = measure(training_log(steps={"gradient_norm": norms}), window=3)

    assert quantities["gradient_norms_logged"] == 10
    # 2 2000 3000 and 2000 3000 4.
    assert quantities["exploding_windows"] == 2
    assert quantities["exploding_steps_fraction"] == 0.2
    # 6 1e-9 1e-9 and the last three.
    assert quantities["vanishing_windows"] == 2
    assert quantities["constant_windows"] == 0
    assert quantities["median_gradient_norm"] == 3


def test_c8_single_zero_or_spike_is_no_defect_by_itself(training_log):
    """C8: the handbook's script warns of one step that mixed precision skipped, or of one spike while warming up."""
    norms = healthy(200)
    norms[3], norms[100] = 1500.0, 0.0

    quantities = measure(training_log(steps={"gradient_norm": norms}))

    assert quantities["exploding_steps_fraction"] == 1 / 200
    assert (quantities["exploding_windows"], quantities["vanishing_windows"]) == (0, 0)
    assert quantities["nonfinite_gradients"] == 0


def test_c8_constant_tiny_gradients_are_found(training_log):
    """C8: a constant 2e-6 passes the script because it is above 1e-6; no gradient stays equal."""
    quantities = measure(training_log(gradient_norm=[2e-6] * 100))

    assert quantities["median_gradient_norm"] == 2e-6
    assert quantities["vanishing_windows"] == 0
    assert quantities["constant_windows"] == 96


def test_c8_nan_is_found_wherever_it_stands(training_log):
    """C8: Python's max passes over a NaN that does not come first."""
    for position in (0, 57, 199):
        norms = healthy()
        norms[position] = NAN
        by_step, by_epoch = training_log(steps={"gradient_norm": norms}), training_log(gradient_norm=norms)
        assert measure(by_step)["nonfinite_gradients"] == 1
        assert measure(by_epoch)["nonfinite_gradients"] == 1
        (found,) = gradient_health(by_step).findings
        assert str(found.shown[0]) == (
            f"log.csv: gradient_norm of step {position}: the gradient norm is not finite or absent"
        )


def test_c8_infinite_gradients_explode(training_log):
    """C8: infinity is not finite, and above any limit."""
    norms = healthy()
    norms[50:60] = math.inf

    quantities = measure(training_log(steps={"gradient_norm": norms}))

    assert quantities["nonfinite_gradients"] == 10
    assert quantities["exploding_steps_fraction"] == 0.05


def test_norms_after_clipping_are_found(training_log):
    """A norm that is logged after clipping to 5 stands at 5: the explosion behind it cannot be seen."""
    norms = healthy(300)
    norms[100:200] = 5.0

    quantities = measure(training_log(steps={"gradient_norm": norms}))

    assert quantities["exploding_windows"] == 0
    assert quantities["constant_windows"] == 81


def test_dead_layer_behind_a_healthy_norm(training_log):
    """One layer whose gradient dies hides in the norm of the model; one that was frozen at first does not count."""
    norms, dying, thawed = healthy(300), healthy(300), healthy(300)
    dying[150:] = 1e-12
    thawed[:150] = 0.0
    steps = {
        "gradient_norm": norms,
        "gradient_norm/head": norms,
        "gradient_norm/stem": dying,
        "gradient_norm/neck": thawed,
    }

    measurement = gradient_health(training_log(steps=steps))

    assert measurement.quantities["vanishing_windows"] == 0
    assert (measurement.quantities["layers"], measurement.quantities["dead_layers"]) == (3, 1)
    assert [str(one) for one in measurement.findings[0].shown] == [
        "log.csv: gradient_norm/stem: the last gradients vanish (median 1e-12)"
    ]
    assert measurement.figures[1].labels == ("head", "stem", "neck")


def test_nan_in_one_layer_counts(training_log):
    """A layer whose gradient is NaN in one step is a finding, whatever the norm of the model says."""
    layer = healthy()
    layer[7] = NAN
    log = training_log(steps={"gradient_norm": healthy(), "gradient_norm/head": layer})

    assert measure(log)["nonfinite_gradients"] == 1


def test_layers_make_the_norm_of_the_model(training_log):
    """Without a norm of the whole model it is the root of the sum of squares, also of very large ones."""
    layers = {"gradient_norm/a": [3.0, 3e200] * 20, "gradient_norm/b": [4.0, 4e200] * 20}

    quantities = measure(training_log(steps=layers))

    assert quantities["median_gradient_norm"] == pytest.approx(2.5e200)
    assert quantities["exploding_steps_fraction"] == 0.5
    uneven = training_log(steps={"gradient_norm/a": [1.0] * 20, "gradient_norm/b": [1.0] * 10})
    with pytest.raises(InputError, match="different steps"):
        gradient_health(uneven)


def test_steps_come_before_epochs(training_log):
    """Where a log has both, the mean of an epoch must not hide a step."""
    norms = healthy(400)
    norms[200:260] = 1e5
    log = training_log(gradient_norm=healthy(20), steps={"gradient_norm": norms})

    measurement = gradient_health(log)

    assert measurement.settings["resolution"] == "step"
    assert measurement.settings["window"] == 20
    assert measurement.quantities["exploding_steps_fraction"] == 0.15
    assert gradient_health(training_log(gradient_norm=healthy(20))).settings["window"] == 5


def test_d3_log_without_gradient_norm(training_log):
    """D3: the handbook's MLflow script logs no gradient norm; the error says so and lists what the log has."""
    log = training_log(train_loss=[1.0], val_loss=[1.0])

    with pytest.raises(InputError, match=r"'gradient_norm', nor .* no gradients were tracked.*train_loss, val_loss"):
        gradient_health(log)


def test_without_layers_dead_layers_is_not_measured(training_log):
    """No layer is no proof that none is dead; the reason stands with the quantity."""
    dead = measure(training_log(gradient_norm=healthy()))["dead_layers"]

    assert math.isnan(dead.value)
    assert "no series gradient_norm/NAME" in dead.method


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_gradients_show_nothing(training_log, count):
    """Fewer values than a window show neither health nor disease."""
    (_, enough) = gradient_health(training_log(gradient_norm=healthy(count))).validity

    assert not enough.holds
    assert enough.detail == f"{count} finite gradient norms, needed are 5"


def test_all_nan_shows_nothing(training_log):
    """A log of NaN only is counted and not judged."""
    measurement = gradient_health(training_log(steps={"gradient_norm": [NAN] * 100}))

    assert measurement.quantities["nonfinite_gradients"] == 100
    assert math.isnan(measurement.quantities["exploding_steps_fraction"])
    assert not all(condition.holds for condition in measurement.validity)


def test_run_that_failed_shows_nothing(training_log):
    """The gradients of a run that was cut off are not those of the run."""
    (finished, _) = gradient_health(training_log(gradient_norm=healthy(), status="failed")).validity

    assert not finished.holds


@pytest.mark.parametrize(
    "wrong", [{"window": 0}, {"gradient_minimum": -1}, {"gradient_minimum": 2000}, {"gradient_maximum": NAN}]
)
def test_parameters_out_of_range(training_log, wrong):
    """A parameter that makes the measure meaningless is refused."""
    with pytest.raises(ValueError, match=r"window|gradient_minimum"):
        gradient_health(training_log(gradient_norm=healthy()), **wrong)


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 1e-7, 1.0, 5.0, 2000.0]), min_size=1, max_size=40), st.integers(1, 9))
def test_windows_equal_a_look_at_each(values, size):
    """Counting by cumulative sums gives what looking at each window gives."""
    windows = [values[i : i + size] for i in range(len(values) - size + 1)]

    found = count_windows(np.array(values), size, 1e-6, 1000.0)

    assert found.exploding == sum(2 * sum(v > 1000 for v in window) > size for window in windows)
    assert found.vanishing == sum(2 * sum(v < 1e-6 for v in window) > size for window in windows)
    assert found.constant == (sum(len(set(window)) == 1 for window in windows) if size > 1 else 0)


def test_a_million_steps_of_twenty_layers_take_seconds(training_log):
    """A long run with many layers is read in one pass over each, and its figures keep single spikes."""
    norms = np.exp(np.random.default_rng(1).normal(size=1_000_000))
    norms[123_456] = 5000.0
    steps = {"gradient_norm": norms, **{f"gradient_norm/{i}": norms for i in range(20)}}
    log = training_log(steps=steps)
    begin = time.process_time()

    measurement = gradient_health(log)

    assert time.process_time() - begin < 20
    assert measurement.quantities["exploding_steps_fraction"] == 1e-6
    (line,) = measurement.figures[0].series
    assert len(line.y) == 1000
    assert max(line.upper) == 5000.0
