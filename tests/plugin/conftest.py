"""Fixtures of the plugin's tests."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from checklist_project import Project

# pytester forgets what a run inside this process imported: the next run would have a second copy of our modules, whose
# keys are not those of the first, and C extensions do not survive a second import.
OURS = ("plugin.checklist", "cli.main", "engine.judge", "spec.show", "spec.schema", "inputs.models", "inputs.datasets")


@pytest.fixture
def project(pytester):
    """An empty project."""
    return Project(pytester)


@pytest.fixture(autouse=True, scope="session")
def preloaded():
    """Import what is imported lazily."""
    for module in OURS:
        import_module(f"pytest_mle.{module}")
    for library in ("numpy", "scipy.special", "yaml", "cv2", "onnxruntime"):
        pytest.importorskip(library)
