"""Tests of the data set's integrity: every trap of the handbook's script, planted."""

from __future__ import annotations

import hashlib
import math
import random
import shutil

import cv2
import numpy as np
import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.data.dataset_integrity import QUANTITIES, dataset_integrity
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.dataset import Objects, Sample
from pytest_mle.records.condition import conditions
from pytest_mle.records.quantity import Exact

CLEAN = {
    "images_checked": 6,
    "objects": 6,
    "background_images": 0,
    **dict.fromkeys(
        [
            *("corrupt_images", "corrupt_share", "zero_byte_images", "wrong_extensions", "undersized_images"),
            *("flat_images", "missing_labels", "missing_label_share", "orphan_labels", "annotation_errors"),
            *("annotation_error_share", "unparsable_label_lines", "exact_duplicates", "exact_duplicate_share"),
            "near_duplicate_pairs",
        ],
        0,
    ),
}
OPTIONAL = {
    "count_mismatch": "the item's `with:` gives no expected_images",
    "checksum_mismatches": "the metadata has no column sha256",
    "object_count_mismatches": "the metadata has no column object_count",
}


def measured(measurement):
    """Return what was measured, without the quantities that nobody asked for."""
    return {name: value for name, value in measurement.quantities.items() if not isinstance(value, Exact)}


def unmeasured(measurement):
    """Return what nobody asked for: not a number, with the reason."""
    why = {name: value for name, value in measurement.quantities.items() if isinstance(value, Exact)}
    assert all(math.isnan(value.value) for value in why.values())
    return {name: value.method for name, value in why.items()}


def changed(measurement):
    """Return what differs from a clean corpus, without shares."""
    shares = {"corrupt_share", "missing_label_share", "exact_duplicate_share", "annotation_error_share"}
    found = measured(measurement)
    return {name: value for name, value in found.items() if value != CLEAN.get(name) and name not in shares}


def shown(measurement, kind):
    """Return the findings of a kind as text."""
    return [str(finding) for findings in measurement.findings if findings.kind == kind for finding in findings.shown]


def test_clean_corpus_has_no_defect(corpus, opened):
    """A clean corpus gives zeros, no finding and all declared quantities."""
    measurement = dataset_integrity(opened())

    assert measured(measurement) == CLEAN
    assert measurement.findings == ()
    assert set(measurement.quantities) == set(QUANTITIES)
    assert unmeasured(measurement) == OPTIONAL
    assert all(condition.holds for condition in measurement.validity)


def test_declared_as_a_check():
    """The catalogue knows it, its only needed input is a data set, and each quantity has a unit and a description."""
    declaration = built_in_check("dataset_integrity")

    assert [(i.kind, i.is_optional) for i in declaration.inputs] == [("dataset", False), ("progress", True)]
    assert "near_duplicate_distance" in declaration.parameter_names
    assert all(quantity.kind == "exact" and quantity.description for quantity in declaration.quantities.values())


def test_a1_empty_folder_is_no_pass(tmp_path, opened):
    """A1: no images, no data set; and an empty data set of another format is not measurable."""
    (tmp_path / "data" / "images").mkdir(parents=True)
    with pytest.raises(InputError, match="no image"):
        opened()

    class Empty:
        name = "empty"
        task = "detection"

        def __len__(self):
            return 0

    with pytest.raises(NotMeasurableError, match="no image"):
        dataset_integrity(Empty())


def test_a2_other_formats_and_folders_are_looked_at(corpus, opened, scene, encoded):
    """A2: PNG, upper case and sub-folders count, and garbage among them is found."""
    (corpus / "images" / "night").mkdir()
    (corpus / "images" / "night" / "a.PNG").write_bytes(encoded(scene(50), ".png"))
    (corpus / "images" / "garbage.png").write_bytes(b"not an image")

    measurement = dataset_integrity(opened(), expected_images=6)

    assert changed(measurement) == {
        "images_checked": 8,
        "corrupt_images": 1,
        "missing_labels": 2,
        "count_mismatch": 2,
    }
    assert shown(measurement, "corrupt_images") == [
        "data/images/garbage.png: this is no JPEG, PNG, BMP, WebP or TIFF file"
    ]
    assert shown(measurement, "missing_labels") == [
        "data/labels/garbage.txt: missing",
        "data/labels/night/a.txt: missing",
    ]


