"""How long it takes to load specs: the bundled checklist, and 10,000 items of a project.

Beside them, what PyYAML alone needs for the same text, without lines, overlay or validation.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import yaml

from pytest_mle.checks.declaration import declare
from pytest_mle.records.quantity import estimate, exact
from pytest_mle.spec.load import load_spec

ITEM = """\
  - id: X-{i}
    title: Robustness number {i}
    base_practice: MLE.4.BP3
    check: robustness
    with: {{epsilon: 0.0{digits:02d}1, steps: {steps}}}
    where: {{weather: rain}}
    accept: [robust_accuracy >= 80 % at 95 % confidence, image_count >= {i} images]
    timeout: 10 min
"""
HEAD = """\
mle_spec: 1
inputs: {datasets: {test: {path: data/test}}, models: {candidate: {path: model.onnx}}}
policy: {confidence: 95 %}
items:
"""


def robustness(model, dataset, *, epsilon: float = 0.01, steps: int = 3):
    """Stand in for a check."""


CHECK = declare(robustness, quantities={"robust_accuracy": estimate("1"), "image_count": exact("{image}")})


def best_of(action, repetitions=5):
    """Return the shortest wall time in seconds and the last result."""
    times = []
    for _ in range(repetitions):
        begin = time.perf_counter()
        result = action()
        times.append(time.perf_counter() - begin)
    return min(times), result


def load(path):
    return load_spec(path, environment={}, find_check={"robustness": CHECK}.get, known_checks=["robustness"])


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text("mle_spec: 1\nextends: aspice-mle\n", encoding="utf-8")
        seconds, spec = best_of(lambda: load(path))
        print(f"bundled checklist   {len(spec.items):6d} test cases  {seconds * 1e3:7.0f} ms")
        for count in (100, 1_000, 10_000):
            items = (ITEM.format(i=i, digits=i % 100, steps=i % 7) for i in range(count))
            path.write_text(HEAD + "".join(items), encoding="utf-8")
            seconds, spec = best_of(lambda: load(path))
            text = path.read_text(encoding="utf-8")
            alone, _ = best_of(lambda text=text: yaml.load(text, yaml.CSafeLoader), 3)
            print(
                f"items of a project  {len(spec.items):6d} test cases  {seconds * 1e3:7.0f} ms"
                f"  (PyYAML with libyaml alone {alone * 1e3:.0f} ms)"
            )


if __name__ == "__main__":
    main()
