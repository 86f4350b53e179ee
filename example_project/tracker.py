"""Log a training run to MLflow, so that its record can be found without the training's own files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pytest_mle.tracking import flattened

if TYPE_CHECKING:
    from types import TracebackType

EXPERIMENT = "pedestrian-detector"
# Artifacts stay in the project: a store that names a folder of the machine that trained leads nowhere elsewhere.
ARTIFACTS = "mlflow-artifacts:/pedestrian-detector"


class MlflowRun:
    """One run: hyperparameters as params, what it depended on as tags, its data sets as inputs, a metric an epoch.

    Without a tracking URI nothing is logged, and MLflow need not be installed.
    """

    def __init__(self, tracking_uri: str | None, hyperparameters: dict[str, Any], record: dict[str, Any]) -> None:
        self._uri, self._hyperparameters, self._record = tracking_uri, hyperparameters, record
        self._client: Any = None
        self._run_id = ""

    def __enter__(self) -> Self:
        if self._uri is None:
            return self
        from mlflow.entities import Param, RunTag
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=self._uri)
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT, ARTIFACTS)
        self._run_id = self._client.create_run(experiment).info.run_id
        params = [Param(name, str(value)) for name, value in flattened(self._hyperparameters).items()]
        tags = [RunTag(name, str(value)) for name, value in flattened(self._record).items()]
        self._client.log_batch(self._run_id, params=params, tags=tags)
        self._client.log_inputs(self._run_id, self._inputs())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._client is not None:
            self._client.set_terminated(self._run_id, "FINISHED" if kind is None else "FAILED")

    def _inputs(self) -> list[Any]:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        version = self._record["dataset_version"]
        return [
            # MLflow keeps 36 characters of a digest; the whole one is among the tags.
            DatasetInput(
                Dataset(f"{split} {version}", sha256[:36], "local", f'{{"uri": "data/{split}"}}'),
                [InputTag("mlflow.data.context", {"train": "training", "val": "validation"}[split])],
            )
            for split, sha256 in self._record["dataset_sha256"].items()
        ]

    def log_epoch(self, row: dict[str, float]) -> None:
        """Log the metrics of an epoch."""
        if self._client is None:
            return
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        epoch = int(row["epoch"])
        metrics = [Metric(name, float(value), now, epoch) for name, value in row.items() if name != "epoch"]
        self._client.log_batch(self._run_id, metrics=metrics)

    def log_outcome(self, outcome: dict[str, Any]) -> None:
        """Log what is known at the end only, as tags: the selected epoch, the checkpoints with their SHA-256."""
        if self._client is None:
            return
        for name, value in flattened(outcome).items():
            self._client.set_tag(self._run_id, name, str(value))
