"""Tests of YOLO folders."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.errors import InputError, TrustError
from pytest_mle.inputs.dataset import Dataset
from pytest_mle.records.condition import conditions


@pytest.fixture
def tables(yolo):
    """Write tables of attributes; the second image has no row, one object is an ignore region."""
    (yolo / "images.csv").write_text("image,weather\nimages/0.png,rain\nimages/2.png,clear\n")
    (yolo / "objects.csv").write_text(
        "image,object,distance_m,ignore\nimages/0.png,0,12.5,0\nimages/0.png,1,60,1\nimages/1.png,0,,0\n"
    )
    return {"metadata": "data/images.csv", "objects": "data/objects.csv"}


def test_samples_and_objects_by_hand(yolo, opened):
    """Boxes are in pixels of an 80 x 40 image, and an empty label file means no object."""
    dataset = opened()

    assert isinstance(dataset, Dataset)
    assert [dataset.sample(i).id for i in range(len(dataset))] == ["images/0.png", "images/1.png", "images/2.png"]
    assert dataset.sample(1).path == yolo / "images" / "1.png"
    objects = dataset.objects(0)
    np.testing.assert_allclose(objects.boxes, [[20, 10, 60, 30], [16, 0, 24, 40]])
    assert objects.labels.tolist() == [0, 1]
    assert objects.ignore.tolist() == [False, False]
    assert objects.attributes == ({}, {})
    empty = dataset.objects(2)
    assert empty.boxes.shape == (0, 4)
    assert empty.labels.shape == (0,)
    assert empty.ignore.dtype == np.bool_
    assert dataset.image(0).shape == (40, 80, 3)
    assert dataset.indices.tolist() == [0, 1, 2]


def test_attributes_of_images_and_objects(opened, tables):
    """Rows find their image and their object; without a row there are no attributes."""
    dataset = opened(**tables)

    assert dataset.attribute_names == ("weather",)
    assert dataset.object_attribute_names == ("distance_m", "ignore")
    assert [dict(dataset.sample(i).attributes) for i in range(3)] == [{"weather": "rain"}, {}, {"weather": "clear"}]
    assert dataset.objects(0).ignore.tolist() == [False, True]
    assert dataset.objects(0).attributes[0] == {"distance_m": 12.5, "ignore": 0}
    assert dataset.objects(1).attributes[0] == {"distance_m": None, "ignore": 0}


@pytest.mark.parametrize("name", ["images/0.png", "0.png", "./images/0.png", "images\\0.png"])
def test_spellings_of_an_image_in_a_table(yolo, opened, name):
    """Paths may start at the folder or at its images, with either slash."""
    (yolo / "images.csv").write_text(f"image,weather\n{name},rain\n")

    assert opened(metadata="data/images.csv").sample(0).attributes["weather"] == "rain"


def test_extensions_case_and_depth(yolo, opened, write_image):
    """PNG, JPG in any case and sub-folders are all found."""
    write_image(yolo / "images" / "night" / "9.JPG")
    write_image(yolo / "images" / "8.bmp")

    assert [opened().sample(i).id for i in (3, 4)] == ["images/8.bmp", "images/night/9.JPG"]


@pytest.mark.parametrize("outer", ["images", "images/set.jpg"])
def test_folders_called_images(tmp_path, opened, yolo, outer):
    """A root called `images`, or a folder name with `.jpg`, does not confuse images with their labels."""
    target = tmp_path / outer
    target.mkdir(parents=True)
    yolo.rename(target / "data")

    dataset = opened(path=f"{outer}/data")

    assert len(dataset.objects(0).labels) == 2
    assert dataset.label_path(0) == target / "data" / "labels" / "0.txt"


def test_one_split_of_a_shared_folder(tmp_path, opened, yolo):
    """`images/train` has its labels in `labels/train`."""
    for kind in ("images", "labels"):
        (yolo / kind).rename(yolo / "train")
        (yolo / kind).mkdir()
        (yolo / "train").rename(yolo / kind / "train")

    dataset = opened(path="data/images/train")

    assert dataset.sample(0).id == "0.png"
    assert dataset.class_names == ("pedestrian", "cyclist")
    assert len(dataset.objects(0).labels) == 2


def test_label_files_missing_and_orphaned(yolo, opened):
    """A missing label file is an error where objects are asked for; orphans are listed."""
    (yolo / "labels" / "1.txt").unlink()
    (yolo / "labels" / "gone.txt").touch()
    dataset = opened()

    assert [dataset.has_label(i) for i in range(3)] == [True, False, True]
    assert dataset.orphan_labels() == (yolo / "labels" / "gone.txt",)
    with pytest.raises(InputError, match=r"^data/labels/1\.txt: the label file is missing"):
        dataset.objects(1)


def test_no_labels_at_all(yolo, opened):
    """Without a folder of labels every image lacks its label."""
    for file in (yolo / "labels").iterdir():
        file.unlink()
    (yolo / "labels").rmdir()
    dataset = opened()

    assert not any(dataset.has_label(i) for i in range(3))
    assert dataset.orphan_labels() == ()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (b"0 .5 .5 .5 .5\n\n0 .5 .5\n", r":3: 3 columns"),
        (b"9 .5 .5 .5 .5\n", r":1: class 9 is not in 0\.\.1"),
        (b"0 .5 .5 0 .5\n", r":1: the box has no area"),
        (b"\xff\n", r": cannot read the label file"),
    ],
)
def test_malformed_labels(yolo, opened, lines, message):
    """Errors name file and line."""
    (yolo / "labels" / "0.txt").write_bytes(lines)

    with pytest.raises(InputError, match=r"^data/labels/0\.txt" + message):
        opened().objects(0)


def test_unreadable_image_with_objects(yolo, opened):
    """Boxes of an image without size have no pixels."""
    (yolo / "images" / "0.png").write_bytes(b"")

    with pytest.raises(InputError, match=r"^data/images/0\.png: the file is empty"):
        opened().objects(0)


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("metadata", "image,a\nimages/7.png,1\n", r"images\.csv:2: there is no image 'images/7\.png'.*Did you mean"),
        ("metadata", "image,a\n0.png,1\nimages/0.png,2\n", r"images\.csv:3: a second row for images/0\.png"),
        ("objects", "image,object\n0.png,first\n", r"objects\.csv:2: 'object' must be a number from 0, got 'first'"),
        ("objects", "image,object\n0.png,-1\n", r"objects\.csv:2: 'object' must be a number from 0"),
        ("objects", "image,object\n0.png,0\n0.png,0\n", r"objects\.csv:3: a second row for object 0"),
        ("objects", "image,a\n0.png,0\n", r"objects\.csv:1: no column 'object'"),
    ],
)
def test_tables_that_do_not_fit(yolo, opened, option, text, message):
    """Rows that name nothing, or one thing twice, are errors with their line when the data set is opened."""
    name = {"metadata": "images.csv", "objects": "objects.csv"}[option]
    (yolo / name).write_text(text)

    with pytest.raises(InputError, match=f"^data/{message}"):
        opened(**{option: f"data/{name}"})


@pytest.mark.parametrize(
    ("row", "message"),
    [("0.png,2,0", "has 2 objects, there is no object 2"), ("0.png,1,maybe", "'ignore' must be 0 or 1, got 'maybe'")],
)
def test_object_rows_that_do_not_fit_the_labels(yolo, opened, row, message):
    """What only the label file can show is an error with the table's line when objects are read."""
    (yolo / "objects.csv").write_text(f"image,object,ignore\n{row}\n")

    with pytest.raises(InputError, match=rf"^data/objects\.csv:2: .*{message}"):
        opened(objects="data/objects.csv").objects(0)


