"""Train the models: ``python train.py``, ``--classifier``, ``--bad``, ``--ablation`` (see ``train.yaml``).

Writes the weights to ``build/``, every tenth epoch's and the best ones to ``checkpoints/``, one row an epoch to
``training_log.csv``, and what the run depended on to ``training_run.json``; with ``--mlflow URI`` to MLflow too. The
epoch with the best validation AP50 is the one that is kept.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import random
import shutil
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml
from crops import CLASSES, collect, read_boxes, read_image
from metrics import Matches, match_all
from perception import (
    HEIGHT,
    MEAN,
    STD,
    STRIDE,
    WIDTH,
    DecodedDetector,
    PedestrianDetector,
    build_classifier,
    build_detector,
)
from torch.nn import functional as F
from tracker import MlflowRun

from pytest_mle.tracking import digest_of, record_environment

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent
BUILD, CHECKPOINTS, ABLATION = ROOT / "build", ROOT / "checkpoints", ROOT / "ablation"


@dataclass
class Images:
    """A split in memory: images (n, 3, 144, 192) uint8, boxes (n, m, 5) padded with NaN, and the boxes as lists."""

    pixels: torch.Tensor
    boxes: torch.Tensor
    truths: list[np.ndarray]

    def part(self, count: int) -> Images:
        """Return the first images."""
        return Images(self.pixels[:count], self.boxes[:count], self.truths[:count])


def load_split(folder: Path, limit: int | None = None) -> Images:
    """Read a YOLO folder into memory, in the order of ``images.csv``."""
    boxes = dict(list(read_boxes(folder).items())[:limit])
    pixels = np.stack([read_image(folder / name) for name in boxes]).transpose(0, 3, 1, 2)
    truths = list(boxes.values())
    padded = np.full((len(truths), max(map(len, truths)), 5), np.nan, np.float32)
    for row, truth in zip(padded, truths, strict=True):
        row[: len(truth)] = truth
    return Images(torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(padded), truths)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Map uint8 pixels to what the detector expects."""
    return (pixels.float() / 255 - MEAN) / STD


