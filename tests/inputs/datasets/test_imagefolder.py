"""Tests of classification folders."""

from __future__ import annotations

import pytest

from pytest_mle.errors import InputError
from pytest_mle.inputs.dataset import Dataset
from pytest_mle.records.condition import conditions


@pytest.fixture
def crops(tmp_path, write_image):
    """Write two classes with three images, one of them deeper."""
    folder = tmp_path / "crops"
    write_image(folder / "pedestrian" / "1.png", 1)
    write_image(folder / "pedestrian" / "night" / "2.jpg", 2)
    write_image(folder / "background" / "3.png", 3)
    return folder


@pytest.fixture
def open_crops(crops, opened):
    """Open the folder."""
    return lambda **options: opened(path="crops", format="imagefolder", **options)


def test_labels_by_sorted_folders(open_crops):
    """Without other word, classes are numbered in the order of their names."""
    dataset = open_crops()

    assert isinstance(dataset, Dataset)
    assert dataset.class_names == ("background", "pedestrian")
    assert [(dataset.sample(i).id, dataset.label(i)) for i in range(3)] == [
        ("background/3.png", 0),
        ("pedestrian/1.png", 1),
        ("pedestrian/night/2.jpg", 1),
    ]


def test_class_without_images_keeps_its_number(crops, open_crops):
    """An empty folder is a class: else all classes after it would be numbered differently than in training."""
    (crops / "cyclist").mkdir()

    dataset = open_crops()

    assert dataset.class_names == ("background", "cyclist", "pedestrian")
    assert dataset.label(1) == 2


def test_declared_order_of_classes(open_crops):
    """The order in the spec wins over that of the names."""
    dataset = open_crops(classes=["pedestrian", "background"])

    assert [dataset.label(i) for i in range(3)] == [1, 0, 0]


def test_folder_that_is_no_class(open_crops):
    """A folder that the classes do not name is an error with the closest name."""
    with pytest.raises(InputError, match=r"the folder 'pedestrian' is no class. Did you mean 'pedestrians'\?"):
        open_crops(classes=["pedestrians", "background"])


def test_image_outside_every_class(crops, open_crops, write_image):
    """An image beside the class folders has no label."""
    write_image(crops / "stray.png")

    with pytest.raises(InputError, match=r"^crops/stray\.png: the image lies outside every class folder"):
        open_crops()


def test_empty_folder(tmp_path, opened):
    """No image is an error."""
    (tmp_path / "crops" / "pedestrian").mkdir(parents=True)

    with pytest.raises(InputError, match="no image in"):
        opened(path="crops", format="imagefolder")


def test_slice_keeps_labels(crops, open_crops):
    """Labels follow their samples into a slice."""
    (crops / "images.csv").write_text("image,weather\npedestrian/1.png,rain\nbackground/3.png,clear\n")

    rain = open_crops(metadata="crops/images.csv").select(conditions({"weather": "rain"}))

    assert [rain.label(i) for i in range(len(rain))] == [1]


def test_objects_are_refused(open_crops):
    """A classification data set has no boxes, and no option for their attributes."""
    with pytest.raises(InputError, match="it is for classification"):
        open_crops().objects(0)
    with pytest.raises(InputError, match="unknown option 'objects'"):
        open_crops(objects="x.csv")


def test_moved_image_changes_the_digest(crops, open_crops):
    """The folder is the label, so it belongs to the digest."""
    before = open_crops().digest
    (crops / "pedestrian" / "1.png").rename(crops / "background" / "1.png")

    assert open_crops().digest != before
