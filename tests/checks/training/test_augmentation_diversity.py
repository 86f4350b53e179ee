"""Tests of augmentation diversity: real functions of a project, and each way in which they can be poor."""

from __future__ import annotations

import base64
import hashlib

import numpy as np
import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.training.augmentation_diversity import QUANTITIES, augmentation_diversity, contact_sheet
from pytest_mle.engine.judge import judge
from pytest_mle.errors import InputError, InputNotDeclaredError
from pytest_mle.inputs.images import decode_rgb
from pytest_mle.inputs.project import Project
from pytest_mle.spec.criteria import parse_criterion
from tests.support.memory_dataset import MemoryDataset

MODULE = """
import numpy as np

BUFFER = np.zeros((24, 32, 3), np.uint8)
GLOBAL = np.random.default_rng()


def good(image, rng):
    if rng.random() < 0.5:
        image = image[:, ::-1]
    image = np.roll(image, rng.integers(-6, 7), axis=int(rng.integers(2)))
    return (image * rng.uniform(0.6, 1.0)).astype(np.uint8)


def switched_off(image, rng):
    return image


def in_place(image, rng):
    image[:] = 255 - image
    return image


def darker(image, rng):
    image //= 2
    return image


def own_buffer(image, rng):
    BUFFER[:] = np.roll(image, rng.integers(32), axis=1)
    return BUFFER


def without_chance(image, rng):
    return image[::-1]


def blackout(image, rng):
    return image * 0 if rng.random() < 0.5 else image[:, ::-1]


def other_chance(image, rng):
    return np.roll(image, GLOBAL.integers(1, 20), axis=1)


def cropped(image, rng):
    return image[: rng.integers(8, 20), : rng.integers(8, 20)]


def half(image, rng):
    return image if rng.random() < 0.5 else image[:, ::-1]


def as_float(image, rng):
    return image / 255


def as_list(image, rng):
    return [image]


def grey(image, rng):
    return image[:, :, 0]


def raises(image, rng):
    raise RuntimeError("no kernel")
"""