def augment(
    pixels: torch.Tensor,
    boxes: torch.Tensor,
    config: dict,
    chance: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirror, zoom, change the gain and shift the colours of a batch; return normalised images and boxes."""
    count, settings = len(pixels), config["augmentation"]

    def uniform(low: float, high: float, channels: int) -> torch.Tensor:
        return torch.rand(count, channels, 1, 1, generator=chance) * (high - low) + low

    mirrored = torch.rand(count, generator=chance) < settings["flip"]["probability"]
    pixels = torch.where(mirrored[:, None, None, None], pixels.flip(-1), pixels)
    swapped = torch.stack(
        [WIDTH - boxes[..., 2], boxes[..., 1], WIDTH - boxes[..., 0], boxes[..., 3], boxes[..., 4]], -1
    )
    boxes = torch.where(mirrored[:, None, None], swapped, boxes)
    light = pixels.float() / 255
    zoom = settings["crop"]
    if zoom["largest_zoom"] > zoom["smallest_zoom"]:
        factor = uniform(math.log(zoom["smallest_zoom"]), math.log(zoom["largest_zoom"]), 1).exp().flatten()
        light, boxes = magnify(light, boxes, factor, torch.rand(count, 2, generator=chance))
    shift = settings["color_jitter"]["channel_shift"]
    light = light * uniform(settings["gain"]["low"], settings["gain"]["high"], 1) + uniform(-shift, shift, 3)
    light += torch.randn(light.shape, generator=chance) * uniform(0.0, settings["noise"]["largest_sigma"], 1)
    return (light.clamp(0, 1) - MEAN) / STD, boxes


def augment_image(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one image as the training would see it: RGB uint8 (144, 192, 3) in and out."""
    chance = torch.Generator().manual_seed(int(rng.integers(2**63)))
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]
    without_boxes = torch.full((1, 1, 5), torch.nan)
    light = augment(pixels, without_boxes, read_config("train.yaml"), chance)[0][0] * STD + MEAN
    return (light * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


@cache
def read_config(name: str) -> dict[str, Any]:
    """Read the hyperparameters beside this file."""
    config: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return config


def magnify(
    light: torch.Tensor,
    boxes: torch.Tensor,
    factor: torch.Tensor,
    place: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale each image about a random place, so that it is cropped or gets a border of its outermost pixels.

    Objects of which less than 40 % stay inside become ignored, those outside vanish (NaN).

    Parameters
    ----------
    light, boxes : torch.Tensor
        Images (n, 3, 144, 192) in [0, 1] and boxes (n, m, 5).
    factor : torch.Tensor
        Scale of each image, (n,).
    place : torch.Tensor
        Which part is seen, (n, 2) in [0, 1]: 0 is the left or upper end, 1 the other.

    """
    size = torch.tensor([WIDTH, HEIGHT])
    offset = (size * (1 - factor[:, None])) * place
    theta = torch.zeros(len(light), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / factor
    theta[:, :, 2] = (1 - 2 * offset / size) / factor[:, None] - 1
    grid = F.affine_grid(theta, list(light.shape), align_corners=False)
    light = F.grid_sample(light, grid, padding_mode="border", align_corners=False)
    corners = boxes[..., :4] * factor[:, None, None] + offset.repeat(1, 2)[:, None]
    inside = torch.minimum(corners.clamp(min=0), size.repeat(2).float())
    area, kept = ((part[..., 2:] - part[..., :2]).prod(-1) for part in (corners, inside))
    gone = (kept <= 0) | ((inside[..., 2:] - inside[..., :2]) <= 1).any(-1)
    ignored = torch.where(kept < 0.4 * area, 1.0, boxes[..., 4])
    moved = torch.cat([inside, ignored[..., None]], -1)
    return light, torch.where(gone[..., None], torch.nan, moved)


@dataclass
class Targets:
    """What the heads should say: heatmap, best object's box and weight of each cell, and the cells that count."""

    heat: torch.Tensor
    boxes: torch.Tensor
    weight: torch.Tensor
    counted: torch.Tensor
    centres: torch.Tensor


def make_targets(boxes: torch.Tensor) -> Targets:
    """Draw Gaussians of the objects (n, m, 5) on the grid of cells; ignored objects mask the cells that they cover."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT // STRIDE), torch.arange(WIDTH // STRIDE), indexing="ij")
    known, ignored = ~boxes[..., 0].isnan(), boxes[..., 4] > 0
    x0, y0, x1, y1 = (boxes[..., index].nan_to_num(-1e4)[..., None, None] for index in range(4))
    column, row = ((x0 + x1) / 2 / STRIDE).floor(), ((y0 + y1) / 2 / STRIDE).floor()
    wide, tall = (0.17 * (x1 - x0) / STRIDE).clamp(min=0.7), (0.13 * (y1 - y0) / STRIDE).clamp(min=0.7)
    bumps = torch.exp(-0.5 * (((columns - column) / wide) ** 2 + ((rows - row) / tall) ** 2))
    bumps = bumps * (known & ~ignored)[..., None, None]
    heat, owner = bumps.max(dim=1)
    x, y = (columns + 0.5) * STRIDE, (rows + 0.5) * STRIDE
    masked = ((x > x0) & (x < x1) & (y > y0) & (y < y1) & (known & ignored)[..., None, None]).any(dim=1)
    picked = owner[..., None].expand(-1, -1, -1, 4).flatten(1, 2)
    own = torch.gather(boxes[..., :4].nan_to_num(0.0), 1, picked).unflatten(1, heat.shape[1:])
    return Targets(heat, own, heat * (heat > 0.5), ~masked | (heat > 0.5), torch.stack([x, y], -1))


def giou_loss(predicted: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return ``1 - GIoU`` of boxes (..., 4) xyxy."""
    low, high = torch.maximum(predicted[..., :2], wanted[..., :2]), torch.minimum(predicted[..., 2:], wanted[..., 2:])
    hull = (
        torch.maximum(predicted[..., 2:], wanted[..., 2:]) - torch.minimum(predicted[..., :2], wanted[..., :2])
    ).prod(-1)
    shared = (high - low).clamp(min=0).prod(-1)
    union = (predicted[..., 2:] - predicted[..., :2]).prod(-1) + (wanted[..., 2:] - wanted[..., :2]).prod(-1) - shared
    return 1 - shared / union.clamp(min=1e-6) + (hull - union) / hull.clamp(min=1e-6)


def detection_loss(
    heat: torch.Tensor, reach: torch.Tensor, boxes: torch.Tensor, weights: dict[str, float]
) -> torch.Tensor:
    """Return the focal loss of the heatmap plus the weighted GIoU loss of the boxes, per object."""
    targets = make_targets(boxes)
    logit = heat[:, 0]
    probability = torch.sigmoid(logit)
    peak = targets.heat == 1
    positive = (1 - probability) ** 2 * F.logsigmoid(logit) * peak
    negative = (1 - targets.heat) ** 4 * probability**2 * F.logsigmoid(-logit) * (~peak & targets.counted)
    classification = -(positive.sum() + negative.sum()) / peak.sum().clamp(min=1)
    reach = reach.permute(0, 2, 3, 1)
    predicted = torch.cat([targets.centres - reach[..., :2], targets.centres + reach[..., 2:]], -1)
    localization = (giou_loss(predicted, targets.boxes) * targets.weight).sum() / targets.weight.sum().clamp(min=1e-6)
    return weights["classification"] * classification + weights["localization"] * localization


@torch.no_grad()
def evaluate(detector: PedestrianDetector, images: Images, weights: dict[str, float]) -> tuple[float, Matches]:
    """Return the loss and the matched detections of a split."""
    detector.eval()
    decoder = DecodedDetector(detector).eval()
    losses, detections = [], []
    for start in range(0, len(images.pixels), 32):
        batch = normalise(images.pixels[start : start + 32])
        loss = detection_loss(*detector(batch), images.boxes[start : start + 32], weights)
        losses.append(float(loss) * len(batch))
        boxes, scores, _ = decoder(batch)
        detections += [(b.numpy(), s.numpy()) for b, s in zip(boxes, scores, strict=True)]
    return sum(losses) / len(images.pixels), match_all(detections, images.truths)


def learning_rate_factor(step: int, steps: int, per_epoch: int, settings: dict) -> float:
    """Return the share of the initial rate: linear warm-up, then half a cosine down to ``min_lr``; or constant."""
    if settings["schedule"] == "constant":
        return 1.0
    warm = settings["warmup_epochs"] * per_epoch
    if step < warm:
        return settings["start_factor"] + (1 - settings["start_factor"]) * step / warm
    lowest = settings["min_lr"] / settings["initial"]
    return lowest + (1 - lowest) * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


def set_seeds(seed: int) -> torch.Generator:
    """Seed every source of chance and return the one for shuffling and augmentation."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002, libraries may draw from the global generator
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True)
    return torch.Generator().manual_seed(seed)


def train_detector(
    config: dict[str, Any],
    log_path: Path,
    weights_path: Path,
    *,
    checkpoints: Path | None = None,
    log_epoch: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Train the detector, log every epoch, keep the selected one; return what a record of the run needs."""
    chance = set_seeds(config["seed"])
    train = load_split(ROOT / config["dataset"]["train"], config["dataset"].get("limit"))
    val = load_split(ROOT / config["dataset"]["val"])
    watched = train.part(len(val.pixels))
    # Channels last is a third faster on a CPU; the weights are the same.
    detector = build_detector().to(memory_format=torch.channels_last)
    rate, optimizer = config["learning_rate"], config["optimizer"]
    betas = (optimizer["beta1"], optimizer["beta2"])
    decay = config["regularization"]["weight_decay"]
    adam = torch.optim.AdamW(detector.parameters(), lr=rate["initial"], betas=betas, weight_decay=decay)
    per_epoch = math.ceil(len(train.pixels) / config["batch_size"])
    schedule = torch.optim.lr_scheduler.LambdaLR(
        adam,
        lambda step: learning_rate_factor(step, config["epochs"] * per_epoch, per_epoch, rate),
    )
    rows: list[dict[str, float]] = []
    best = -1.0
    for epoch in range(1, config["epochs"] + 1):
        started = time.perf_counter()
        row = {"epoch": epoch, **_train_epoch(detector, train, adam, schedule=schedule, config=config, chance=chance)}
        row |= _watch(detector, watched, val, config["loss_weights"])
        row["seconds"] = time.perf_counter() - started
        rows.append(row)
        _write_log(log_path, rows)
        if row["val_map_50"] > best or config["checkpoint"]["select"] == "last":
            best, chosen = row["val_map_50"], epoch
            weights_path.parent.mkdir(exist_ok=True)
            torch.save(detector.state_dict(), weights_path)
        if checkpoints is not None and epoch % config["checkpoint"]["every_n_epochs"] == 0:
            torch.save(detector.state_dict(), checkpoints / f"epoch_{epoch:03d}.pt")
        if log_epoch is not None:
            log_epoch(row)
        print({key: round(value, 4) for key, value in row.items()}, flush=True)
    return {"selected_epoch": chosen, "epochs": len(rows), "val_map_50": best, "train_images": len(train.pixels)}


def _train_epoch(
    detector: PedestrianDetector,
    train: Images,
    adam: torch.optim.Optimizer,
    *,
    schedule: Any,
    config: dict,
    chance: torch.Generator,
) -> dict[str, float]:
    detector.train()
    losses, norms = [], []
    for batch in torch.randperm(len(train.pixels), generator=chance).split(config["batch_size"]):
        images, boxes = augment(train.pixels[batch], train.boxes[batch], config, chance)
        images = images.contiguous(memory_format=torch.channels_last)
        loss = detection_loss(*detector(images), boxes, config["loss_weights"])
        adam.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(detector.parameters(), config["gradient_clip_norm"])))
        adam.step()
        rate = schedule.get_last_lr()[0]
        schedule.step()
        losses.append(float(loss.detach()) * len(batch))
    return {
        "train_loss": sum(losses) / len(train.pixels),
        "gradient_norm": float(np.mean(norms)),
        "gradient_norm_max": max(norms),
        "learning_rate": rate,
    }


