"""The built-in checks by name; a module is imported only when its check is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from pytest_mle.checks.declaration import declaration_of

if TYPE_CHECKING:
    from pytest_mle.records.check import CheckDeclaration

BUILT_IN = {
    "adversarial_attack": "pytest_mle.checks.robustness.adversarial_attack",
    "acceptance_criteria_met": "pytest_mle.checks.traceability.acceptance_criteria_met",
    "adversarial_fgsm": "pytest_mle.checks.robustness.adversarial_fgsm",
    "adversarial_pgd": "pytest_mle.checks.robustness.adversarial_pgd",
    "approach_sections": "pytest_mle.checks.experiments.approach_sections",
    "checkpoint_storage": "pytest_mle.checks.experiments.checkpoint_storage",
    "augmentation_diversity": "pytest_mle.checks.training.augmentation_diversity",
    "capacity_ratio": "pytest_mle.checks.training.capacity_ratio",
    "classification_quality": "pytest_mle.checks.classification.classification_quality",
    "code_version_recorded": "pytest_mle.checks.experiments.code_version_recorded",
    "confidence_calibration": "pytest_mle.checks.uncertainty.confidence_calibration",
    "cross_validation_strategy": "pytest_mle.checks.experiments.cross_validation_strategy",
    "corruption_robustness": "pytest_mle.checks.robustness.corruption_robustness",
    "dataset_integrity": "pytest_mle.checks.data.dataset_integrity",
    "dataset_traceability": "pytest_mle.checks.experiments.dataset_traceability",
    "dataset_version_pinned": "pytest_mle.checks.experiments.dataset_version_pinned",
    "detection_quality": "pytest_mle.checks.detection.detection_quality",
    "experiment_metadata": "pytest_mle.checks.experiments.experiment_metadata",
    "epoch_metrics_tracked": "pytest_mle.checks.training.epoch_metrics_tracked",
    "generalization_gap": "pytest_mle.checks.training.generalization_gap",
    "epistemic_uncertainty": "pytest_mle.checks.uncertainty.epistemic_uncertainty",
    "gradient_health": "pytest_mle.checks.training.gradient_health",
    "input_drift": "pytest_mle.checks.drift.input_drift",
    "hyperparameter_declared": "pytest_mle.checks.experiments.hyperparameter_declared",
    "hyperparameter_ranges": "pytest_mle.checks.experiments.hyperparameter_ranges",
    "latency_profile": "pytest_mle.checks.resources.latency_profile",
    "loss_curves": "pytest_mle.checks.training.loss_curves",
    "metrics_persisted": "pytest_mle.checks.experiments.metrics_persisted",
    "lr_schedule_effectiveness": "pytest_mle.checks.training.lr_schedule_effectiveness",
    "model_size": "pytest_mle.checks.resources.model_size",
    "ood_detection": "pytest_mle.checks.uncertainty.ood_detection",
    "quantization_accuracy_drop": "pytest_mle.checks.deployment.quantization_accuracy_drop",
    "regularization_ablation": "pytest_mle.checks.training.regularization_ablation",
    "requirements_traceability": "pytest_mle.checks.traceability.requirements_traceability",
    "training_exit_criteria": "pytest_mle.checks.experiments.training_exit_criteria",
    "training_reproducibility": "pytest_mle.checks.experiments.training_reproducibility",
    "training_summary": "pytest_mle.checks.experiments.training_summary",
    "selective_prediction": "pytest_mle.checks.uncertainty.selective_prediction",
    "sliced_performance": "pytest_mle.checks.slices.sliced_performance",
    "test_set_independence": "pytest_mle.checks.data.test_set_independence",
    "training_convergence": "pytest_mle.checks.training.training_convergence",
}


def built_in_check(name: str) -> CheckDeclaration | None:
    """Return the declaration of a built-in check, or None if there is none of that name."""
    module = BUILT_IN.get(name)
    return None if module is None else declaration_of(getattr(import_module(module), name))