def test_object_slice_makes_ignore_regions(opened, tables):
    """Objects outside the slice, and those whose attribute is missing, are ignored; none disappears."""
    near = opened(**tables).select(conditions({"distance_m": {"lt": 50}}))

    assert len(near) == 3
    assert near.objects(0).ignore.tolist() == [False, True]
    assert near.objects(1).ignore.tolist() == [True]
    assert len(near.objects(0).boxes) == 2
    assert opened(**tables).objects(1).ignore.tolist() == [False]


def test_ignore_regions_stay_inside_a_slice(opened, tables):
    """An object that the table ignores is not brought back by a slice it belongs to."""
    far = opened(**tables).select(conditions({"distance_m": {"ge": 10}}))

    assert far.objects(0).ignore.tolist() == [False, True]


@pytest.mark.parametrize(
    ("where", "ignore"),
    [({"box_height_px": {"lt": 30}}, [False, True]), ({"box_area_px": {"lt": 400}}, [True, False])],
)
def test_slice_by_box_size(yolo, opened, where, ignore):
    """The boxes of the first image are 40 x 20 and 8 x 40 pixels."""
    assert opened().select(conditions(where)).objects(0).ignore.tolist() == ignore


def test_image_and_object_conditions_together(opened, tables):
    """Images are filtered, objects ignored, and a slice of a slice keeps both."""
    dataset = opened(**tables)
    both = dataset.select(conditions({"weather": "rain", "distance_m": {"lt": 10}}))
    nested = dataset.select(conditions({"weather": "rain"})).select(conditions({"distance_m": {"lt": 10}}))

    for part in (both, nested):
        assert part.indices.tolist() == [0]
        assert part.sample(0).id == "images/0.png"
        assert part.objects(0).ignore.tolist() == [True, True]


def test_link_to_labels_elsewhere_is_refused(tmp_path, yolo, opened):
    """A link out of the spec's folder needs the invoker's grant."""
    elsewhere = tmp_path.parent / f"{tmp_path.name}_elsewhere"
    (yolo / "labels").rename(elsewhere)
    (yolo / "labels").symlink_to(elsewhere)

    with pytest.raises(TrustError, match=r"^spec\.yaml:9: .*--mle-data-root="):
        opened()
    assert len(opened(allowed_roots=[elsewhere]).objects(0).labels) == 2


def test_label_of_an_image_is_refused(yolo, opened):
    """A detection data set has no class of a whole image."""
    with pytest.raises(InputError, match="it is for detection"):
        opened().label(0)


def test_digest_covers_labels_and_tables(yolo, opened, tables):
    """A changed label, table or class changes the digest; a touched file does not."""
    before = opened(**tables).digest
    (yolo / "labels" / "1.txt").touch()
    assert opened(**tables).digest == before

    digests = {before, opened(**tables, classes=["a", "b"]).digest}
    (yolo / "labels" / "1.txt").write_text("1 0.5 0.5 0.2 0.3\n")
    digests.add(opened(**tables).digest)
    (yolo / "labels" / "2.txt").unlink()
    digests.add(opened(**tables).digest)
    (yolo / "objects.csv").write_text("image,object\n")
    digests.add(opened(**tables).digest)

    assert len(digests) == 5
