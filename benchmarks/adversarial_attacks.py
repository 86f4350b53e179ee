"""FGSM and PGD-10 against the bare passes they need, and against torchattacks, in one run.

The bare passes are what no implementation can do without: FGSM evaluated needs a forward and backward pass on the
images and a forward pass on the result; PGD-10 from a random start needs the clean prediction, ten forward and backward
passes, and the prediction on the result. torchattacks' side gets the same predictions. The labels are the model's own
and epsilon is small, so that no sample drops out early and all sides do the same work.

Run: ``OMP_NUM_THREADS=1 python benchmarks/adversarial_attacks.py [--device cuda]``
"""

from __future__ import annotations

import argparse
import gc
import time
from statistics import median

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pytest_mle.checks.robustness.attacks import attack_batches, fgsm_attack, pgd_attack

EPSILON = 1e-6
STEPS = 10


def make_model(width: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Conv2d(2 * width, 4 * width, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, 10),
    ).eval()


def forward(model, batches):
    with torch.no_grad():
        for images, _ in batches:
            model(images)


def forward_backward(model, batches, passes):
    for images, labels in batches:
        for _ in range(passes):
            variable = images.detach().requires_grad_()
            loss = functional.cross_entropy(model(variable), labels)
            torch.autograd.grad(loss, variable)


def bare_fgsm(model, batches):
    forward_backward(model, batches, 1)
    forward(model, batches)


def bare_pgd(model, batches):
    forward(model, batches)
    forward_backward(model, batches, STEPS)
    forward(model, batches)


def own(model, batches, attack):
    outcome = attack_batches(model, batches, attack, epsilon=EPSILON, rng=np.random.default_rng(0))
    return float(outcome.correct_adversarial.mean())


def peer(model, batches, attack, *, with_clean):
    correct = total = 0
    for images, labels in batches:
        if with_clean:
            forward(model, [(images, labels)])
        adversarial = attack(images, labels)
        with torch.no_grad():
            correct += int((model(adversarial).argmax(1) == labels).sum())
        total += len(labels)
    return correct / total


def measure(jobs, device, repeats):
    """Run the jobs in turn, so that a drifting machine hits all of them alike; return median seconds.

    On a CPU it is the processor's time, which other work on the machine disturbs less.
    """
    clock = time.perf_counter if device == "cuda" else time.process_time
    seconds = {name: [] for name in jobs}
    for _ in range(repeats + 1):
        for name, job in jobs.items():
            gc.collect()
            if device == "cuda":
                torch.cuda.synchronize()
            begin = clock()
            job()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(clock() - begin)
    return {name: median(values[1:]) for name, values in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    model = make_model(arguments.width).to(arguments.device)
    images = torch.rand(arguments.samples, 3, arguments.size, arguments.size, device=arguments.device)
    with torch.no_grad():
        labels = torch.cat([model(part).argmax(1) for part in images.split(arguments.batch)])
    batches = list(zip(images.split(arguments.batch), labels.split(arguments.batch), strict=True))
    pgd = pgd_attack(epsilon=EPSILON, step_size=EPSILON / 4, steps=STEPS)
    fgsm_jobs = {"bare": lambda: bare_fgsm(model, batches), "own": lambda: own(model, batches, fgsm_attack(EPSILON))}
    pgd_jobs = {"bare": lambda: bare_pgd(model, batches), "own": lambda: own(model, batches, pgd)}
    try:
        import torchattacks
    except ImportError:
        print("torchattacks is not installed (pip install --no-deps torchattacks): measured without it")
    else:
        their_fgsm = torchattacks.FGSM(model, eps=EPSILON)
        their_pgd = torchattacks.PGD(model, eps=EPSILON, alpha=EPSILON / 4, steps=STEPS)
        fgsm_jobs["torchattacks"] = lambda: peer(model, batches, their_fgsm, with_clean=False)
        pgd_jobs["torchattacks"] = lambda: peer(model, batches, their_pgd, with_clean=True)
    print(f"{arguments.samples} images {arguments.size} px, batch {arguments.batch}, {arguments.device}")
    for title, jobs in (("FGSM", fgsm_jobs), (f"PGD-{STEPS}", pgd_jobs)):
        seconds = measure(jobs, arguments.device, arguments.repeats)
        for name, value in seconds.items():
            print(f"{title:7} {name:13} {value * 1e3:9.1f} ms   {value / seconds['bare']:5.2f} x bare")


if __name__ == "__main__":
    main()
