"""Fixtures of the plugin's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from checklist_project import Project  # noqa: E402  importlib mode puts no test folder on the path


@pytest.fixture
def project(pytester):
    """An empty project."""
    return Project(pytester)