def test_a3_truncated_jpeg_is_corrupt(corpus, opened):
    """A3: a file cut to one third decodes to a full-size array in OpenCV, and is corrupt all the same."""
    path = corpus / "images" / "2.jpg"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    assert cv2.imread(str(path)).shape == (120, 160, 3)

    measurement = dataset_integrity(opened())

    assert changed(measurement) == {"corrupt_images": 1}
    assert measurement.quantities["corrupt_share"] == pytest.approx(1 / 6)
    assert shown(measurement, "corrupt_images")[0].startswith("data/images/2.jpg: the JPEG file is truncated")


def test_a4_empty_files_do_not_stop_later_stages(corpus, opened):
    """A4: files without bytes are corrupt, take no part in the search for duplicates, and the rest is scanned."""
    for name in ("1.jpg", "2.jpg"):
        (corpus / "images" / name).write_bytes(b"")
    shutil.copy(corpus / "images" / "4.jpg", corpus / "images" / "5.jpg")

    assert changed(dataset_integrity(opened())) == {"corrupt_images": 2, "zero_byte_images": 2, "exact_duplicates": 1}


@pytest.mark.parametrize("outer", ["images", "images/set.jpg"])
def test_a5_folder_names_do_not_confuse_labels(tmp_path, corpus, opened, outer):
    """A5: a root called `images` and `.jpg` in a folder's name give no missing labels."""
    target = tmp_path / outer
    target.mkdir(parents=True)
    corpus.rename(target / "data")

    assert changed(dataset_integrity(opened(path=f"{outer}/data"))) == {}


def test_a6_background_orphans_and_counts(corpus, opened):
    """A6: empty label files are counted as backgrounds, orphans listed, and the manifest tells what was forgotten."""
    (corpus / "labels" / "0.txt").write_text("")
    (corpus / "labels" / "1.txt").write_text("")
    (corpus / "labels" / "2.txt").unlink()
    (corpus / "labels" / "gone.txt").write_text("0 .5 .5 .1 .1\n")
    (corpus / "images.csv").write_text("image,object_count\n0.jpg,0\n1.jpg,1\n2.jpg,0\n3.jpg,1\n4.jpg,1\n5.jpg,\n")

    measurement = dataset_integrity(opened(metadata="data/images.csv"))

    assert changed(measurement) == {
        "objects": 3,
        "background_images": 2,
        "missing_labels": 1,
        "orphan_labels": 1,
        "object_count_mismatches": 2,
    }
    assert shown(measurement, "orphan_labels") == ["data/labels/gone.txt: no image has this label"]
    assert shown(measurement, "object_count_mismatches") == [
        "data/images/1.jpg: 0 labelled objects, the metadata says 1",
        "data/images/5.jpg: 1 labelled objects, the metadata says nothing",
    ]


def test_a7_near_duplicates_and_flat_images(corpus, opened, scene, encoded):
    """A7: a re-encoded copy is found though its bytes and hash differ; flat frames do not collide."""
    (corpus / "images" / "1.jpg").write_bytes(encoded(scene(0), quality=30))
    for name, level in (("2.jpg", 255), ("3.jpg", 3)):
        (corpus / "images" / name).write_bytes(encoded(np.full((120, 160, 3), level, np.uint8)))

    measurement = dataset_integrity(opened())

    assert changed(measurement) == {"near_duplicate_pairs": 1, "flat_images": 2}
    assert shown(measurement, "near_duplicate_pairs")[0].startswith("data/images/1.jpg: looks like images/0.jpg")


def test_a7_mirrored_copy(corpus, opened, scene, encoded):
    """A7: a flipped copy is found if one asks for it."""
    (corpus / "images" / "1.jpg").write_bytes(encoded(np.ascontiguousarray(scene(0)[:, ::-1])))

    assert changed(dataset_integrity(opened())) == {}
    assert changed(dataset_integrity(opened(), mirrored_duplicates=True)) == {"near_duplicate_pairs": 1}


@pytest.mark.parametrize(
    ("lines", "objects", "errors", "unparsable"),
    [
        ("0 .5 .5 .1 .1\n\n1 .5 .5 .2 .2\n", 2, 1, 1),
        ("0 .5 .5\n", 0, 1, 1),
        ("pedestrian .5 .5 .1 .1\n", 0, 1, 1),
        ("0 .5 .5 .1 .1 .9\n", 0, 1, 1),
        ("0 .5 .5 inf .1\n", 0, 1, 1),
        ("999 .5 .5 .1 .1\n", 1, 1, 0),
        ("0 .07 .5 1 .5\n", 1, 1, 0),
        ("0 .5 .5 0 .5\n", 1, 1, 0),
        ("0 .5 .5 .1 .1\n" * 3, 3, 2, 0),
    ],
)
def test_a9_each_bad_line_is_an_error(corpus, opened, lines, objects, errors, unparsable):
    """A9: no line crashes the check, and none passes."""
    (corpus / "labels" / "0.txt").write_text(lines)

    quantities = dataset_integrity(opened()).quantities

    assert quantities["objects"] == 5 + objects
    assert quantities["annotation_errors"] == errors
    assert quantities["unparsable_label_lines"] == unparsable
    assert quantities["annotation_error_share"] == pytest.approx(errors / (5 + objects + unparsable))


