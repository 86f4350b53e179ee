"""The check of corrupted images against the bare work: read, corrupt and predict each image once, in batches.

Every corruption runs with its default strength on the same images and network; both sides read the images from memory.
The check adds its random numbers by image, the measured change of each image, and the resampled intervals.

Run: ``OMP_NUM_THREADS=1 python benchmarks/corruption_sweep.py [--images 1000]``
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from torch import nn

from pytest_mle.checks.robustness.corruption_robustness import corruption_robustness
from pytest_mle.checks.robustness.corruptions import CORRUPTIONS, corrupted, parameters_of
from pytest_mle.inputs.models.declaration import ModelDeclaration
from pytest_mle.inputs.models.torch_model import TorchModel, TorchNetwork
from pytest_mle.inputs.prediction_pass import predict_dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.support.memory_dataset import MemoryDataset

SIZE = (320, 240)


def make_model():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    ).eval()
    declaration = ModelDeclaration.model_validate(
        {
            "path": "none.pt",
            "task": "classification",
            "preprocess": {"size": list(SIZE), "resize": "stretch", "range": [0, 1]},
            "output": {"layout": "logits"},
            "batch_size": 32,
        }
    )
    return TorchModel("candidate", declaration, TorchNetwork(network, declaration), [])


def bare(model, dataset, name):
    parameters = parameters_of(name)
    for start in range(0, len(dataset), model.batch_size):
        batch = range(start, min(start + model.batch_size, len(dataset)))
        model.predict([corrupted(dataset.image(index), name, 0, index, parameters) for index in batch])


def measure(jobs, clock, repeats=3):
    """Run the jobs in turn, so that a drifting machine hits all of them alike; return median seconds."""
    seconds = {name: [] for name in jobs}
    for _ in range(repeats + 1):
        for name, job in jobs.items():
            gc.collect()
            begin = clock()
            job()
            seconds[name].append(clock() - begin)
    return {name: median(values[1:]) for name, values in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--only", nargs="*", default=list(CORRUPTIONS))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 255, (arguments.images, 12, 16, 3)).astype(np.uint8)
    images = [cv2.resize(image, SIZE, interpolation=cv2.INTER_CUBIC) for image in smooth]
    labels = [index % 10 for index in range(arguments.images)]
    dataset = MemoryDataset(images, labels=labels, class_names=[str(one) for one in range(10)])
    model = make_model()
    clean = predict_dataset(model, dataset)
    print(f"{arguments.images} images {SIZE[0]} x {SIZE[1]}, processor time (and wall-clock time), median of 3")
    for name in arguments.only:
        jobs = {
            "bare": lambda name=name: bare(model, dataset, name),
            "check": lambda name=name: corruption_robustness(clean, np.random.default_rng(0), corruption=name),
        }
        used, waited = measure(jobs, time.process_time), measure(jobs, time.perf_counter)
        print(
            f"{name:15} bare {used['bare'] * 1e3:7.0f} ms   check {used['check'] * 1e3:7.0f} ms   "
            f"{used['check'] / used['bare']:5.2f} x   (wall-clock {waited['check'] / waited['bare']:.2f} x)"
        )


if __name__ == "__main__":
    main()
