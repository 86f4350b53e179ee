"""Tests of what folder formats share when they are opened."""

from __future__ import annotations

import pytest

from pytest_mle.errors import InputError


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("names: [a, b]\n", ("a", "b")),
        ("names:\n  1: b\n  0: a\n", ("a", "b")),
        ("nc: 2\nnames: [no, 1e3]\n", ("no", "1e3")),
    ],
)
def test_class_names(yolo, opened, content, names):
    """A list or a mapping, and YAML's words for booleans and numbers stay names."""
    (yolo / "data.yaml").write_text(content)

    assert opened().class_names == names


def test_class_names_of_the_folder_above(yolo, opened):
    """Splits often share the data.yaml of their parent."""
    (yolo / "data.yaml").rename(yolo.parent / "data.yaml")

    assert opened().class_names == ("pedestrian", "cyclist")


def test_class_names_above_the_spec_are_not_read(tmp_path, yolo, opened):
    """A data.yaml outside the folders that may be read is as good as absent."""
    (yolo / "data.yaml").rename(tmp_path.parent / "data.yaml")

    with pytest.raises(InputError, match="the classes are not known"):
        opened()
    (tmp_path.parent / "data.yaml").unlink()


def test_option_overrides_class_names(yolo, opened):
    """Classes in the spec win."""
    assert opened(classes=["person", "bike"]).class_names == ("person", "bike")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("names: {0: a, 2: b}\n", "mapping from 0, 1, 2"),
        ("names: []\n", "must be a list"),
        ("names: pedestrian\n", "must be a list"),
        ("names: [[a]]\n", "must be a list"),
        ("nc: 3\nnames: [a]\n", "'nc' says 3 classes, but 'names' has 1"),
        ("names: [a\n", "not valid YAML"),
        ("names: [a, a]\n", "two classes have the same name"),
        ("path: .\n", "the classes are not known"),
        ("", "the classes are not known"),
        ("x" * (1 << 20) + "x", "larger than"),
    ],
)
def test_bad_class_names(yolo, opened, content, message):
    """What is no list of names is an error."""
    (yolo / "data.yaml").write_text(content)

    with pytest.raises(InputError, match=message):
        opened()


def test_unreadable_class_names(yolo, opened):
    """A data.yaml that is no text is an error that names it."""
    (yolo / "data.yaml").write_bytes(b"names: [\xff]")

    with pytest.raises(InputError, match=r"^data/data\.yaml: cannot read the class names"):
        opened()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metdata": "x"}, r"^spec\.yaml:9: data set test: unknown option 'metdata'. Did you mean 'metadata'\?"),
        ({"path": "dat"}, "dat does not exist"),
        ({"path": "data/data.yaml"}, "is not a folder"),
        ({"path": 3}, "'path' must name its folder"),
        ({"metadata": "images.csv"}, "images.csv does not exist"),
        ({"metadata": 7}, "'metadata' must name a file"),
        ({"classes": "pedestrian"}, "'classes' must be a list of names"),
        ({"classes": []}, "'classes' must be a list of names"),
        ({"extensions": [1]}, "'extensions' must be a list of names"),
        ({"extensions": ["gif"]}, r"no image in .*looked for \.gif"),
        ({"sequence": "drive"}, "'sequence' names no attribute of images: 'drive'"),
        ({"format": "yollo"}, "unknown format 'yollo'. Did you mean 'yolo'"),
        ({"format": None}, "no format. Allowed: imagefolder, yolo"),
    ],
)
def test_bad_options(yolo, opened, options, message):
    """Each wrong option is blamed on the line of the spec that declares the data set."""
    with pytest.raises(InputError, match=message) as raised:
        opened(**options)

    assert str(raised.value).startswith("spec.yaml:9: data set test: ")


def test_table_beside_the_data_is_pointed_to(yolo, opened):
    """Who writes a path relative to the data set is told the right one."""
    (yolo / "images.csv").write_text("image\n")

    with pytest.raises(InputError, match=r"Paths start at the spec's folder: write data/images\.csv"):
        opened(metadata="images.csv")