def test_a10_counts_have_denominators_and_lists(corpus, opened):
    """A10: lines and files are counted apart, with shares, and each finding names file and line."""
    (corpus / "labels" / "0.txt").write_text("0 .5 .5 .1 .1\n7 .5 .5 .2 .2\nx\n")
    (corpus / "labels" / "1.txt").unlink()

    measurement = dataset_integrity(opened())

    assert changed(measurement) == {"annotation_errors": 2, "unparsable_label_lines": 1, "missing_labels": 1}
    assert measurement.quantities["missing_label_share"] == pytest.approx(1 / 6)
    assert measurement.quantities["annotation_error_share"] == pytest.approx(2 / 7)
    assert shown(measurement, "annotation_errors") == [
        "data/labels/0.txt:2: class 7 is not in 0..1",
        "data/labels/0.txt:3: class 'x' is not a whole number from 0",
    ]


def test_long_lists_are_capped_and_counted(corpus, opened):
    """A thousand bad lines are counted, fifty shown."""
    (corpus / "labels" / "0.txt").write_text("x\n" * 1000)

    (errors,) = [f for f in dataset_integrity(opened()).findings if f.kind == "annotation_errors"]

    assert (errors.total, len(errors.shown)) == (1000, 50)


def test_wrong_extension_and_small_images(corpus, opened, scene, encoded):
    """A PNG file called .jpg and an image of 20 pixels are told with their file."""
    (corpus / "images" / "0.jpg").write_bytes(encoded(scene(0), ".png"))
    (corpus / "images" / "1.jpg").write_bytes(encoded(scene(1, 20, 120)))

    measurement = dataset_integrity(opened())

    assert changed(measurement) == {"wrong_extensions": 1, "undersized_images": 1}
    assert shown(measurement, "wrong_extensions") == ["data/images/0.jpg: is a PNG file, but is called .jpg"]
    assert shown(measurement, "undersized_images") == ["data/images/1.jpg: 20 x 120 px, each side must have 32"]
    assert changed(dataset_integrity(opened(), minimum_side=20)) == {"wrong_extensions": 1}


def test_exact_duplicates_name_their_original(corpus, opened):
    """Two copies of one image are two duplicates, and no near duplicates besides."""
    for name in ("3.jpg", "5.jpg"):
        shutil.copy(corpus / "images" / "0.jpg", corpus / "images" / name)

    measurement = dataset_integrity(opened())

    assert changed(measurement) == {"exact_duplicates": 2}
    assert measurement.quantities["exact_duplicate_share"] == pytest.approx(2 / 6)
    assert shown(measurement, "exact_duplicates")[1] == "data/images/5.jpg: the same bytes as images/0.jpg"


def test_images_that_share_a_label_file(corpus, opened, scene, encoded):
    """`0.jpg` and `0.png` cannot both be what `0.txt` describes."""
    (corpus / "images" / "0.png").write_bytes(encoded(scene(70), ".png"))

    measurement = dataset_integrity(opened())

    assert measurement.quantities["annotation_errors"] == 1
    assert shown(measurement, "annotation_errors") == ["data/images/0.png: shares its label file with images/0.jpg"]


def test_checksums_of_the_metadata(corpus, opened):
    """A changed file whose image data still decodes is caught by its SHA-256, and a missing one is no match."""
    digests = [hashlib.sha256((corpus / "images" / f"{n}.jpg").read_bytes()).hexdigest() for n in range(6)]
    rows = "".join(f"{n}.jpg,{digest.upper()}\n" for n, digest in enumerate(digests[:5]))
    (corpus / "images.csv").write_text(f"image,sha256\n{rows}")
    clean = dataset_integrity(opened(metadata="data/images.csv"))
    with (corpus / "images" / "2.jpg").open("ab") as stream:
        stream.write(b"trailing")

    measurement = dataset_integrity(opened(metadata="data/images.csv"))

    assert clean.quantities["checksum_mismatches"] == 1
    assert measurement.quantities["checksum_mismatches"] == 2
    assert measurement.quantities["corrupt_images"] == 0
    assert "the metadata says nothing" in shown(measurement, "checksum_mismatches")[1]


