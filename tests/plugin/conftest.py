"""Fixtures of the plugin's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# pytester forgets what a run inside this process imported, and C extensions do not survive a second import.

sys.path.insert(0, str(Path(__file__).parent))

from checklist_project import Project


@pytest.fixture
def project(pytester):
    """An empty project."""
    return Project(pytester)


@pytest.fixture(autouse=True, scope="session")
def preloaded():
    """Import what checks import lazily."""
    for library in ("numpy", "scipy.special", "yaml", "cv2", "onnxruntime"):
        pytest.importorskip(library)
