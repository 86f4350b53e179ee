"""Tests of the independence of a test set."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_mle.checks.catalogue import built_in_check
from pytest_mle.checks.data.test_set_independence import QUANTITIES, _group_name, test_set_independence
from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.inputs.datasets import open_dataset
from pytest_mle.inputs.project import Project


@pytest.fixture
def split(tmp_path, scene, encoded):
    """Write an image folder of scenes by seed, with a sequence an image; return the data set."""

    def make(name, seeds, sequences=None, *, column="sequence", extra=None):
        folder = tmp_path / name / "car"
        folder.mkdir(parents=True)
        images = {f"{seed:03}.jpg": encoded(scene(seed)) for seed in seeds} | (extra or {})
        for file, content in images.items():
            (folder / file).write_bytes(content)
        options = {"path": name, "format": "imagefolder", "classes": ["car"]}
        if sequences is not None:
            rows = [f"car/{file},{value}" for file, value in zip(images, sequences, strict=True)]
            (tmp_path / f"{name}.csv").write_text("\n".join([f"image,{column}", *rows]) + "\n")
            options["metadata"] = f"{name}.csv"
        return open_dataset(name, options, tmp_path)

    return make


def _measure(tmp_path, test, train, **more):
    inputs = {name: more.pop(name) for name in ("val", "calibration") if name in more}
    return test_set_independence(test, train, Project(tmp_path), **inputs, **more)


def _values(measurement):
    return {name: getattr(value, "value", value) for name, value in measurement.quantities.items()}


def _reason(measurement, name):
    assert math.isnan(measurement.quantities[name].value)
    return measurement.quantities[name].method


def _shown(measurement, kind):
    return [str(one) for findings in measurement.findings if findings.kind == kind for one in findings.shown]


def test_independent_sets_share_nothing(tmp_path, split):
    """Different scenes of different sequences: zeros, no finding, and the counts of what was compared."""
    measured = _measure(
        tmp_path,
        split("test", range(4), [1, 1, 2, 2]),
        split("train", range(10, 16), [3, 3, 3, 4, 4, 4]),
        val=split("val", range(20, 23), [5, 5, 6]),
        calibration=split("calibration", range(30, 32), [7, 7]),
    )
    values = _values(measured)
    assert math.isnan(values.pop("test_set_evaluations"))
    assert values == {
        "exact_overlap": 0,
        "near_duplicate_overlap": 0,
        "calibration_overlap": 0,
        "group_overlap": 0,
        "samples_without_provenance": 0,
        "flat_images": 0,
        "images": 4,
        "compared_images": 11,
    }
    assert measured.findings == ()
    assert measured.quantities.keys() == QUANTITIES.keys()


def test_planted_leaks_are_found_and_both_files_are_named(tmp_path, split, scene, encoded):
    """A copy in train and val counts once, a re-encoded one is a near duplicate, a shared sequence is one group."""
    low_quality = {"999.jpg": encoded(scene(1), quality=40)}
    measured = _measure(
        tmp_path,
        split("test", [0, 1, 2], [1, 2, 3]),
        split("train", [0, 10], [8, 9, 3], extra=low_quality),
        val=split("val", [0, 20], [5, 6]),
        calibration=split("calibration", [2, 10], ["7.0", "3"]),
    )
    values = _values(measured)
    assert values["exact_overlap"] == 1
    assert values["near_duplicate_overlap"] == 1
    assert values["calibration_overlap"] == 1
    assert values["group_overlap"] == 1
    assert _shown(measured, "exact_overlap") == [
        "test/car/000.jpg: the same bytes as train/car/000.jpg (train)",
        "test/car/000.jpg: the same bytes as val/car/000.jpg (val)",
    ]
    (near,) = _shown(measured, "near_duplicate_overlap")
    assert near.startswith("test/car/001.jpg: looks like train/car/999.jpg (train, ")
    assert _shown(measured, "calibration_overlap") == [
        "test/car/002.jpg: the same bytes as calibration/car/002.jpg (calibration)"
    ]
    (group,) = _shown(measured, "group_overlap")
    assert group.startswith("test/car/002.jpg: sequence=3: images of test: 1; of train: 1, first train/car/999.jpg; ")
    assert group.endswith("of calibration: 1, first calibration/car/010.jpg")


def test_sequence_of_different_frames_leaks(tmp_path, split):
    """Frames of one drive that look different share no image, and the group tells."""
    measured = _measure(tmp_path, split("test", [0, 1], ["a", "b"]), split("train", [10, 11], ["b", "c"]))
    assert (_values(measured)["near_duplicate_overlap"], _values(measured)["group_overlap"]) == (0, 1)


def test_groups_that_are_not_known_are_not_zero(tmp_path, split):
    """Without the attribute, or without a value, the overlap has no number, and every such image is counted."""
    test, train = split("test", [0, 1], [1, 2]), split("train", [10, 11], [3, ""])
    partly = _measure(tmp_path, test, train)
    assert _reason(partly, "group_overlap") == "of 1 images a group is not known: sequence"
    assert _values(partly)["samples_without_provenance"] == 1
    assert _shown(partly, "samples_without_provenance") == ["train/car/011.jpg: train: no sequence"]
    without = _measure(tmp_path, test, split("bare", [20, 21]))
    assert "images of train (data set 'bare') have no 'sequence'" in _reason(without, "group_overlap")
    assert _values(without)["samples_without_provenance"] == 2
    drive = _measure(tmp_path, test, train, group_by=("sequence", "drive"))
    assert "no 'drive'" in _reason(drive, "group_overlap")


def test_a_nan_is_no_group(tmp_path, split):
    """NaN in the metadata is a missing group, not a group of its own that happens to be in both sets."""
    measured = _measure(tmp_path, split("test", [0, 1], ["nan", 2]), split("train", [10, 11], ["nan", 3]))
    assert _reason(measured, "group_overlap").startswith("of 2 images")


def test_a_group_is_the_same_in_every_table():
    """One table says 7, another 7.0 or "7"; what is no number or empty is no group."""
    assert {_group_name(value) for value in (7, 7.0, "7", " 7 ")} == {"7"}
    assert {_group_name(value) for value in (None, float("nan"), float("inf"), " ")} == {None}


def test_what_was_found_stands_in_the_findings_of_an_unmeasured_overlap(tmp_path, split):
    """A group that is shared for certain is named although others are not known."""
    measured = _measure(tmp_path, split("test", [0, 1], [1, ""]), split("train", [10], [1]))
    assert math.isnan(_values(measured)["group_overlap"])
    assert len(_shown(measured, "group_overlap")) == 1


def test_damaged_images_are_not_independent(tmp_path, split):
    """An image without bytes cannot be compared at all, one that cannot be decoded not by its looks."""
    test = split("test", [0, 1], extra={"damaged.jpg": b"not an image"})
    measured = _measure(tmp_path, test, split("train", [10]))
    assert _values(measured)["exact_overlap"] == 0
    assert _reason(measured, "near_duplicate_overlap") == "1 of 3 images of test cannot be compared"
    empty = _measure(tmp_path, split("empty", [0], extra={"empty.jpg": b""}), split("train_2", [10]))
    assert _reason(empty, "exact_overlap") == "1 of 2 images of test cannot be compared"
    assert _shown(empty, "not_compared") == ["empty/car/empty.jpg: test: the file has no bytes"]
    deleted = split("deleted", [0, 1])
    deleted.sample(0).path.unlink()
    assert "cannot be compared" in _reason(_measure(tmp_path, deleted, split("train_3", [10])), "exact_overlap")


def test_damaged_calibration_images_leave_the_other_overlaps_alone(tmp_path, split):
    """Each overlap rests on its own sets."""
    calibration = split("calibration", [30], extra={"empty.jpg": b""})
    measured = _measure(tmp_path, split("test", [0]), split("train", [10]), calibration=calibration)
    assert _reason(measured, "calibration_overlap") == "1 of 2 images of calibration cannot be compared"
    assert (_values(measured)["exact_overlap"], _values(measured)["near_duplicate_overlap"]) == (0, 0)


def test_flat_images_are_counted_and_a_flat_set_is_not_compared(tmp_path, split, encoded):
    """Hashes of white-outs mean nothing: some are counted, and a set of nothing else has no look-alikes to search."""
    white = {f"white{n}.png": encoded(np.full((60, 80, 3), 250 + n, np.uint8), ".png") for n in range(2)}
    some = _measure(tmp_path, split("test", [0], extra=white), split("train", [10]))
    assert (_values(some)["flat_images"], _values(some)["near_duplicate_overlap"]) == (2, 0)
    flat = _measure(tmp_path, split("flat", [], extra=white), split("train_2", [10]))
    assert "2 of 2 images of test cannot be compared" in _reason(flat, "near_duplicate_overlap")
    assert _values(flat)["exact_overlap"] == 0


def test_without_calibration_data_nothing_is_said_about_them(tmp_path, split):
    """An input that nobody bound is no zero."""
    measured = _measure(tmp_path, split("test", [0]), split("train", [10]))
    assert _reason(measured, "calibration_overlap").startswith("no calibration data")


def test_the_same_data_bound_twice_are_an_error(tmp_path, split):
    """The same object, and the same folder under another name."""
    test, train = split("test", [0]), split("train", [10])
    with pytest.raises(InputError, match="'test' and 'train' are the same images"):
        _measure(tmp_path, test, test)
    again = open_dataset("other", {"path": "train", "format": "imagefolder", "classes": ["car"]}, tmp_path)
    with pytest.raises(InputError, match="'train' and 'val' are the same images"):
        _measure(tmp_path, test, train, val=again)


def test_an_empty_set_shows_nothing(tmp_path, split):
    """A data set without images is not independent of anything."""

    class Empty:
        name = "empty"

        def __len__(self):
            return 0

    with pytest.raises(NotMeasurableError, match="'empty' has no image"):
        _measure(tmp_path, split("test", [0]), Empty())


@pytest.mark.parametrize("group_by", ["sequence", ()])
def test_group_by_is_a_list(tmp_path, split, group_by):
    """A text would be read letter by letter, and no group at all would share nothing."""
    with pytest.raises(InputError, match="group_by must be a list"):
        _measure(tmp_path, split("test", [0]), split("train", [10]), group_by=group_by)


def test_evaluations_are_counted_where_the_project_records_them(tmp_path, split):
    """One row for each evaluation, of this test set only; a record that is not there is an error."""
    (tmp_path / "looks.csv").write_text("date,test_set\n2025-01-02,test\n2025-02-03,other\n2025-03-04,test\n")
    test, train = split("test", [0]), split("train", [10])
    measured = _measure(tmp_path, test, train, evaluations="looks.csv")
    assert _values(measured)["test_set_evaluations"] == 2
    assert _reason(_measure(tmp_path, test, train), "test_set_evaluations").startswith("no record of evaluations")
    with pytest.raises(InputError, match="does not exist"):
        _measure(tmp_path, test, train, evaluations="none.csv")
    (tmp_path / "other.csv").write_text("date\n2025-01-02\n")
    with pytest.raises(InputError, match="no column 'test_set'"):
        _measure(tmp_path, test, train, evaluations="other.csv")


def test_progress_counts_all_sets(tmp_path, split):
    """The last word is that all images are done."""
    told = []
    _measure(
        tmp_path, split("test", [0, 1]), split("train", [10]), progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (3, 3)
    assert told == sorted(told)


def test_declared_as_a_check():
    """The catalogue knows it; validation and calibration data are optional."""
    declaration = built_in_check("test_set_independence")
    optional = {one.name: one.is_optional for one in declaration.inputs}
    assert optional == {
        "test": False,
        "train": False,
        "project": False,
        "val": True,
        "calibration": True,
        "progress": True,
    }


def test_a_test_module_that_imports_it_gets_no_test(pytester):
    """Its name is that of a test, for pytest; neither a module that imports it nor its own is collected."""
    pytester.makepyfile(
        test_of_a_project="""
        from pytest_mle.checks.data.test_set_independence import test_set_independence

        def test_of_the_project():
            assert callable(test_set_independence)
        """
    )
    pytester.runpytest("-p", "no:cacheprovider", "-W", "error").assert_outcomes(passed=1)
    collected = pytester.runpytest("--pyargs", "pytest_mle.checks.data.test_set_independence", "--collect-only")
    collected.stdout.fnmatch_lines(["*no tests collected*"])