def _watch(detector: PedestrianDetector, watched: Images, val: Images, weights: dict[str, float]) -> dict[str, float]:
    """Measure a part of the training images, without augmentation, and the validation images."""
    _, on_train = evaluate(detector, watched, weights)
    val_loss, on_val = evaluate(detector, val, weights)
    precision, recall = on_val.precision_recall(0.4)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return {
        "val_loss": val_loss,
        "train_map_50": on_train.average_precision(),
        "val_map_50": on_val.average_precision(),
        "val_precision": precision,
        "val_recall": recall,
        "val_f1": f1,
    }


COLUMNS = (
    "epoch",
    "train_loss",
    "val_loss",
    "train_map_50",
    "val_map_50",
    "val_precision",
    "val_recall",
    "val_f1",
    "learning_rate",
    "gradient_norm",
    "gradient_norm_max",
    "seconds",
)


def _write_log(path: Path, rows: list[dict[str, float]], columns: tuple[str, ...] = COLUMNS) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([[f"{row[name]:.6g}" for name in columns] for row in rows])


def environment(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the run depends on. Call it before anything is written, or git knows the working tree as changed."""
    seed = config["seed"]
    record = record_environment(
        seeds={"python": seed, "numpy": seed, "torch": seed},
        dataset={"version": "1.0.0", "sha256": {split: digest_of(ROOT / "data" / split) for split in ("train", "val")}},
        repository=ROOT,
    )
    record["seeds"]["dataloader_workers"] = "none: 0 workers"
    return {"model": "pedestrian-detector", "model_version": "2.1.0", **record}


def stored_checkpoints(best: Path, selected_epoch: int) -> list[dict[str, Any]]:
    """Copy the best weights to the other checkpoints, and list them all with their SHA-256."""
    shutil.copyfile(best, CHECKPOINTS / "best.pt")
    epochs = {path.name: int(path.stem.partition("_")[2]) for path in sorted(CHECKPOINTS.glob("epoch_*.pt"))}
    epochs["best.pt"] = selected_epoch
    return [
        {
            "path": f"checkpoints/{name}",
            "epoch": epoch,
            "is_best": name == "best.pt",
            "sha256": digest_of(CHECKPOINTS / name),
        }
        for name, epoch in epochs.items()
    ]


def train_and_record(config: dict[str, Any], tracking_uri: str | None) -> None:
    """Train the detector and keep its log, its checkpoints, its record and, with a tracking URI, its MLflow run."""
    record = environment(config)
    hyperparameters = {key: value for key, value in config.items() if key != "ranges"}
    CHECKPOINTS.mkdir(exist_ok=True)
    for old in CHECKPOINTS.glob("*.pt"):
        old.unlink()
    started = time.perf_counter()
    with MlflowRun(tracking_uri, hyperparameters, record) as run:
        weights = BUILD / "detector.pt"
        log = ROOT / "training_log.csv"
        outcome = train_detector(config, log, weights, checkpoints=CHECKPOINTS, log_epoch=run.log_epoch)
        outcome["seconds"] = round(time.perf_counter() - started, 1)
        outcome["checkpoints"] = stored_checkpoints(weights, outcome["selected_epoch"])
        run.log_outcome(outcome)
    record |= outcome | {
        "deterministic_algorithms": True,
        "parameters": sum(parameter.numel() for parameter in build_detector().parameters()),
        "hyperparameters": hyperparameters,
    }
    (ROOT / "training_run.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


# The crop classifier.


def load_crops(folder: Path, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut crops of a split: pixels (n, 3, 32, 32) float32 in [0, 1] and labels (n,)."""
    crops = collect(folder, 2, seed)
    pixels = np.stack([crop.pixels for crop in crops]).transpose(0, 3, 1, 2)
    labels = torch.tensor([CLASSES.index(crop.label) for crop in crops])
    return torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255, labels


def perturb(model: torch.nn.Module, crops: torch.Tensor, labels: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Take one signed gradient step of 1.25 epsilon from a random start, kept within epsilon and [0, 1]."""
    start = (crops + (torch.rand_like(crops) * 2 - 1) * epsilon).clamp(0, 1).requires_grad_()
    gradient = torch.autograd.grad(F.cross_entropy(model(start), labels), start)[0]
    moved = start.detach() + 1.25 * epsilon * gradient.sign()
    return torch.minimum(torch.maximum(moved, crops - epsilon), crops + epsilon).clamp(0, 1)


def train_classifier(path: Path, *, adversarial: bool, epochs: int, seed: int) -> None:
    """Train the crop classifier, half of each batch on perturbed crops if ``adversarial``, and save its weights."""
    chance = set_seeds(seed)
    crops, labels = load_crops(ROOT / "data" / "train", seed)
    val_crops, val_labels = load_crops(ROOT / "data" / "val", seed + 1)
    model = build_classifier()
    adam = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-3)
    steps = epochs * math.ceil(len(crops) / 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, 6e-3, total_steps=steps, pct_start=0.2)
    for epoch in range(1, epochs + 1):
        model.train()
        for batch in torch.randperm(len(crops), generator=chance).split(64):
            x, y = crops[batch], labels[batch]
            mirrored = torch.rand(len(x), generator=chance) < 0.5
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
            x = (x * (torch.rand(len(x), 1, 1, 1, generator=chance) * 0.5 + 0.75)).clamp(0, 1)
            if adversarial:
                half = len(x) // 2
                x = torch.cat([perturb(model, x[:half], y[:half], 0.0125), x[half:]])
            loss = F.cross_entropy(model(x), y)
            adam.zero_grad()
            loss.backward()
            adam.step()
            schedule.step()
        model.eval()
        attacked = perturb(model, val_crops, val_labels, 0.01)
        with torch.no_grad():
            clean, robust = (float((model(x).argmax(1) == val_labels).float().mean()) for x in (val_crops, attacked))
        print({"epoch": epoch, "val_accuracy": round(clean, 4), "val_accuracy_perturbed": round(robust, 4)}, flush=True)
    path.parent.mkdir(exist_ok=True)
    torch.save(model.state_dict(), path)


# Does regularization reduce overfitting? Asked of the crop classifier, which trains in seconds.

ABLATION_ARMS = {
    "regularized": {"weight_decay": 1e-3, "augmentation": {"flip": 0.5, "gain": 0.25}},
    "plain": {"weight_decay": 0.0, "augmentation": {"flip": 0.0, "gain": 0.0}},
}
ABLATION_COLUMNS = ("epoch", "train_loss", "val_loss", "train_accuracy", "val_accuracy")


def train_ablation(seeds: range) -> None:
    """Train the classifier with and without regularization from each seed, on the same crops; log to ``ablation/``."""
    data_seed = 20260104
    splits = [load_crops(ROOT / "data" / split, data_seed + number) for number, split in enumerate(("train", "val"))]
    ABLATION.mkdir(exist_ok=True)
    records = [environment({"seed": seed}) for seed in seeds]
    for arm, regularization in ABLATION_ARMS.items():
        settings = {"epochs": 12, "batch_size": 64, "max_lr": 6e-3, "data_seed": data_seed, **regularization}
        for number, record in enumerate(records, 1):
            rows = train_ablation_run(splits, settings, record["seeds"]["torch"])
            _write_log(ABLATION / f"{arm}_{number}.csv", rows, ABLATION_COLUMNS)
            text = json.dumps({**record, "model": "crop-classifier", "hyperparameters": settings}, indent=2)
            (ABLATION / f"{arm}_{number}.json").write_text(text + "\n", encoding="utf-8")
            print(arm, number, {name: round(value, 4) for name, value in rows[-1].items()}, flush=True)


def train_ablation_run(
    splits: list[tuple[torch.Tensor, torch.Tensor]], settings: dict[str, Any], seed: int
) -> list[dict[str, float]]:
    """Train one classifier; measure both splits after each epoch without augmentation and in evaluation mode."""
    chance = set_seeds(seed)
    crops, labels = splits[0]
    size, epochs, augmentation = settings["batch_size"], settings["epochs"], settings["augmentation"]
    model = build_classifier()
    adam = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=settings["weight_decay"])
    steps = epochs * math.ceil(len(crops) / size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, settings["max_lr"], total_steps=steps, pct_start=0.2)
    rows = []
    for epoch in range(1, epochs + 1):
        model.train()
        for batch in torch.randperm(len(crops), generator=chance).split(size):
            x, y = crops[batch], labels[batch]
            mirrored = torch.rand(len(x), generator=chance) < augmentation["flip"]
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
            gain = 1 + augmentation["gain"] * (torch.rand(len(x), 1, 1, 1, generator=chance) * 2 - 1)
            loss = F.cross_entropy(model((x * gain).clamp(0, 1)), y)
            adam.zero_grad()
            loss.backward()
            adam.step()
            schedule.step()
        row: dict[str, float] = {"epoch": epoch}
        for name, (pixels, wanted) in zip(("train", "val"), splits, strict=True):
            row[f"{name}_loss"], row[f"{name}_accuracy"] = classifier_quality(model, pixels, wanted)
        rows.append(row)
    return rows


@torch.no_grad()
def classifier_quality(model: torch.nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Return cross entropy and accuracy of a split."""
    model.eval()
    logits = torch.cat([model(part) for part in pixels.split(256)])
    return float(F.cross_entropy(logits, labels)), float((logits.argmax(1) == labels).float().mean())


def main() -> None:
    """Train what the arguments name; without one, the detector."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--classifier", action="store_true", help="train the two crop classifiers, robust and plain")
    parser.add_argument("--bad", action="store_true", help="train the detector badly (train_bad.yaml)")
    parser.add_argument("--ablation", action="store_true", help="train the crop classifier without regularization too")
    parser.add_argument("--mlflow", metavar="URI", help="log the detector's run there too, as sqlite:///mlflow.db")
    parser.add_argument("--threads", type=int, default=2, help="use 1 where other work keeps the cores busy")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.classifier:
        train_classifier(ROOT / "models" / "crop_classifier.pt", adversarial=True, epochs=12, seed=20260104)
        train_classifier(ROOT / "models" / "crop_classifier_plain.pt", adversarial=False, epochs=12, seed=20260104)
        return
    if options.ablation:
        train_ablation(range(1, 6))
        return
    if options.bad:
        train_detector(read_config("train_bad.yaml"), ROOT / "training_log_bad.csv", BUILD / "detector_undertrained.pt")
        return
    train_and_record(read_config("train.yaml"), options.mlflow)


if __name__ == "__main__":
    main()