def scene(seed):
    """Draw an image with structure: waves and a box."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:24, :32]
    waves = np.sin(x / rng.uniform(2, 6) + rng.uniform(0, 6)) + np.cos(y / rng.uniform(2, 6) + rng.uniform(0, 6))
    image = np.stack([100 + 40 * waves + 10 * channel for channel in range(3)], axis=2)
    image[4:12, 6:14] = rng.integers(0, 256, 3)
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture
def project(tmp_path):
    """A project with a module of augmentations, of its own name because modules stay imported."""
    name = f"augmentations_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    return Project(tmp_path)


@pytest.fixture
def measure(project):
    """Measure one function of the project."""
    (module,) = project.root.glob("*.py")

    def run(function, *, count=64, seed=0, **parameters):
        images = [scene(i) for i in range(count)]
        return augmentation_diversity(
            MemoryDataset(images, labels=[0] * count),
            project,
            np.random.default_rng(seed),
            augmentation=f"{module.stem}:{function}",
            **parameters,
        )

    return run


def values(measurement):
    """Return the values of the quantities."""
    return {name: getattr(one, "value", one) for name, one in measurement.quantities.items()}


def test_declared_as_a_check(measure):
    """The catalogue knows it, and a good augmentation gives every quantity."""
    declaration = built_in_check("augmentation_diversity")
    measurement = measure("good")

    assert [one.kind for one in declaration.inputs] == ["dataset", "project", "rng"]
    assert set(measurement.quantities) == set(QUANTITIES) == set(declaration.quantities)
    assert all(condition.holds for condition in measurement.validity)
    found = values(measurement)
    assert found["samples"] == 64
    assert found["identical_augmentations"] == 0
    assert found["repeated_augmentations"] == 0
    assert found["flat_augmentations"] == 0
    assert found["mean_phash_distance"] > 8
    assert found["mean_draw_distance"] > 8
    assert 0.05 < found["mean_pixel_difference"] < 0.5


def test_augmentation_that_is_switched_off(measure):
    """Planted: the function returns what it is given; each image is a finding."""
    measurement = measure("switched_off")

    assert values(measurement)["identical_augmentations"] == 1
    assert values(measurement)["mean_phash_distance"] == 0
    assert values(measurement)["mean_pixel_difference"] == 0
    assert measurement.findings[0].total == 64


def test_share_of_identical_images(measure):
    """An augmentation that is applied half of the time leaves about half of the images."""
    share = measure("half", count=200, n_samples=200).quantities["identical_augmentations"]

    assert 0.4 < share.value < 0.6
    assert share.bounds(0.95)[0] < 0.5 < share.bounds(0.95)[1]


@pytest.mark.parametrize("function", ["in_place", "own_buffer"])
def test_functions_that_write_into_buffers(measure, function):
    """What writes into the image, or returns one buffer again and again, is compared with copies."""
    found = values(measure(function))

    assert found["identical_augmentations"] < 0.2
    assert found["repeated_augmentations"] == (1 if function == "in_place" else pytest.approx(0, abs=0.2))
    assert found["mean_pixel_difference"] > 0.02


def test_images_of_the_data_set_stay_as_they_are(project):
    """Other checks read the same images after an augmentation that writes into them."""
    (module,) = project.root.glob("*.py")
    images = [scene(i) for i in range(20)]
    data = MemoryDataset(images, labels=[0] * 20)

    augmentation_diversity(data, project, np.random.default_rng(0), augmentation=f"{module.stem}:darker")

    assert all((image == scene(i)).all() for i, image in enumerate(images))


def test_augmentation_without_chance(measure):
    """Planted: it changes each image, and always in the same way."""
    found = values(measure("without_chance"))

    assert found["identical_augmentations"] == 0
    assert found["repeated_augmentations"] == 1
    assert found["mean_draw_distance"] == 0


def test_augmentation_that_destroys_images(measure):
    """Planted: half of the images become black."""
    assert 0.3 < values(measure("blackout"))["flat_augmentations"] < 0.7


def test_chance_from_elsewhere(measure):
    """Planted: with a generator of its own the sheet that was signed could not be drawn again."""
    measurement = measure("other_chance")

    assert [one.name for one in measurement.validity if not one.holds] == ["reproducible"]


def test_other_sizes(measure):
    """A crop changes the size and is compared all the same."""
    found = values(measure("cropped"))

    assert found["identical_augmentations"] == 0
    assert found["mean_phash_distance"] > 0


def test_contact_sheet_is_the_same_again_and_hashed(measure):
    """The same seed draws the same sheet; its digest is that of the embedded file, and another seed has another."""
    first, again, other = measure("good"), measure("good"), measure("good", seed=1)

    (figure,) = first.figures
    assert figure.kind == "image_grid"
    sheet = base64.b64decode(figure.images[0].removeprefix("data:image/jpeg;base64,"))
    assert hashlib.sha256(sheet).hexdigest() == first.settings["contact_sheet_sha256"]
    assert again.settings == first.settings
    assert other.settings["contact_sheet_sha256"] != first.settings["contact_sheet_sha256"]
    # Sixteen rows of four samples with three tiles of 64 pixels.
    assert decode_rgb(sheet).shape == (16 * 64, 4 * 3 * 64, 3)


def test_contact_sheet_shows_the_images():
    """A red original, a green and a blue augmentation stand side by side."""
    colours = [np.full((10, 20, 3), colour, np.uint8) for colour in ([255, 0, 0], [0, 255, 0], [0, 0, 255])]

    sheet = decode_rgb(contact_sheet([colours]))

    assert sheet.shape == (64, 12 * 64, 3)
    centres = sheet[32, [32, 96, 160]].astype(int)
    assert (centres.argmax(axis=1) == [0, 1, 2]).all()
    assert centres.max(axis=1).min() > 200
    assert contact_sheet([]) == b""


def test_digest_of_the_code(measure, project):
    """The result records which code was looked at."""
    (module,) = project.root.glob("*.py")

    digest = measure("good").settings["augmentation_sha256"]

    assert digest == hashlib.sha256(module.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("as_float", r"returned float64 of shape \(24, 32, 3\), expected uint8"),
        ("as_list", "returned list"),
        ("grey", r"returned uint8 of shape \(24, 32\)"),
        ("goood", r"has no function 'goood'. Did you mean 'good'\?"),
    ],
)
def test_what_is_no_augmentation(measure, function, message):
    """A function that is not there or returns no image is an error that says what is expected."""
    with pytest.raises(InputError, match=message):
        measure(function)


def test_module_that_is_not_there(project):
    """A module that is not there is an error, an augmentation that nobody named is owed."""
    data = MemoryDataset([scene(0)] * 20, labels=[0] * 20)
    with pytest.raises(InputNotDeclaredError, match="augmentation: module:function"):
        augmentation_diversity(data, project, np.random.default_rng(0))
    with pytest.raises(InputError, match="augmentation 'nowhere:flip' cannot be imported"):
        augmentation_diversity(data, project, np.random.default_rng(0), augmentation="nowhere:flip")


def test_exception_of_the_function(measure):
    """What the project's code raises reaches the report as it is."""
    with pytest.raises(RuntimeError, match="no kernel"):
        measure("raises")


@pytest.mark.parametrize("count", [0, 1, 19])
def test_few_images_show_nothing(measure, count):
    """A handful of images is too small a look; none at all gives no number."""
    measurement = measure("good", count=count)
    declared = built_in_check("augmentation_diversity").quantities
    criterion = parse_criterion("identical_augmentations <= 5 %", declared["identical_augmentations"])

    assert judge(measurement, declared, [criterion]).verdict == "INCONCLUSIVE"
    assert bool(measurement.quantities) is (count > 0)


def test_no_sample_asked_for(measure):
    """To look at nothing is refused."""
    with pytest.raises(ValueError, match="n_samples"):
        measure("good", n_samples=0)
