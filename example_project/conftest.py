"""The example's own checks, as fixtures."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

import pytest_mle as mle

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_mle.inputs.dataset import Dataset
    from pytest_mle.inputs.predictions import Predictions

FOCAL_LENGTH_PX = 400.0


@pytest.fixture
def pedestrian_height(mle_dataset: Dataset) -> Callable[..., mle.Measurement]:
    """Heights that the annotations imply: box height and distance must belong to a person."""

    @mle.check(
        quantities={
            "implausible_share": mle.estimate("1", "lower", "share of the pedestrians with an impossible height"),
            "pedestrians": mle.exact("{object}", "higher", "pedestrians with a distance"),
        }
    )
    def measure(
        *, focal_length: float = FOCAL_LENGTH_PX, shortest_m: float = 0.9, tallest_m: float = 2.5
    ) -> mle.Measurement:
        """Measure how many annotated pedestrians are shorter or taller than people are."""
        implausible, total = [], 0
        for index in range(len(mle_dataset)):
            objects = mle_dataset.objects(index)
            for number, attributes in enumerate(objects.attributes):
                if objects.ignore[number] or attributes.get("distance_m") is None:
                    continue
                total += 1
                _, top, _, bottom = objects.boxes[number]
                height = (bottom - top) * attributes["distance_m"] / focal_length
                if not shortest_m <= height <= tallest_m:
                    image = mle_dataset.sample(index).id
                    implausible.append(mle.Finding(f"pedestrian {number} is {height:.2f} m tall", path=image))
        return mle.Measurement(
            quantities={"implausible_share": mle.Proportion(len(implausible), total), "pedestrians": total},
            findings=(mle.Findings.collect("implausible_share", implausible),) if implausible else (),
        )

    return measure


@pytest.fixture
def process_memory(mle_predictions: Predictions) -> Callable[[], dict[str, int]]:
    """Memory of the whole process after the model has run: an upper bound of what the model needs."""

    @mle.check(quantities={"resident_peak": mle.exact("By", "lower", "largest resident size of this process so far")})
    def measure() -> dict[str, int]:
        """Measure the largest resident size of the process, test tool and libraries included."""
        assert len(mle_predictions.dataset)
        return {"resident_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}

    return measure
