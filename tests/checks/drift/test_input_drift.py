"""Drift of images is found where there is some, shown to be absent where there is none, and never green without data."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pytest_mle.checks.declaration import declaration_of
from pytest_mle.checks.drift.features import SCALAR_FEATURES
from pytest_mle.checks.drift.input_drift import _Compared, _compared, input_drift
from pytest_mle.checks.drift.two_sample import TwoSampleResult, ks_bounds
from pytest_mle.engine.judge import judge
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.datasets import open_dataset
from pytest_mle.spec.criteria import parse_criterion
from tests.support.memory_dataset import MemoryDataset

DECLARED = declaration_of(input_drift).quantities
NOTHING_DRIFTED = "features_drifted == 0"
SMALL_EFFECT = "max_ks_distance <= 0.2 at 95 % confidence"


def rng(seed=0):
    """Return a generator."""
    return np.random.default_rng(seed)


def scene(random, light=None, noise=8.0):
    """Return a street: bright sky, dark road, some boxes on it, as light as the day is."""
    light = random.normal(0, 18) if light is None else light
    rows = np.linspace(200, 60, 36)[:, None, None] + light
    image = np.broadcast_to(rows, (36, 48, 3)).copy()
    for _ in range(3):
        x, y = random.integers(0, 40), random.integers(16, 28)
        image[y : y + 8, x : x + 8] += random.normal(0, 40, 3)
    return np.clip(image + random.normal(0, noise, image.shape), 0, 255).astype(np.uint8)


def scenes(count, seed, change=lambda image: image, **options):
    """Return so many independent scenes."""
    random = rng(seed)
    return MemoryDataset([change(scene(random, **options)) for _ in range(count)], boxes=[], name=f"scenes {seed}")


def drives(count, frames, seed, light=18.0, name=str):
    """Return drives whose frames have nearly the same light."""
    random = rng(seed)
    lights = random.normal(0, light, count).repeat(frames) + random.normal(0, 1, count * frames)
    sequences = [name(number) for number in range(count) for _ in range(frames)]
    return MemoryDataset([scene(random, each) for each in lights], boxes=[], sequences=sequences)


def verdict(measured, *criteria):
    """Return how criteria judge it."""
    return judge(
        measured, DECLARED, [parse_criterion(text, DECLARED[text.split()[0]]) for text in criteria]
    ).verdict.name


def value(measured, name):
    """Return a point value."""
    found = measured.quantities[name]
    return getattr(found, "value", found)


def drifted(measured):
    """Return the names of the features that drifted, the worst first."""
    return [finding.subject for findings in measured.findings for finding in findings.shown]


def broken(measured):
    """Return the names of the validity conditions that do not hold."""
    return [condition.name for condition in measured.validity if not condition.holds]


@pytest.fixture(scope="module")
def reference():
    """Return 500 scenes."""
    return scenes(500, 1)


def test_the_same_distribution_is_shown_not_to_have_drifted(reference):
    """500 scenes a side pass by the point value and by the upper bound, and everything declared is measured."""
    measured = input_drift(reference, scenes(500, 2), rng())
    assert broken(measured) == []
    assert verdict(measured, NOTHING_DRIFTED, SMALL_EFFECT, "mmd_p_value >= 0.05") == "PASS"
    assert set(measured.quantities) == set(DECLARED)
    assert value(measured, "current_images") == 500
    lower, upper = measured.quantities["max_ks_distance"].bounds(0.95)
    assert lower == 0
    assert value(measured, "max_ks_distance") < upper
    assert measured.figures[0].labels == (*SCALAR_FEATURES, "layout_0_1", "layout_1_0")
    assert measured.figures[0].labels == tuple(measured.settings["tested_one_by_one"])
    assert len(measured.figures[0].series[0].y) == len(measured.figures[0].labels)


def test_few_images_show_no_absence_of_drift(reference):
    """With 120 images nothing is found, and the upper bound says that this shows nothing (trap G2)."""
    measured = input_drift(reference, scenes(120, 3), rng())
    assert verdict(measured, NOTHING_DRIFTED) == "PASS"
    assert verdict(measured, SMALL_EFFECT) == "INCONCLUSIVE"


@pytest.mark.parametrize(("count", "sides"), [(0, 1), (1, 1), (8, 1), (99, 1), (0, 2)])
def test_too_few_images_are_inconclusive(reference, count, sides):
    """Empty or tiny production data, which have no drift for a p-value, give no verdict (traps G2, G3)."""
    few = scenes(count, 3)
    measured = input_drift(reference if sides == 1 else scenes(0, 1), few, rng())
    assert broken(measured) == ["enough_images"]
    assert value(measured, "current_images") == count
    assert verdict(measured, "nonfinite_features == 0", "current_images >= 0") == "INCONCLUSIVE"
    assert verdict(measured, NOTHING_DRIFTED) == "INCONCLUSIVE"
    swapped = input_drift(few, reference, rng())
    assert broken(swapped) == ["enough_images"]


def test_ten_grey_levels_are_found(reference):
    """Darker images drift in what measures light, and by a shown distance."""
    darker = scenes(300, 4, lambda image: np.clip(image.astype(int) - 20, 0, 255).astype(np.uint8))
    measured = input_drift(reference, darker, rng())
    assert {"brightness", "red_mean", "green_mean", "blue_mean"} <= set(drifted(measured))
    assert value(measured, "features_drifted") == len(drifted(measured))
    assert measured.quantities["max_ks_distance"].bounds(0.95)[0] > 0.1
    assert value(measured, "mmd_p_value") < 0.05
    assert value(measured, "min_adjusted_p_value") < 1e-6
    assert verdict(measured, NOTHING_DRIFTED) == "FAIL"


def test_images_upside_down_are_found(reference):
    """Equal mean, colour and edges, but the sky is below (trap G1)."""
    measured = input_drift(reference, scenes(300, 4, lambda image: image[::-1].copy()), rng())
    assert drifted(measured) == ["layout_1_0"]
    assert value(measured, "max_ks_distance") > 0.95
    assert value(measured, "mmd_p_value") < 0.05
    assert verdict(measured, NOTHING_DRIFTED) == "FAIL"


def test_another_scene_of_equal_light_is_found_by_all_features_together(reference):
    """Boxes that stand elsewhere change no mean; the maximum mean discrepancy sees them (trap G1)."""

    def moved(image):
        # A bright bar in the upper left and a dark one below it: no light more or less, from no other side.
        image = image.astype(int)
        image[4:8, 8:40] += 30
        image[10:14, 8:40] -= 30
        return np.clip(image, 0, 255).astype(np.uint8)

    measured = input_drift(reference, scenes(300, 4, moved), rng())
    assert value(measured, "mmd_p_value") < 0.05
    assert measured.quantities["mmd_squared"].bounds(0.95)[0] > 0


def test_a_tiny_shift_in_many_images_is_no_drift():
    """A shift of half a grey level or so is significant in 6000 images, and too small to matter (trap G2)."""
    random = rng(1)

    def flat(count, shift):
        levels = random.normal(120 + shift, 20, count)
        return MemoryDataset(
            [np.clip(random.normal(level, 3, (8, 8, 3)), 0, 255).astype(np.uint8) for level in levels], boxes=[]
        )

    measured = input_drift(flat(6000, 0), flat(6000, 1.6), rng(), maximum_images=200)
    assert value(measured, "min_adjusted_p_value") < 0.05
    assert 0.02 < value(measured, "max_ks_distance") < 0.1
    assert verdict(measured, NOTHING_DRIFTED, SMALL_EFFECT) == "PASS"


@pytest.mark.parametrize("name", [int, str, lambda number: f"drive {number}"], ids=["int", "str", "name"])
def test_frames_of_drives_raise_no_false_alarm(name):
    """Thirty drives a side differ by chance; frame by frame that looks like drift, drive by drive it does not (G4)."""
    first, second = drives(30, 8, 1, name=name), drives(30, 8, 6, name=name)
    measured = input_drift(first, second, rng())
    assert broken(measured) == []
    assert drifted(measured) == []
    assert value(measured, "mmd_p_value") > 0.05
    assert "30+30 units" in measured.quantities["max_ks_distance"].method
    assert "30+30 units" in measured.quantities["mmd_squared"].method
    alone = [MemoryDataset(each._images, boxes=[]) for each in (first, second)]
    independent = input_drift(*alone, rng())
    assert "brightness" in drifted(independent)


def test_drift_of_drives_is_found():
    """Drives into the dusk drift although their frames resemble each other."""
    dusk = drives(40, 4, 6)
    dusk._images = [np.clip(image.astype(int) - 40, 0, 255).astype(np.uint8) for image in dusk._images]
    measured = input_drift(drives(40, 4, 1), dusk, rng())
    assert "brightness" in drifted(measured)
    assert measured.quantities["max_ks_distance"].bounds(0.95)[0] > 0.2
    assert verdict(measured, NOTHING_DRIFTED) == "FAIL"


def test_one_side_with_sequences_is_enough_to_compare_by_sequence(reference):
    """Single images against drives are compared as one unit each."""
    measured = input_drift(reference, drives(30, 8, 2), rng())
    assert "500+30 units" in measured.quantities["max_ks_distance"].method


def test_few_drives_are_not_measurable(reference):
    """Nine drives of many frames are too few to resample."""
    with pytest.raises(NotMeasurableError, match="come from 9 sequences; at least 10"):
        input_drift(reference, drives(9, 20, 2), rng())


def test_bounds_of_the_largest_distance_of_images_by_formula(reference):
    """The upper one is that of its own feature; the lower one is corrected for 13 features."""
    darker = scenes(300, 4, lambda image: np.clip(image.astype(int) - 20, 0, 255).astype(np.uint8))
    quantity = input_drift(reference, darker, rng()).quantities["max_ks_distance"]
    lower, upper = quantity.bounds(0.95)
    assert lower == pytest.approx(ks_bounds(quantity.value, 500, 300, 1 - 0.05 / 13)[0])
    assert upper == pytest.approx(ks_bounds(quantity.value, 500, 300, 0.95)[1])


def test_lower_bound_of_drives_takes_the_largest_deviation_of_each_resample():
    """Two features that deviate in turns reach as far as the larger deviation of each resample."""
    even = np.tile([0.3, 0.1], 1000)
    common = {"p_value": 0.5, "n_reference": 500, "n_current": 500, "groups_reference": 200, "groups_current": 200}
    results = tuple(
        TwoSampleResult(effect=effect, resamples=even + 0.2, deviations=deviations, **common)
        for effect, deviations in ((0.7, even * 0.1), (0.6, 0.4 - even))
    )
    lower, upper = _Compared(("a", "b"), results, np.array([0.5, 0.5])).largest().bounds(0.8)
    assert lower == pytest.approx(0.7 - 0.3)
    assert upper == pytest.approx(0.7)


def test_resamples_are_the_same_sequences_for_every_feature():
    """Features that are one and the same have the same resamples, so that they deviate together."""
    values = rng().normal(size=(200, 1)).repeat(13, axis=1)
    groups = np.arange(200) // 10
    found = _compared(("same",) * 13, values, values[::-1] + 0.1, (groups, groups), rng(), 300, 1000)
    first, *others = found.results
    assert all(np.array_equal(one.deviations, first.deviations) for one in others)
    assert np.ptp(first.deviations) > 0


@pytest.mark.parametrize("grouped", [False, True], ids=["images", "drives"])
def test_bounds_of_the_largest_distance_cover_the_truth(grouped):
    """Without drift the lower bound is 0 in at least 95 % of repetitions (less their noise), and below the value."""
    above = 0
    for seed in range(20):
        pair = [
            drives(20, 5, 100 + 2 * seed + side) if grouped else scenes(100, 100 + 2 * seed + side) for side in (0, 1)
        ]
        quantity = input_drift(*pair, rng(seed), permutations=300).quantities["max_ks_distance"]
        lower, upper = quantity.bounds(0.95)
        assert lower <= quantity.value <= upper <= 1
        above += lower > 0
    assert above <= 3


def test_a_higher_confidence_gives_wider_bounds_until_the_resamples_end():
    """99 % is wider than 95 %; what 1000 resamples cannot tell has no finite bound, and so no verdict."""
    quantity = input_drift(drives(30, 5, 1), drives(30, 5, 2), rng()).quantities["max_ks_distance"]
    low, high = quantity.bounds(0.95), quantity.bounds(0.99)
    assert high[0] <= low[0]
    assert high[1] > low[1]
    assert quantity.bounds(0.9999)[1] == np.inf


def test_same_seed_same_result(reference):
    """Values, p-values and bounds are those of the seed."""
    first, second = drives(20, 6, 1), drives(20, 6, 2)
    one, two = (input_drift(first, second, rng(3)).quantities for _ in range(2))
    for name in DECLARED:
        assert getattr(one[name], "value", one[name]) == getattr(two[name], "value", two[name])
    for name in ("max_ks_distance", "mmd_squared"):
        assert one[name].bounds(0.95) == two[name].bounds(0.95)


def test_the_order_of_images_does_not_matter(reference):
    """Shuffled images have the same distances, and next to the same permutation p-value."""
    current = scenes(200, 4)
    shuffled = MemoryDataset(current._images, boxes=[], indices=rng(1).permutation(200))
    one, two = (input_drift(reference, each, rng()) for each in (current, shuffled))
    for name in ("features_drifted", "max_ks_distance", "min_adjusted_p_value"):
        assert value(one, name) == value(two, name)
    assert one.quantities["max_ks_distance"].bounds(0.95) == two.quantities["max_ks_distance"].bounds(0.95)
    assert value(one, "mmd_squared") == pytest.approx(value(two, "mmd_squared"), abs=1e-12)
    assert value(one, "mmd_p_value") == pytest.approx(value(two, "mmd_p_value"), abs=0.06)


def test_the_reference_is_not_compared_with_itself(reference):
    """Both parameters bound to one data set would be the best agreement there is."""
    measured = input_drift(reference, reference, rng())
    assert broken(measured) == ["data_are_different"]
    assert verdict(measured, "nonfinite_features == 0") == "INCONCLUSIVE"
    assert "500 of 500 current images are in the reference" in measured.validity[-1].detail


def test_images_of_the_reference_among_the_current_ones_hide_drift(reference):
    """A tenth of them is taken, a fifth is not."""
    new = scenes(200, 4)._images
    for count, expected in ((20, []), (40, ["data_are_different"])):
        mixed = MemoryDataset(reference._images[:count] + new[: 200 - count], boxes=[])
        assert broken(input_drift(reference, mixed, rng())) == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"significance": 0}, "significance must lie between 0 and 1"),
        ({"minimum_effect": 1}, "minimum_effect is a distance D"),
        ({"minimum_effect": float("nan")}, "minimum_effect is a distance D"),
        ({"permutations": 100}, "100 permutations cannot make one of 13 features significant at 0.05. Take at least"),
        ({"significance": 0.01}, "500 permutations cannot make"),
        ({"resamples": 100}, "resamples must be at least 1000"),
        ({"maximum_images": 50}, "maximum_images must be at least 100, got 50"),
        ({"layout_dimension": 1}, r"layout_dimension must lie in 2\.\.1023"),
    ],
)
def test_parameters_that_let_no_drift_be_seen_are_refused(reference, parameters, message):
    """With them every production data set would be green."""
    with pytest.raises(InputError, match=message):
        input_drift(reference, reference, rng(), **parameters)


def test_the_permutations_that_the_error_asks_for_are_enough(reference):
    """261 permutations can make one of 13 features significant."""
    assert broken(input_drift(reference, scenes(120, 3), rng(), permutations=261)) == []


def test_an_image_that_cannot_be_described_is_named(reference):
    """An image of four pixels is an error with its name."""
    small = MemoryDataset([np.zeros((4, 4, 3), np.uint8)], boxes=[], name="production")
    with pytest.raises(
        InputError, match=r"data set 'production', image 'images/0000\.png': the image must be at least 8"
    ):
        input_drift(reference, small, rng())


def test_features_that_are_constant_in_the_reference(reference):
    """Grey cameras have no colour; a coloured image among the current ones is drift, grey ones are none."""

    def grey(image):
        return np.repeat(image[:, :, :1], 3, axis=2)

    cameras = scenes(300, 1, grey), scenes(300, 2, grey), scenes(300, 3)
    assert drifted(input_drift(cameras[0], cameras[1], rng())) == []
    assert drifted(input_drift(cameras[0], cameras[2], rng()))[0] == "saturation"


def test_progress_counts_both_sides(reference):
    """The listener hears of each image of both data sets."""
    heard = []
    input_drift(reference, scenes(100, 2), rng(), lambda done, total: heard.append((done, total)))
    assert heard[0] == (1, 600)
    assert heard[499:501] == [(500, 600), (501, 600)]
    assert heard[-1] == (600, 600)


def test_folders_with_sequences_in_a_table(tmp_path):
    """Image files with a table of sequences, some of them unknown, are compared by sequence."""
    for side, seed in (("reference", 1), ("current", 2)):
        images = drives(12, 9, seed)
        lines = ["image,sequence"]
        for index in range(len(images)):
            path = tmp_path / side / "images" / f"{index:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), images.image(index)[:, :, ::-1])
            # A number here and a name there, as tables have them; the last ones belong to nothing.
            sequence = "" if index > 100 else (index // 9 if side == "reference" else f"drive {index // 9}")
            lines.append(f"images/{path.name},{sequence}")
        (tmp_path / side / "labels").mkdir()
        (tmp_path / side / "data.yaml").write_text("names: [car]\n")
        (tmp_path / f"{side}.csv").write_text("\n".join(lines))
    opened = [
        open_dataset(side, {"path": side, "format": "yolo", "metadata": f"{side}.csv"}, tmp_path)
        for side in ("reference", "current")
    ]
    measured = input_drift(*opened, rng())
    assert broken(measured) == []
    assert "19+19 units" in measured.quantities["max_ks_distance"].method
    assert drifted(measured) == []
