"""Tests of what data sets in folders share: slices, sequences, digest."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_mle.errors import InputError, NotMeasurableError
from pytest_mle.records.condition import conditions

TABLE = "image,sequence,weather,lane\n0.png,a,rain,1\n1.png,a,clear,2\n2.png,,rain,\n"


@pytest.fixture
def dataset(yolo, opened):
    """Open three images: two of one sequence, one of none."""
    (yolo / "images.csv").write_text(TABLE)
    return opened(metadata="data/images.csv")


def test_slice_keeps_positions(dataset):
    """A slice knows where its samples stand in the whole."""
    rain = dataset.select(conditions({"weather": "rain"}))

    assert len(rain) == 2
    assert rain.indices.tolist() == [0, 2]
    assert rain.sample(1).id == "images/2.png"
    np.testing.assert_array_equal(rain.image(1), dataset.image(2))
    assert len(dataset) == 3


def test_empty_selection_is_the_whole(dataset):
    """No condition, no slice."""
    assert dataset.select(()) is dataset


def test_missing_attribute_is_in_no_slice(dataset):
    """A sample without the attribute belongs to no value of it, not even to its opposite."""
    assert dataset.select(conditions({"lane": {"ne": 1}})).indices.tolist() == [1]


def test_slice_without_samples_is_not_measurable(dataset):
    """The error lists the values that there are."""
    with pytest.raises(NotMeasurableError, match=r"no sample has weather: snow \(there are: clear, rain\)"):
        dataset.select(conditions({"weather": "snow"}))


def test_unknown_attribute_names_the_closest(dataset):
    """A misspelt attribute is an error, not an empty slice."""
    with pytest.raises(InputError, match=r"an attribute 'wether'. Did you mean 'weather'\?"):
        dataset.select(conditions({"wether": "rain"}))


def test_attribute_of_both_images_and_objects_is_ambiguous(yolo, opened):
    """Whether images go or objects are ignored must not be guessed."""
    (yolo / "images.csv").write_text("image,size\n0.png,1\n")
    (yolo / "objects.csv").write_text("image,object,size\n0.png,0,1\n")
    dataset = opened(metadata="data/images.csv", objects="data/objects.csv")

    with pytest.raises(InputError, match="both images and objects have an attribute 'size'"):
        dataset.select(conditions({"size": 1}))


def test_sequences_are_clusters(dataset, opened):
    """Frames of a sequence share a number, others stand alone, and a slice keeps it so."""
    assert dataset.sequence_ids().tolist() == [0, 0, 1]
    assert dataset.select(conditions({"weather": "rain"})).sequence_ids().tolist() == [0, 1]
    assert opened().sequence_ids().tolist() == [0, 1, 2]
    assert opened(metadata="data/images.csv", sequence="weather").sequence_ids().tolist() == [0, 1, 0]


def test_digest_is_the_same_elsewhere(tmp_path, yolo, opened):
    """A copy of the data under another path and name is the same data."""
    shutil.copytree(yolo, tmp_path / "copy")

    assert opened().digest == opened(path="copy").digest


def test_digest_changes_with_contents_and_names(yolo, opened, write_image):
    """One other pixel, one more image, one other name: another data set."""
    digests = {opened().digest}
    write_image(yolo / "images" / "0.png", seed=7)
    digests.add(opened().digest)
    write_image(yolo / "images" / "3.png", seed=8)
    digests.add(opened().digest)
    (yolo / "images" / "3.png").rename(yolo / "images" / "4.png")
    digests.add(opened().digest)

    assert len(digests) == 4


def test_digest_of_slices(dataset):
    """Each slice has its own digest, and the same slice the same one."""
    wheres = [{"weather": "rain"}, {"weather": ["rain"]}, {"box_height_px": {"lt": 10}}, {"box_height_px": {"lt": 20}}]
    digests = [dataset.select(conditions(where)).digest for where in wheres]

    assert len({*digests, dataset.digest}) == 5
    assert dataset.select(conditions(wheres[0])).digest == digests[0]


def test_digest_of_an_absent_file(yolo, opened):
    """A file that went away after opening is an error that names it."""
    dataset = opened()
    (yolo / "images" / "0.png").unlink()

    with pytest.raises(InputError, match=r"^data/images/0\.png: cannot read the file"):
        _ = dataset.digest


def test_data_sets_travel_to_worker_processes(dataset):
    """A copy by pickle gives the same samples and objects."""
    copied = pickle.loads(pickle.dumps(dataset))

    assert copied.sample(0) == dataset.sample(0)
    assert copied.objects(0).labels.tolist() == dataset.objects(0).labels.tolist()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(bound=st.floats(0, 50), other=st.floats(0, 50))
def test_slices_by_size_commute_and_partition(dataset, bound, other):
    """Below and not below a bound ignore complementary objects, and the order of slicing does not matter."""
    below = dataset.select(conditions({"box_height_px": {"lt": bound}}))
    above = dataset.select(conditions({"box_height_px": {"ge": bound}}))
    assert (below.objects(0).ignore ^ above.objects(0).ignore).all()

    wide = {"box_area_px": {"ge": other}}
    left, right = below.select(conditions(wide)), dataset.select(conditions(wide))
    right = right.select(conditions({"box_height_px": {"lt": bound}}))
    assert left.objects(0).ignore.tolist() == right.objects(0).ignore.tolist()
