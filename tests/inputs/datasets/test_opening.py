"""Tests of choosing a format."""

from __future__ import annotations

import pytest

from pytest_mle.errors import InputError
from pytest_mle.inputs.datasets import open_dataset


def test_formats_give_their_task(yolo, opened):
    """The format decides what the data set is for."""
    assert opened().task == "detection"
    assert opened(path="data", format="imagefolder", classes=["images", "labels"]).task == "classification"


def test_without_location_the_error_still_names_the_data_set(tmp_path):
    """Opened from Python there is no spec to blame."""
    with pytest.raises(InputError, match=r"^data set mine: no format"):
        open_dataset("mine", {"path": "."}, tmp_path)


def test_root_behind_a_link_is_inside_itself(tmp_path, yolo):
    """A checkout that is reached through a link may read its own data."""
    (tmp_path / "link").symlink_to(tmp_path)

    dataset = open_dataset("mine", {"path": "data", "format": "yolo"}, tmp_path / "link")

    assert dataset.sample(0).path == yolo / "images" / "0.png"
