"""Which columns of known programs are which standard series."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

# The first that is there counts. Lightning: `*_epoch` is the mean over the epoch, the plain name may be a single step.
# TensorBoard: a tag in a subfolder has the folder in front (Keras: `train/epoch_loss`, `validation/epoch_loss`).
STANDARD_NAMES: dict[str, tuple[str, ...]] = {
    "train_loss": (
        *("train_loss_epoch", "train/loss_epoch", "train_loss", "train/loss", "train/total_loss", "training_loss"),
        *("Loss/train", "loss/train", "train/epoch_loss", "loss"),
    ),
    "val_loss": (
        *("val_loss_epoch", "val/loss_epoch", "val_loss", "val/loss", "val/total_loss", "validation_loss"),
        *("valid_loss", "eval_loss", "eval/loss", "Loss/val", "loss/val", "Loss/validation", "validation/epoch_loss"),
    ),
    "val_map_50": (
        *("val_map_50", "metrics/mAP50(B)", "metrics/mAP50B", "metrics/mAP_0.5", "metrics/mAP50"),
        *("val_map50", "val_mAP50", "val_mAP_50", "val/map_50", "val/mAP50", "val/map50", "mAP50/val"),
    ),
    "learning_rate": ("learning_rate", "lr", "lr/pg0", "x/lr0", "lr-Adam", "lr-AdamW", "lr-SGD", "train/learning_rate"),
    "gradient_norm": (
        *("gradient_norm", "grad_norm", "gradient_norm_epoch", "grad_2.0_norm_total", "grad_2.0_norm_total_epoch"),
        *("train/grad_norm", "train/gradient_norm"),
    ),
}
# Series by step that programs log beside the mean over the epoch, under names of their own.
STEP_NAMES: dict[str, tuple[str, ...]] = {
    "train_loss": ("train_loss_step", "train/loss_step"),
    "val_loss": ("val_loss_step", "val/loss_step"),
    "gradient_norm": ("gradient_norm_step", "grad_2.0_norm_total_step", "grad_norm_step"),
}
# Without a column `epoch`, the steps of these are the epochs.
EPOCH_SERIES = frozenset({"train_loss", "val_loss", "val_map_50"})
EPOCH_NAMES = ("epoch", "Epoch", "epochs", "trainer/epoch")
COUNTED_STEPS = ("step", "global_step", "trainer/global_step", "iteration", "_step")
# Ultralytics logs the weighted terms of its loss, which add up to what is minimised, but not their sum.
SUMMED = {"train_loss": "train/", "val_loss": "val/"}


def standard_columns(names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return for each standard series that a log has its column, or the columns that add up to it."""
    found: dict[str, tuple[str, ...]] = {}
    for series, candidates in STANDARD_NAMES.items():
        column = next((candidate for candidate in candidates if candidate in names), None)
        if column is not None:
            found[series] = (column,)
    for series, prefix in SUMMED.items():
        terms = tuple(name for name in names if name.startswith(prefix) and name.endswith("_loss"))
        if series not in found and terms:
            found[series] = terms
    return found