def test_box_tolerance_and_minimum_box_side(corpus, opened):
    """Limits of boxes are parameters, in shares of the image and in pixels."""
    (corpus / "labels" / "0.txt").write_text("0 0.9 0.5 0.22 0.5\n0 0.5 0.5 0.02 0.5\n")

    assert dataset_integrity(opened()).quantities["annotation_errors"] == 1
    assert dataset_integrity(opened(), box_tolerance=0.02).quantities["annotation_errors"] == 0
    assert dataset_integrity(opened(), minimum_box_side=4).quantities["annotation_errors"] == 2


def test_slice_is_scanned_alone(corpus, opened):
    """Only images of the slice count."""
    (corpus / "images.csv").write_text("image,weather\n0.jpg,rain\n1.jpg,rain\n")
    (corpus / "images" / "5.jpg").write_bytes(b"")

    measurement = dataset_integrity(opened(metadata="data/images.csv").select(conditions({"weather": "rain"})))

    assert changed(measurement) == {"images_checked": 2, "objects": 2}


def test_everything_broken_at_once(corpus, opened):
    """With every file replaced by random bytes the check still returns, and nothing looks good."""
    rng = random.Random(4)
    for path in [*corpus.rglob("*.jpg"), *corpus.rglob("*.txt")]:
        path.write_bytes(rng.randbytes(rng.randrange(1, 2000)))

    quantities = dataset_integrity(opened()).quantities

    assert quantities["corrupt_images"] == 6
    assert quantities["annotation_errors"] >= 6
    assert quantities["objects"] == 0


def test_no_annotation_at_all_has_no_error_share(corpus, opened):
    """Nothing of nothing is no 0 %: the share is not measured."""
    for path in (corpus / "labels").iterdir():
        path.write_text("")

    measurement = dataset_integrity(opened())

    assert measurement.quantities["background_images"] == 6
    assert unmeasured(measurement)["annotation_error_share"] == "there is no label line"


def test_classification_folder(tmp_path, opened, scene, encoded):
    """In a classification folder the label is the folder: an image in two of them is contradictory."""
    for name in ("cat/0.jpg", "cat/1.jpg", "dog/2.jpg", "dog/3.jpg"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(scene(int(path.stem) % 3)))

    measurement = dataset_integrity(opened(format="imagefolder"))

    assert measurement.quantities["objects"] == 4
    assert measurement.quantities["exact_duplicates"] == 1
    assert measurement.quantities["annotation_errors"] == 1
    assert measurement.quantities["annotation_error_share"] == pytest.approx(1 / 4)
    assert shown(measurement, "annotation_errors") == ["data/dog/3.jpg: is dog, but the same image cat/0.jpg is cat"]
    assert measurement.figures[1].series[0].y == (2.0, 2.0)


def test_data_set_of_another_format(corpus):
    """A project's own data set without label files is judged by whether its annotations can be read."""

    class Own:
        name, task, class_names, attribute_names = "own", "detection", ("pedestrian",), ()

        def __len__(self):
            return 2

        def sample(self, index):
            return Sample(f"{index}", corpus / "images" / f"{index}.jpg")

        def objects(self, index):
            if index:
                raise InputError("no annotation for frame 1")
            return Objects(np.zeros((1, 4)), np.zeros(1, np.int64), np.zeros(1, bool))

    measurement = dataset_integrity(Own())

    assert (measurement.quantities["objects"], measurement.quantities["annotation_errors"]) == (1, 1)
    assert shown(measurement, "annotation_errors") == [f"{corpus / 'images' / '1.jpg'}: no annotation for frame 1"]


def test_figures_and_progress(corpus, opened):
    """Defects and classes come as bars, and progress is told."""
    told = []
    measurement = dataset_integrity(opened(), lambda done, total: told.append((done, total)))

    defects, classes = measurement.figures
    assert defects.labels[0] == "corrupt_images"
    assert len(defects.labels) == len(defects.series[0].y)
    assert (classes.labels, classes.series[0].y) == (("pedestrian", "cyclist"), (6.0, 0.0))
    assert told == [(6, 6)]


def test_distance_out_of_range(corpus, opened):
    """A distance at which all images are duplicates is refused."""
    with pytest.raises(ValueError, match=r"0\.\.12"):
        dataset_integrity(opened(), near_duplicate_distance=40)
