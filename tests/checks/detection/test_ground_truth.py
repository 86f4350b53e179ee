"""Tests of gathering annotations and clusters."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_mle.checks.detection.ground_truth import Clusters, image_clusters, true_boxes
from pytest_mle.errors import InputError
from pytest_mle.inputs.dataset import Objects
from tests.support.detection_scenes import SceneDataset, annotated, box_at


class _CountingDataset(SceneDataset):
    """Counts how often its annotations are read."""

    reads = 0

    def objects(self, index):
        """Return the boxes of one image."""
        self.reads += 1
        return super().objects(index)


class _UnhashableDataset(_CountingDataset):
    """A project's own data set that compares by content."""

    __hash__ = None

    def __eq__(self, other):
        return isinstance(other, _UnhashableDataset)


def test_boxes_stand_image_by_image():
    """Objects keep their order, images without objects are skipped, ignore flags and labels come along."""
    dataset = SceneDataset(
        [annotated(), annotated(box_at(0), box_at(50), labels=[1, 0], ignore=[1]), annotated(), annotated(box_at(9))],
        class_names=("a", "b"),
    )
    found = true_boxes(dataset)
    assert found.image_index.tolist() == [1, 1, 3]
    assert found.boxes[:, 0].tolist() == [0, 50, 9]
    assert found.labels.tolist() == [1, 0, 0]
    assert found.ignored.tolist() == [False, True, False]


def test_a_data_set_is_read_once():
    """Every check of a run asks for the boxes of the same data set."""
    dataset = _CountingDataset([annotated(box_at(0))] * 3)
    assert true_boxes(dataset) is true_boxes(dataset)
    assert dataset.reads == 3


def test_a_data_set_that_cannot_be_remembered_is_read_each_time():
    """An equal data set must not get another one's boxes."""
    one, other = _UnhashableDataset([annotated(box_at(0))]), _UnhashableDataset([annotated(box_at(7))])
    assert [true_boxes(dataset).boxes[0, 0] for dataset in (one, other)] == [0, 7]


def test_annotations_of_different_lengths_name_their_image():
    """A project's own data set may forget the ignore flags."""
    broken = Objects(np.zeros((1, 4)), np.zeros(1, np.int64), np.zeros(0, bool))
    with pytest.raises(InputError, match=r"image '0000.png': 1 boxes, 1 labels and 0 ignore flags"):
        true_boxes(SceneDataset([broken]))


def test_clusters_count_from_zero_without_gaps():
    """Numbers of sequences may be anything."""
    clusters = image_clusters(SceneDataset([annotated()] * 4, sequences=[7, 3, 7, 9]))
    assert (clusters.of_image.tolist(), clusters.count, clusters.noun) == ([1, 0, 1, 2], 3, "sequences")
    assert clusters.sums(np.array([1, 2, 3, 4])).tolist() == [2, 4, 4]
    assert clusters.restricted_to(np.array([3, 1])).of_image.tolist() == [1, 0]


def test_images_of_their_own_are_called_images():
    """Reports shall not speak of sequences where there are none."""
    assert image_clusters(SceneDataset([annotated()] * 3)).noun == "images"


def test_an_attribute_groups_images():
    """The value decides, and a number is no image without a value."""
    attributes = [{"drive": 0}, {"drive": None}, {"drive": 0}, {"drive": 1}]
    clusters = image_clusters(SceneDataset([annotated()] * 4, attributes=attributes), "drive")
    assert clusters.of_image.tolist() == [0, 1, 0, 2]
    assert clusters.noun == "drives"


def test_no_image_is_no_cluster():
    """An empty slice has no largest number."""
    assert Clusters(np.empty(0, np.int64), "images").count == 0
