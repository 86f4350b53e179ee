"""Tests of the columns of known programs."""

from __future__ import annotations

import pytest

from pytest_mle.inputs.training_logs.layouts import STANDARD_NAMES, standard_columns

ULTRALYTICS = [
    *("epoch", "time", "train/box_loss", "train/cls_loss", "train/dfl_loss", "metrics/precision(B)"),
    *("metrics/recall(B)", "metrics/mAP50(B)", "metrics/mAP50-95(B)", "val/box_loss", "val/cls_loss", "val/dfl_loss"),
    *("lr/pg0", "lr/pg1", "lr/pg2"),
]


def test_ultralytics():
    """The three terms of the loss add up, and mAP50 is not mAP50-95."""
    assert standard_columns(ULTRALYTICS) == {
        "val_map_50": ("metrics/mAP50(B)",),
        "learning_rate": ("lr/pg0",),
        "train_loss": ("train/box_loss", "train/cls_loss", "train/dfl_loss"),
        "val_loss": ("val/box_loss", "val/cls_loss", "val/dfl_loss"),
    }


def test_keras():
    """Keras calls the training loss `loss`."""
    found = standard_columns(["epoch", "accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"])

    assert found == {"train_loss": ("loss",), "val_loss": ("val_loss",), "learning_rate": ("learning_rate",)}


def test_lightning():
    """The mean over the epoch is preferred to the last step."""
    found = standard_columns(["epoch", "step", "train_loss_step", "train_loss_epoch", "val_loss", "lr-AdamW"])

    assert found == {"train_loss": ("train_loss_epoch",), "val_loss": ("val_loss",), "learning_rate": ("lr-AdamW",)}


def test_nothing_known():
    """Unknown names are no standard series."""
    assert standard_columns(["epoch", "a", "train/accuracy"]) == {}


@pytest.mark.parametrize("series", STANDARD_NAMES)
def test_standard_names_are_known(series):
    """A log that uses our own names needs no mapping."""
    assert standard_columns([series]) == {series: (series,)}
